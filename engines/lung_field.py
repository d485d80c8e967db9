"""The lungs of a slice as a detector sees them: one picture, 1 mm pixels, one fixed shape.

Both lungs lie on one picture with a rim of chest wall, so that a nodule on the pleura keeps its
surroundings; everything else is floor. The shape is fixed and padded, because a graph of one
shape is what every runtime does best; a chest that is larger is looked at in overlapping parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.lungs import Mask

HEIGHT, WIDTH = 256, 352  # mm; 98 % of the chests of LUNA16 fit (half of them 187 x 254 mm)

_WALL_MM = 6  # beyond the 4 mm that a lung's mask holds: together the centimetre of LUNA16's slices
_OVERLAP = 64


@dataclass(frozen=True, slots=True)
class LungField:
    """Both lungs of one slice, everything else at the floor of the HU window.

    Attributes
    ----------
    pixels : (H, W) float32 in [0, 1], 1 mm.
    mask : (H, W), 1 in a lung or within 4 mm of it.
    x_mm, y_mm : column and row of the upper left pixel on the slice's 1 mm grid.
    """

    pixels: NDArray[np.float32]
    mask: Mask
    x_mm: int
    y_mm: int


def cut_field(
    grid: NDArray[np.float32], masks: Sequence[Mask], hu_window: tuple[float, float]
) -> LungField:
    """Cut the lungs out of a slice.

    Parameters
    ----------
    grid : (H, W) float32 HU, 1 mm pixels.
    masks : one (H, W) mask a lung, at least one, none empty.
    hu_window : (low, high) HU that become 0 and 1.
    """
    mask = np.maximum.reduce(list(masks))
    size = 2 * _WALL_MM + 1
    disk = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)
    seen = np.asarray(cv2.dilate(mask, disk), dtype=np.uint8)
    x, y, width, height = cv2.boundingRect(seen)
    box = (slice(y, y + height), slice(x, x + width))
    low, high = hu_window
    unit = (np.clip(grid[box], low, high) - low) / np.float32(high - low)
    pixels = np.where(seen[box] > 0, unit, np.float32(0)).astype(np.float32)
    return LungField(pixels, np.ascontiguousarray(mask[box]), x, y)


def parts(pixels: NDArray[np.float32]) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Cut a field into padded pictures of the fixed shape: (left, top, (256, 352) float32).

    One part for nearly every chest; more, overlapping by 64 mm, for larger ones.
    """
    for top in _starts(pixels.shape[0], HEIGHT):
        for left in _starts(pixels.shape[1], WIDTH):
            piece = pixels[top : top + HEIGHT, left : left + WIDTH]
            part = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
            part[: piece.shape[0], : piece.shape[1]] = piece
            yield left, top, part


def _starts(length: int, size: int) -> range:
    if length <= size:
        return range(1)
    return range(0, length - _OVERLAP, size - _OVERLAP)
