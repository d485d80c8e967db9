"""Undo what an 8-bit source did to values it could not hold: raw HU has no such specks.

The published LUNA16 slices keep HU below -1000 and above 400 modulo 256, so noise in air shows as
white specks, and bone or a calcified nodule as a ring with a dark core. Its lung cut also punched
holes of pure black into masses. A network must learn none of that.

Every pixel is given the whole number of wraps that makes it most like its neighbours (iterated
conditional modes, Besag, J R Stat Soc B 1986): cores first, so that the ring around one counts as
the rim of something bright and not as specks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Places = NDArray[np.int64]

_WRAP = 256
_MOST_ABOVE, _LEAST_BELOW = 130, 190  # grey values that can be 256 less, or more, than the truth
_STEEP = 90  # a change between neighbours that is worth a look
_MOST_STEP = 300  # no edge counts for more
_PRICE = 60.0  # of a wrap: noise alone must not pay for it
_SWEEPS, _SWEEPS_UP = 6, 2
_DARK, _PIXELS = 100, 400  # of cores and holes
_CORE_EDGE, _HOLE_EDGE = 150.0, 90.0  # no CT is sharp enough for such an edge all round
_BESIDE, _ACROSS = 1.0, 0.7  # weights of neighbours


def unwrap(grey: Grey) -> Grey:
    """Return a slice as it would be had the source clipped: (H, W) uint8, the same shape."""
    filled = grey.astype(np.int16)
    lifted = filled.copy()
    _fill(grey, filled, lifted)
    held, values = (np.pad(a, 1, mode="edge") for a in (filled, lifted))
    places = _doubtful(grey)
    for sweep in range(_SWEEPS):
        before = values.copy()
        wraps = (0, 1) if sweep < _SWEEPS_UP else (0, 1, -1)
        for quarter in places:  # no two places of a quarter are neighbours
            _settle(held, values, quarter, wraps)
        if sweep > _SWEEPS_UP and np.array_equal(before, values):
            break
    return np.clip(values[1:-1, 1:-1], 0, 255).astype(np.uint8)


def _doubtful(grey: Grey) -> list[Places]:
    """Where a wrap may be, near a steep edge: flat places in a slice with a frame of 1 pixel."""
    steep = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3))) > _STEEP
    near = cv2.dilate(steep.astype(np.uint8), np.ones((5, 5))) > 0
    inside = cv2.morphologyEx((grey > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5))) > 0
    rows, columns = np.nonzero(near & inside)
    places = (rows + 1) * (grey.shape[1] + 2) + columns + 1
    quarters = 2 * (rows % 2) + columns % 2
    return [places[quarters == quarter] for quarter in range(4)]


def _fill(grey: Grey, filled: NDArray[np.int16], values: NDArray[np.int16]) -> None:
    """Lift dark cores within bright rims, and level holes: what no pixel can do alone."""
    height, width = grey.shape
    dark = (grey <= _DARK).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    for label, (x, y, w, h, pixels) in enumerate(stats):
        at_edge = x == 0 or y == 0 or x + w == width or y + h == height
        if label == 0 or pixels > _PIXELS or at_edge:
            continue
        around = (slice(y - 1, y + h + 1), slice(x - 1, x + w + 1))
        core = labels[around] == label
        rim = (cv2.dilate(core.astype(np.uint8), np.ones((3, 3))) > 0) & ~core
        bright, hole = float(grey[around][rim].mean()), grey[around][core]
        if pixels >= 4 and hole.max() == 0 and bright >= _HOLE_EDGE:
            filled[around][core] = values[around][core] = round(bright)
        elif bright - hole.mean() >= _CORE_EDGE:
            values[around][core] += _WRAP


def _settle(
    grey: NDArray[np.int16], values: NDArray[np.int16], places: Places, wraps: tuple[int, ...]
) -> None:
    """Give the pixels at `places`, in `values`, the number of wraps that costs least."""
    width, flat = grey.shape[1], values.reshape(-1)
    own = grey.reshape(-1)[places]
    costs = [np.full(own.shape, _PRICE * abs(wrap), dtype=np.float32) for wrap in wraps]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if down == right == 0:
                continue
            weight = np.float32(_ACROSS if down and right else _BESIDE)
            other = flat[places + down * width + right]
            for wrap, cost in zip(wraps, costs, strict=True):
                cost += weight * np.minimum(np.abs(own + _WRAP * wrap - other), _MOST_STEP)
    for wrap, cost in zip(wraps, costs, strict=True):
        if wrap:
            cost[own > _MOST_ABOVE if wrap > 0 else own < _LEAST_BELOW] = np.inf
    flat[places] = own + _WRAP * np.asarray(wraps, dtype=np.int16)[np.argmin(costs, axis=0)]
