"""The engine of a detector: both lungs on one picture, candidates with place and size out."""

from __future__ import annotations

import time
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard
from engines.errors import EngineFailed
from engines.heat_map import CELL_MM, Peak, find_peaks
from engines.lung_field import HEIGHT, WIDTH, parts
from engines.model import Model
from engines.preparing import prepare
from engines.protocol import Candidate, CtSlice, Preparation, Prepared, Score

HEAT, DIAMETER = "heat", "diameter_mm"
INPUT_SHAPE = (1, 1, HEIGHT, WIDTH)
TAKEN = (INPUT_SHAPE, (-1, *INPUT_SHAPE[1:]))
"""Inputs that a detector's file may have: of one field, or of a batch of any size."""

MAP_SHAPE = (1, 1, HEIGHT // CELL_MM, WIDTH // CELL_MM)

_PICTURE = 64  # longest side of the heat map that goes with a finding


class Detector:
    """A detector of lesions on lung fields; the frame's probability is its likeliest lesion's.

    Parameters
    ----------
    card : its description.
    model : input of `TAKEN`, float32 in [0, 1]; outputs `heat` in [0, 1], the probability of a
        lesion centred in each cell of 2 mm, and `diameter_mm`, both of `MAP_SHAPE`.

    Raises
    ------
    EngineFailed  the model has other inputs or outputs.
    """

    def __init__(self, card: EngineCard, model: Model) -> None:
        if model.input_shape not in TAKEN or card.input.shape != model.input_shape:
            raise EngineFailed(
                f"a detector takes {TAKEN[0]} or {TAKEN[1]}; model.onnx takes "
                f"{model.input_shape}, engine.json says {card.input.shape}"
            )
        if set(model.outputs) != {HEAT, DIAMETER}:
            raise EngineFailed(f"outputs are {model.outputs}, not {HEAT} and {DIAMETER}")
        self.preparation = Preparation("field", card.input.window())
        self.card = card
        self.backend, self.precision = model.backend, model.precision
        self._model = model

    def score(self, ct: CtSlice) -> Score:
        """Prepare and score one slice; see `engines.Engine.score`."""
        return self.infer(prepare(ct, self.preparation))

    def infer(self, prepared: Prepared) -> Score:
        """Score one prepared slice; see `engines.Engine.infer`."""
        began = time.perf_counter()
        (field,) = prepared.views
        heat, diameter = field_maps(self._model, field)
        peaks = find_peaks(heat, diameter)
        ended = time.perf_counter()
        probability = float(heat.max())
        positive = probability >= self.card.operating_points.screen
        return Score(
            lesion_probability=probability,
            lesions=tuple(_in_frame(peak, prepared) for peak in peaks),
            quality=dict(prepared.quality),
            preprocess_ms=prepared.preprocess_ms,
            inference_ms=(ended - began) * 1000.0,
            heat_map=_picture(heat, prepared) if positive else None,
        )

    def close(self) -> None:
        """Give back the model; see `engines.Engine.close`."""
        self._model.close()


def field_maps(
    model: Model, pixels: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run the model over a field of any size; where parts overlap the likelier answer holds.

    Parameters
    ----------
    pixels : (H, W) float32 in [0, 1], 1 mm.

    Returns
    -------
    heat, diameter_mm : (ceil(H / 2), ceil(W / 2)) float32.

    Raises
    ------
    EngineFailed  the runtime raised, or answered with something else than two finite maps.
    """
    height, width = (-(-size // CELL_MM) for size in pixels.shape)
    heat = np.zeros((height, width), dtype=np.float32)
    diameter = np.zeros((height, width), dtype=np.float32)
    for left, top, part in parts(pixels):
        answer = model.run(part[None, None])
        new_heat, new_diameter = _checked(answer)
        box = (slice(top // CELL_MM, None), slice(left // CELL_MM, None))
        seen, size = heat[box], diameter[box]
        rows, columns = (min(a, b) for a, b in zip(seen.shape, new_heat.shape, strict=True))
        better = new_heat[:rows, :columns] > seen[:rows, :columns]
        seen[:rows, :columns][better] = new_heat[:rows, :columns][better]
        size[:rows, :columns][better] = new_diameter[:rows, :columns][better]
    return heat, diameter


def _checked(
    answer: Mapping[str, NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    heat, diameter = answer[HEAT], answer[DIAMETER]
    if heat.shape != MAP_SHAPE or diameter.shape != MAP_SHAPE:
        raise EngineFailed(f"maps are {heat.shape} and {diameter.shape}, not {MAP_SHAPE}")
    if not (np.isfinite(diameter).all() and heat.min() >= 0.0 and heat.max() <= 1.0):
        raise EngineFailed("the model answered with values that are no probabilities or sizes")
    return heat[0, 0], diameter[0, 0]


def _in_frame(peak: Peak, prepared: Prepared) -> Candidate:
    """Bring a peak from the field's 1 mm pixels to the frame's own."""
    row_mm, column_mm = (
        grid / size for grid, size in zip(prepared.grid_shape, prepared.shape, strict=True)
    )
    x = (peak.x + prepared.x_mm + 0.5) / column_mm - 0.5
    y = (peak.y + prepared.y_mm + 0.5) / row_mm - 0.5
    width, height = peak.diameter_mm / column_mm, peak.diameter_mm / row_mm
    box = (x - width / 2, y - height / 2, width, height)
    return Candidate(peak.probability, x, y, peak.diameter_mm, box)


def _picture(heat: NDArray[np.float32], prepared: Prepared) -> NDArray[np.uint8]:
    """Draw the heat map over the whole frame: (<= 64, <= 64) uint8, each pixel its greatest value.

    The greatest, not the mean: a peak must be as high on the picture as in the finding.
    """
    full = np.zeros([-(-size // CELL_MM) for size in prepared.grid_shape], dtype=np.float32)
    top, left = prepared.y_mm // CELL_MM, prepared.x_mm // CELL_MM
    room = full[top : top + heat.shape[0], left : left + heat.shape[1]]
    room[:] = heat[: room.shape[0], : room.shape[1]]
    cells = -(-max(full.shape) // _PICTURE)
    wide = cv2.dilate(full, np.ones((cells, cells), np.uint8), anchor=(0, 0))
    return np.rint(wide[::cells, ::cells] * 255).astype(np.uint8)
