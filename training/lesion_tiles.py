"""Training tiles of lung fields with their targets: drawn, turned, sheared, scaled, made noisy.

The detector is fully convolutional, so a tile of 96 mm trains the weights of a whole field at a
tenth of the cost. Batch number n of seed s is always the same, whatever was drawn before it: a
run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.heat_map import CELL_MM
from training.lesion_fields import Field
from training.patches import SIDE, Patches
from training.recipes import Augmentation

TILE = 96
CELLS = TILE // CELL_MM

Rows = NDArray[np.float64]  # (n, 3) column, row, diameter

_LEAST_SIGMA = 0.8  # cells: the smallest nodule still has a peak with flanks
_JITTER_MM = 24.0
_KNOWN_MM = 6.0  # around the middle of a patch
_EDGE_CELLS = 2  # at the tile's edge half of what a cell should see is missing


@dataclass(frozen=True, slots=True)
class Strength:
    """How far a tile may be changed; angles in degrees, the rest as fractions of 1."""

    turn: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    noise: float = 0.0


STRENGTHS: dict[Augmentation, Strength] = {
    "flips": Strength(),
    "moderate": Strength(turn=20, zoom=0.12, shear=4, gain=0.06, offset=0.02, noise=0.015),
    "heavy": Strength(turn=180, zoom=0.25, shear=10, gain=0.12, offset=0.04, noise=0.03),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """N tiles with targets.

    Attributes
    ----------
    tiles : (N, 96, 96, 1) float32 in [0, 1].
    targets : (N, 48, 48, 3) float32: heat in [0, 1], 1 where it counts, log of the diameter in mm
        at the centre of a nodule and 0 elsewhere.
    """

    tiles: NDArray[np.float32]
    targets: NDArray[np.float32]


class Sampler:
    """Draws batches: half of the tiles around a nodule, half anywhere in a lung.

    Parameters
    ----------
    fields : to draw from.
    augmentation : how far tiles are changed.
    even_sizes : draw nodules of all sizes alike, not as often as they occur.
    patches, mosaics : so many tiles of a batch are mosaics of four of these patches.
    """

    def __init__(
        self,
        fields: list[Field],
        *,
        augmentation: Augmentation,
        even_sizes: bool,
        seed: int,
        patches: Patches | None = None,
        mosaics: int = 0,
    ) -> None:
        self._fields = fields
        self._strength = STRENGTHS[augmentation]
        self._seed = seed
        self._nodules = [(i, row) for i, f in enumerate(fields) for row in f.nodules]
        diameters = np.asarray([row[2] for _, row in self._nodules])
        weights = _evening(diameters) if even_sizes else np.ones(len(diameters))
        self._weights = weights / weights.sum()
        self._hard: list[tuple[int, Rows]] = []
        self._patches, self._mosaics = patches, mosaics
        if patches is not None:
            self._pools = [np.flatnonzero(patches.labels == label) for label in (0, 1)]

    def mine(self, found: Sequence[tuple[int, float, float]]) -> None:
        """Take half of the other tiles from around these false positives: field, column, row."""
        self._hard = [(i, np.asarray([x, y, 0.0])) for i, x, y in found]

    def draw(self, number: int, size: int) -> Batch:
        """Draw batch `number` with `size` tiles."""
        rng = np.random.default_rng([self._seed, number])
        tiles, targets = [], []
        for i in range(size):
            if self._patches is not None and i >= size - self._mosaics:
                tile, target = self._mosaic(self._patches, rng)
                tiles.append(tile)
                targets.append(target)
                continue
            field, centre = self._place(rng, with_nodule=i % 2 == 0)
            tile, target = self._tile(field, centre, rng)
            tiles.append(tile)
            targets.append(target)
        return Batch(np.stack(tiles)[..., None], np.stack(targets))

    def _place(self, rng: np.random.Generator, *, with_nodule: bool) -> tuple[Field, Rows]:
        if with_nodule:
            i, row = self._nodules[int(rng.choice(len(self._nodules), p=self._weights))]
            return self._fields[i], row[:2] + rng.uniform(-_JITTER_MM, _JITTER_MM, 2)
        if self._hard and rng.random() < 0.5:
            i, row = self._hard[int(rng.integers(len(self._hard)))]
            return self._fields[i], row[:2] + rng.uniform(-_JITTER_MM, _JITTER_MM, 2)
        field = self._fields[int(rng.integers(len(self._fields)))]
        rows, columns = np.nonzero(field.mask)
        i = int(rng.integers(len(rows)))
        return field, np.asarray([columns[i], rows[i]], dtype=np.float64)

    def _tile(
        self, field: Field, centre: Rows, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        affine = _affine(centre, self._strength, rng)
        warped = cv2.warpAffine(field.pixels, affine, (TILE, TILE), flags=cv2.INTER_LINEAR)
        tile = _shaded(warped.astype(np.float32) / np.float32(255), self._strength, rng)
        return tile, heat_target(_moved(field.nodules, affine), _moved(field.ignored, affine))

    def _mosaic(
        self, patches: Patches, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lay four patches side by side, two of them nodules; only their middles count."""
        tile = np.zeros((TILE, TILE), dtype=np.float32)
        target = np.zeros((CELLS, CELLS, 3), dtype=np.float32)
        for i, label in enumerate(rng.permutation([0, 0, 1, 1])):
            row = int(rng.choice(self._pools[label]))
            top, left = divmod(i, 2)
            small = (TILE // 2, TILE // 2)
            middle = np.full(2, (SIDE - 1) / 2) + rng.uniform(-4, 4, 2)
            affine = _affine(middle, self._strength, rng, side=small[0])
            patch = cv2.warpAffine(
                patches.pixels[row],
                affine,
                small,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            place = (slice(top * small[0], None), slice(left * small[0], None))
            unit = patch.astype(np.float32) / np.float32(255)
            tile[place][: small[0], : small[0]] = _shaded(unit, self._strength, rng)
            true_middle = affine @ [(SIDE - 1) / 2, (SIDE - 1) / 2, 1.0]
            cells = patch_target(true_middle, nodule=bool(label))
            target[top * CELLS // 2 :, left * CELLS // 2 :][: CELLS // 2, : CELLS // 2] = cells
        return tile, target


def patch_target(centre: Rows, *, nodule: bool) -> NDArray[np.float32]:
    """Make the target of one 48 mm patch: (24, 24, 3); nothing is known off the middle."""
    side = CELLS // 2
    middle = np.arange(side) * CELL_MM + (CELL_MM - 1) / 2
    columns, rows = np.meshgrid(middle, middle)
    distance = np.hypot(columns - centre[0], rows - centre[1])
    target = np.zeros((side, side, 3), dtype=np.float32)
    target[..., 1] = distance <= _KNOWN_MM
    if nodule:
        row, column = np.unravel_index(int(distance.argmin()), distance.shape)
        target[..., 0] = np.exp(-(distance**2) / (2 * (_LEAST_SIGMA * CELL_MM) ** 2))
        target[row, column, 0] = 1.0
        target[..., 1] = distance <= CELL_MM  # its size is not known
    return target


def heat_target(nodules: Rows, ignored: Rows) -> NDArray[np.float32]:
    """Make the target of one tile: (48, 48, 3) float32, see `Batch.targets`."""
    middle = np.arange(CELLS) * CELL_MM + (CELL_MM - 1) / 2
    columns, rows = np.meshgrid(middle, middle)
    heat = np.zeros((CELLS, CELLS))
    inner = np.zeros((CELLS, CELLS), dtype=bool)
    inner[_EDGE_CELLS:-_EDGE_CELLS, _EDGE_CELLS:-_EDGE_CELLS] = True
    counted = inner.astype(np.float64)
    size = np.zeros((CELLS, CELLS))
    for x, y, diameter in ignored:
        counted[np.hypot(columns - x, rows - y) <= diameter / 2 + CELL_MM] = 0.0
    for x, y, diameter in nodules:
        sigma = max(diameter / 4 / CELL_MM, _LEAST_SIGMA) * CELL_MM
        distance = np.hypot(columns - x, rows - y)
        # single readers' marks of a nodule are among what is ignored
        counted[(distance <= max(diameter / 2, CELL_MM)) & inner] = 1.0
        heat = np.maximum(heat, np.exp(-(distance**2) / (2 * sigma**2)))
        row, column = (round((v - (CELL_MM - 1) / 2) / CELL_MM) for v in (y, x))
        if 0 <= row < CELLS and 0 <= column < CELLS:
            heat[row, column] = 1.0
            size[row, column] = np.log(max(diameter, 1.0))
    return np.stack((heat, counted, size), axis=-1).astype(np.float32)


def _evening(diameters: Rows) -> Rows:
    """Weights that draw the size classes < 6, 6-10, 10-20 and >= 20 mm alike, half-way."""
    classes = np.digitize(diameters, (6.0, 10.0, 20.0))
    counts = np.bincount(classes, minlength=4)
    return np.asarray(1.0 / np.sqrt(counts[classes]))


def _affine(
    centre: Rows, strength: Strength, rng: np.random.Generator, *, side: int = TILE
) -> Rows:
    """(2, 3) matrix from field to tile that brings `centre` to the tile's middle."""
    angle = np.deg2rad(rng.uniform(-strength.turn, strength.turn))
    zoom = rng.uniform(1 - strength.zoom, 1 + strength.zoom)
    shear = np.tan(np.deg2rad(rng.uniform(-strength.shear, strength.shear)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag(rng.choice([-1.0, 1.0], 2))
    matrix = zoom * turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ flip
    return np.column_stack((matrix, np.full(2, (side - 1) / 2) - matrix @ centre))


def _shaded(
    tile: NDArray[np.float32], strength: Strength, rng: np.random.Generator
) -> NDArray[np.float32]:
    gain = rng.uniform(1 - strength.gain, 1 + strength.gain)
    offset = rng.uniform(-strength.offset, strength.offset)
    noise = rng.normal(0.0, rng.uniform(0.0, strength.noise), tile.shape)
    changed = np.clip(tile * gain + offset + noise, 0.0, 1.0)
    return np.where(tile > 0, changed, 0.0).astype(np.float32)


def _moved(found: Rows, affine: Rows) -> Rows:
    zoom = np.sqrt(abs(np.linalg.det(affine[:, :2])))
    return np.column_stack((found[:, :2] @ affine[:, :2].T + affine[:, 2], found[:, 2] * zoom))
