"""From a detector's maps to candidates: peaks of the heat map, each with a place and a size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CELL_MM = 2  # a cell of the map stands for 2 x 2 pixels of 1 mm
LEAST_PROBABILITY = 0.01
MOST_PEAKS = 32

_LEAST_APART_MM = 4.0


@dataclass(frozen=True, slots=True)
class Peak:
    """A candidate on a picture of 1 mm pixels: probability, centre (column, row), diameter."""

    probability: float
    x: float
    y: float
    diameter_mm: float


def find_peaks(heat: NDArray[np.float32], diameter_mm: NDArray[np.float32]) -> list[Peak]:
    """Find the local maxima of a heat map, most probable first.

    Parameters
    ----------
    heat : (h, w) float32, probabilities of cells of 2 mm.
    diameter_mm : (h, w) float32, the diameter of a lesion centred there.

    Returns
    -------
    list of Peak
        At most 32, each of probability 0.01 or more; none lies within the radius (at least 4 mm)
        of a more probable one.
    """
    highest = cv2.dilate(heat, np.ones((3, 3), dtype=np.uint8))
    rows, columns = np.nonzero((heat >= highest) & (heat >= LEAST_PROBABILITY))
    order = np.argsort(-heat[rows, columns], kind="stable")
    peaks: list[Peak] = []
    for row, column in zip(rows[order], columns[order], strict=True):
        if len(peaks) == MOST_PEAKS:
            break
        diameter = float(diameter_mm[row, column])
        peak = Peak(float(heat[row, column]), *_centre(heat, int(row), int(column)), diameter)
        if all(_apart(peak, other) for other in peaks):
            peaks.append(peak)
    return peaks


def _apart(peak: Peak, stronger: Peak) -> bool:
    reach = max(_LEAST_APART_MM, stronger.diameter_mm / 2)
    return bool(np.hypot(peak.x - stronger.x, peak.y - stronger.y) >= reach)


def _centre(heat: NDArray[np.float32], row: int, column: int) -> tuple[float, float]:
    """Centre of gravity of a peak and its eight neighbours, in pixels of 1 mm."""
    top, left = max(row - 1, 0), max(column - 1, 0)
    around = heat[top : row + 2, left : column + 2]
    rows, columns = np.mgrid[top : top + around.shape[0], left : left + around.shape[1]]
    total = float(around.sum())
    y, x = float((around * rows).sum()) / total, float((around * columns).sum()) / total
    offset = (CELL_MM - 1) / 2  # a cell's centre in pixels
    return x * CELL_MM + offset, y * CELL_MM + offset
