"""The engine that says what each plan of treatment would do to a lesion, by its image.

An image in, for each plan the expected change of the diameter out. What is unlike every lesion of
training is not answered: the network says, too, how strange its picture is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard
from engines.errors import EngineFailed, NotForecastable
from engines.model import Model

SIDE = 32
"""Pixels, and mm, of a view: a lesion and what it hangs on."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a plan is expected to do.

    Attributes
    ----------
    plan : its code.
    change, low, high : of the diameter, as a share (-0.2: a fifth smaller); 80 % of patients lie
        between low and high.
    """

    plan: str
    change: float
    low: float
    high: float


class PlanEffects:
    """A loaded engine of task effect. Blocking; one engine, one thread.

    Parameters
    ----------
    model : `lesion` (n, 32, 32, 1) in [0, 1] -> `effect` (n, plans) change of the diameter, as a
        share; `strangeness` (n,).

    Raises
    ------
    EngineFailed  card and model do not fit together.
    """

    def __init__(self, card: EngineCard, model: Model) -> None:
        if card.effect is None:
            raise EngineFailed(f"engine {card.name} says nothing of effects")
        if model.input_shape != (-1, SIDE, SIDE, 1):
            raise EngineFailed(f"model.onnx takes {model.input_shape}, not (-1, {SIDE}, {SIDE}, 1)")
        self.card = card
        self._spec, self._model = card.effect, model

    def effects(self, view: NDArray[np.float32]) -> tuple[Effect, ...]:
        """Return the effect of each plan on a lesion, the best first.

        Parameters
        ----------
        view : (32, 32), see `lesion_view`.

        Raises
        ------
        NotForecastable  the picture is unlike every lesion of training.
        EngineFailed     the runtime failed.
        """
        answer = self._model.run(view[None, ..., None])
        changes = np.asarray(answer["effect"][0], dtype=np.float64)
        strangeness = float(np.asarray(answer["strangeness"]).reshape(-1)[0])
        if (
            changes.shape != (len(self._spec.plans),)
            or not np.isfinite([*changes, strangeness]).all()
        ):
            raise EngineFailed(f"engine {self.card.name} answered with no effects")
        if strangeness > self._spec.strangest:
            raise NotForecastable("the picture is unlike the lesions of training")
        rows = zip(self._spec.plans, changes, self._spec.low, self._spec.high, strict=True)
        found = [
            Effect(plan, *(max(float(change + more), -1.0) for more in (0.0, low, high)))
            for plan, change, low, high in rows
        ]
        return tuple(sorted(found, key=lambda effect: effect.change))

    def close(self) -> None:
        """Give back the model; may be called twice."""
        self._model.close()


def lesion_view(
    hu: NDArray[np.float32],
    spacing_mm: tuple[float, float],
    x_px: float,
    y_px: float,
    window: tuple[float, float],
) -> NDArray[np.float32]:
    """Cut a lesion out of a slice, in its middle: (32, 32) float32 in [0, 1], 1 mm a pixel.

    Parameters
    ----------
    hu : (rows, columns).
    spacing_mm : between rows, between columns.
    x_px, y_px : column and row of the lesion's centre; whole numbers are centres of pixels.
    window : (low, high) HU that become 0 and 1. What lies outside the slice is air.
    """
    low, high = window
    down, right = spacing_mm
    middle = (SIDE - 1) / 2
    to_slice = np.array(
        [[1 / right, 0, x_px - middle / right], [0, 1 / down, y_px - middle / down]]
    )
    cut = cv2.warpAffine(
        hu.astype(np.float32),
        to_slice,
        (SIDE, SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(low,),
    )
    unit = (np.asarray(cut, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.clip(unit, 0, 1), dtype=np.float32)
