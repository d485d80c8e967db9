"""The figures of a forecast, with intervals from drawing patients again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.card import Figure
from engines.forecaster import Forecast
from training.evaluation import auc
from training.response_examples import Examples

ROUNDS = 1000

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """N forecasts and what came of them: (N,) each.

    Attributes
    ----------
    patients : numbers; whole patients are drawn again.
    target, last : the next diameter, and the last known, mm.
    progresses, already : whether the next visit is progressive disease, and whether one before was.
    median, low, high : of the forecast, mm; `low` and `high` bound 80 %.
    progression : probability.
    """

    patients: NDArray[np.int64]
    target: Values
    last: Values
    progresses: NDArray[np.bool_]
    already: NDArray[np.bool_]
    median: Values
    low: Values
    high: Values
    progression: Values


def outcome_of(known: Examples, told: Sequence[Forecast]) -> Said:
    """Bring forecasts together with what came of them."""
    return Said(
        known.patients,
        known.target,
        known.last,
        known.progresses,
        known.already,
        np.asarray([one.median_mm for one in told]),
        np.asarray([one.q10_mm for one in told]),
        np.asarray([one.q90_mm for one in told]),
        np.asarray([one.progression_probability for one in told]),
    )


def error(said: Said) -> Values:
    """Absolute error of each median, mm."""
    return np.asarray(np.abs(said.median - said.target))


def pinball(target: Values, forecast: Values, level: float) -> Values:
    """Return the quantile loss of each forecast, mm."""
    return np.asarray(np.maximum(level * (target - forecast), (level - 1) * (target - forecast)))


def drawn(patients: NDArray[np.int64], seed: int = 0) -> list[NDArray[np.int64]]:
    """Draw patients again, `ROUNDS` times: rows of all forecasts of those drawn."""
    _, inverse = np.unique(patients, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        for _ in range(ROUNDS)
    ]


def interval(
    measure: Callable[[NDArray[np.int64]], float], draws: list[NDArray[np.int64]]
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a measure of rows."""
    low, high = np.nanpercentile([measure(rows) for rows in draws], (2.5, 97.5))
    return float(low), float(high)


def difference(said: Said, rival: Values) -> tuple[float, tuple[float, float]]:
    """Return by how much medians are closer than a rival's, mm, and the 95 % interval."""
    gain = np.abs(rival - said.target) - error(said)
    return float(gain.mean()), interval(lambda rows: float(gain[rows].mean()), drawn(said.patients))


def figures(said: Said, *, on: str) -> list[Figure]:
    """Measure a forecast."""
    wrong, rest = error(said), error_of_last(said)
    fresh = ~said.already
    inside = (said.target >= said.low) & (said.target <= said.high)
    loss = (pinball(said.target, said.low, 0.1) + pinball(said.target, said.high, 0.9)) / 2

    def progression(rows: NDArray[np.int64]) -> float:
        rows = rows[fresh[rows]]
        return auc(said.progression[rows], said.progresses[rows].astype(np.int64))

    measures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "mean absolute error of the next diameter, mm": lambda rows: float(wrong[rows].mean()),
        "less than that of the last reading by, mm": lambda rows: float(
            (rest - wrong)[rows].mean()
        ),
        "progression at the next visit, none so far, AUC": progression,
        "share of diameters inside the 80 % interval": lambda rows: float(inside[rows].mean()),
        "mean quantile loss at 10 % and 90 %, mm": lambda rows: float(loss[rows].mean()),
        "progression, expected calibration error": lambda rows: _calibration(said, rows),
    }
    draws, everything = drawn(said.patients), np.arange(len(said.target))
    count = f"{len(said.target)} forecasts for {len(np.unique(said.patients))} patients"
    found = []
    for name, measure in measures.items():
        low, high = interval(measure, draws)
        value = round(measure(everything), 4)
        found.append(
            Figure(name=name, value=value, low=round(low, 4), high=round(high, 4), on=on, n=count)
        )
    return found


def error_of_last(said: Said) -> Values:
    """Absolute error of saying the last reading again, mm."""
    return np.asarray(np.abs(said.last - said.target))


def _calibration(said: Said, rows: NDArray[np.int64], bins: int = 10) -> float:
    p, happened = said.progression[rows], said.progresses[rows]
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return float(sum(abs(p[i].mean() - happened[i].mean()) * len(i) for i in parts) / len(p))
