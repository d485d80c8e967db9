"""The engine that forecasts the next diameter: a distribution, of which all it says is part.

The network answers with the probabilities of some stretches of growth, one of which is "exactly as
it is": three readings in ten repeat the last. Quantiles and the probability of progression are
read from that one distribution, so they never contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard, ForecastSpec
from engines.course import FEATURES, Course, features, progression_mm, since_baseline
from engines.errors import EngineFailed, NotForecastable
from engines.model import Model

_READING = 0.5  # mm: readings are whole millimetres


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the next visit may bring.

    Attributes
    ----------
    median_mm, q10_mm, q90_mm : of the diameter, >= 0; the interval holds 80 %.
    progression_probability : that it is progressive disease by RECIST 1.1 against the nadir so
        far, in [0, 1].
    """

    median_mm: float
    q10_mm: float
    q90_mm: float
    progression_probability: float


class Forecaster:
    """A loaded forecast engine. Blocking; one engine, one thread.

    Parameters
    ----------
    card : of task forecast.
    model : (n, features and arms) -> `probability` (n, stretches).

    Raises
    ------
    EngineFailed  card and model do not fit together.
    """

    def __init__(self, card: EngineCard, model: Model) -> None:
        spec = card.forecast
        if spec is None:
            raise EngineFailed(f"engine {card.name} says nothing of forecasts")
        width = len(FEATURES) + len(spec.arms)
        if model.input_shape != (-1, width):
            raise EngineFailed(f"model.onnx takes {model.input_shape}, not (-1, {width})")
        self.card = card
        self._spec, self._model = spec, model
        self._edges = np.asarray(spec.edges, dtype=np.float64)

    def forecast(self, course: Course, next_day: float) -> Forecast:
        """Forecast the diameter on a day.

        Raises
        ------
        NotForecastable  the course is like nothing the engine was trained on.
        EngineFailed     the runtime failed.
        """
        self._check(course, next_day)
        (answer,) = self._model.run(inputs(course, next_day, self._spec)[None]).values()
        mass = np.asarray(answer[0], dtype=np.float64)
        if mass.shape != (len(self._edges) - 1,) or not np.isclose(mass.sum(), 1.0, atol=1e-3):
            raise EngineFailed(f"engine {self.card.name} answered with no distribution")
        return read(mass, course, self._spec)

    def _check(self, course: Course, next_day: float) -> None:
        days, mm, spec = course.days, course.diameters_mm, self._spec
        wait = next_day - float(days[-1]) if len(days) else 0.0
        most = f"{spec.longest_wait_days:g} days to the next visit, the most in training"
        reasons = (
            (not len(mm), "no reading yet"),
            (not np.isfinite(mm).all(), "a reading is no number"),
            (bool((mm < 0).any()), "a diameter is below 0"),
            (bool((np.diff(days) < 0).any()), "the visits are not in order"),
            (not np.isfinite(next_day) or wait < 0, "the next visit lies before the last"),
            (
                bool((mm > spec.longest_mm).any()),
                f"a diameter above {spec.longest_mm:g} mm, the greatest in training",
            ),
            (wait > spec.longest_wait_days, f"more than {most}"),
        )
        said = [words for wrong, words in reasons if wrong]
        if said:
            raise NotForecastable(said[0])

    def close(self) -> None:
        """Give back the model; may be called twice."""
        self._model.close()


def inputs(course: Course, next_day: float, spec: ForecastSpec) -> NDArray[np.float32]:
    """Return what the network sees of a course: its features, then which arm it is."""
    arm = np.asarray([course.arm == known for known in spec.arms], dtype=np.float32)
    return np.concatenate((features(course, next_day), arm))


def read(mass: NDArray[np.float64], course: Course, spec: ForecastSpec) -> Forecast:
    """Read a forecast from the probabilities of the stretches between `spec.edges`."""
    last = float(course.diameters_mm[-1])
    edges = np.asarray(spec.edges)
    below = np.concatenate(([0.0], np.cumsum(mass)))
    low, middle, high = (
        max(
            (last + spec.offset_mm) * float(np.exp(_growth(edges, below, level))) - spec.offset_mm,
            0,
        )
        for level in (spec.low_level, 0.5, spec.high_level)
    )
    line = progression_mm(float(since_baseline(course).min())) - _READING
    wanted = np.log((line + spec.offset_mm) / (last + spec.offset_mm))
    return Forecast(
        middle,
        min(low, middle),
        max(high, middle),
        float(np.clip(1.0 - np.interp(wanted, edges, below), 0.0, 1.0)),
    )


def _growth(edges: NDArray[np.float64], below: NDArray[np.float64], level: float) -> float:
    """Return the log growth below which `level` of the probability lies."""
    i = int(np.clip(np.searchsorted(below, level) - 1, 0, len(edges) - 2))
    part = (level - below[i]) / max(below[i + 1] - below[i], 1e-12)
    growth = float(edges[i] + np.clip(part, 0.0, 1.0) * (edges[i + 1] - edges[i]))
    return 0.0 if edges[i] < 0.0 < edges[i + 1] else growth
