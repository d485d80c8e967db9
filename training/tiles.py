"""Training tiles cut from half-lung views: turned, flipped and scaled a little, with their targets.

The network is fully convolutional up to its maximum, so tiles of 128 pixels train the same weights
as whole views of 256 at a quarter of the cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.luna import HalfLung

TILE = 128
CELL = 8  # pixels of a view that one cell of the network's map stands for

_LEAST_RADIUS = 6.0  # so that the smallest nodule marks at least one cell
_GREY_ZONE = 6.0  # around a nodule, counted neither way
_TURN_DEG, _ZOOM, _GAIN, _NOISE = 15.0, 0.12, 0.05, 0.01


@dataclass(frozen=True, slots=True)
class Batch:
    """N tiles with targets.

    Attributes
    ----------
    tiles : (N, 128, 128, 1) float32 in [0, 1].
    labels : (N, 1) float32, 1 where any cell is.
    cells : (N, 16, 16, 1) float32, 1 nodule, 0 none, -1 not counted.
    """

    tiles: NDArray[np.float32]
    labels: NDArray[np.float32]
    cells: NDArray[np.float32]


def draw(halves: list[HalfLung], size: int, rng: np.random.Generator) -> Batch:
    """Draw `size` tiles: half from lungs with a nodule, four in five of these around it."""
    with_nodule = [half for half in halves if half.label]
    without = [half for half in halves if not half.label]
    tiles, labels, cells = [], [], []
    for i in range(size):
        pool = with_nodule if i % 2 else without
        half = pool[int(rng.integers(len(pool)))]
        tile, label, target = _tile(half, rng)
        while not label and target.min() < 0:  # an ignored finding makes no negative
            tile, label, target = _tile(half, rng)
        tiles.append(tile)
        labels.append([label])
        cells.append(target)
    return Batch(
        np.stack(tiles)[..., None], np.asarray(labels, np.float32), np.stack(cells)[..., None]
    )


def _tile(
    half: HalfLung, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    affine = _affine(_centre(half, rng), rng)
    pixels = cv2.warpAffine(half.view.pixels, affine, (TILE, TILE), flags=cv2.INTER_LINEAR)
    gain = rng.uniform(1 - _GAIN, 1 + _GAIN)
    noise = rng.normal(0.0, rng.uniform(0.0, _NOISE), pixels.shape)
    inside = pixels > 0  # outside the lung stays exactly 0, as in the engine's views
    tile = np.where(inside, np.clip(pixels * gain + noise, 0.0, 1.0), 0.0).astype(np.float32)
    nodules, ignored = (_moved(found, affine) for found in (half.nodules, half.ignored))
    target = cell_targets(nodules, ignored, TILE // CELL)
    return tile, float((target > 0).any()), target


def _centre(half: HalfLung, rng: np.random.Generator) -> NDArray[np.float64]:
    """Choose the point of the view to look at: near a nodule, or anywhere in the lung."""
    if half.label and rng.random() < 0.8:
        place = half.nodules[int(rng.integers(len(half.nodules)))]
        return np.asarray(place[:2] + rng.uniform(-44, 44, 2), dtype=np.float64)
    rows, columns = np.nonzero(half.view.pixels)
    i = int(rng.integers(len(rows)))
    return np.asarray([columns[i], rows[i]], dtype=np.float64)


def _affine(centre: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(2, 3) matrix from view to tile that brings `centre` to the tile's middle."""
    angle = np.deg2rad(rng.uniform(-_TURN_DEG, _TURN_DEG))
    zoom = rng.uniform(1 - _ZOOM, 1 + _ZOOM)
    flip = np.diag(rng.choice([-1.0, 1.0], 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * turn @ flip
    return np.column_stack((matrix, np.full(2, (TILE - 1) / 2) - matrix @ centre))


def _moved(found: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    zoom = np.sqrt(abs(np.linalg.det(affine[:, :2])))
    return np.column_stack((found[:, :2] @ affine[:, :2].T + affine[:, 2], found[:, 2] * zoom))


def cell_targets(
    nodules: NDArray[np.floating], ignored: NDArray[np.floating], cells: int
) -> NDArray[np.float32]:
    """Say of each cell whether its centre lies in a nodule.

    Parameters
    ----------
    nodules, ignored : (n, 3) column, row, diameter in pixels.
    cells : cells a side.

    Returns
    -------
    (cells, cells) float32
        1 nodule, 0 none, -1 at the rim of a nodule or in an ignored finding.
    """
    middle = np.arange(cells) * CELL + (CELL - 1) / 2
    columns, rows = np.meshgrid(middle, middle)
    target = np.zeros((cells, cells), dtype=np.float32)
    for found, inner in ((ignored, -1.0), (nodules, 1.0)):
        for x, y, diameter in found:
            radius = max(float(diameter) / 2, _LEAST_RADIUS)
            distance = np.hypot(columns - x, rows - y)
            target[(distance < radius + _GREY_ZONE) & (target < 1)] = -1.0
            target[distance < radius] = inner
    return target
