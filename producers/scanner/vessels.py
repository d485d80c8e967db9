"""Vessels and airways: trees of tapering branches inside the lungs.

Radii follow Murray's law (the cube of a branch's radius is the sum of its children's). A branch
cut across looks like a nodule in a slice: that is what they are here for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producers.scanner.anatomy import CARINA_MM, Chest

Points = NDArray[np.floating[Any]]
Radii = NDArray[np.floating[Any]]

THINNEST_MM = 0.28
THINNEST_AIRWAY_MM = 1.7
MARGIN_MM = 2.0
"""Branches end so far below the surface of the lung."""

HILUM_MM = 68.0
"""So far from the middle branches run on behind the heart, outside the lung."""

TRIES = 8
"""Directions a branch looks into; it takes the emptiest."""

CELL_MM = 9.0
_CELLS = 40


@dataclass(frozen=True, slots=True)
class Tree:
    """Branches. start, end : (N, 3) mm; radius : (N,) mm."""

    start: Points
    end: Points
    radius: Radii


@dataclass(frozen=True, slots=True)
class Lungs:
    """What runs through the lungs."""

    vessels: Tree
    airways: Tree


def grow(chest: Chest) -> Lungs:
    """Return the trees of a chest; the same chest has the same trees."""
    rng = np.random.default_rng(chest.seed)
    vessels = [
        _tree(chest, rng, side, fan, radius_mm, THINNEST_MM)
        for side in (-1.0, 1.0)
        for fan, radius_mm in ((0.0, 4.3), (9.0, 4.0))  # arteries, and veins below them
    ]
    airways = [_tree(chest, rng, side, 5.0, 4.6, THINNEST_AIRWAY_MM) for side in (-1.0, 1.0)]
    return Lungs(_joined(vessels), _joined([*airways, _bronchi()]))


def _tree(
    chest: Chest,
    rng: np.random.Generator,
    side: float,
    below_mm: float,
    radius_mm: float,
    thinnest_mm: float,
) -> Tree:
    """Grow one tree from a hilum, all branches of a generation at once."""
    lobes = 7
    angles = np.linspace(-1.35, 1.3, lobes) + rng.normal(0, 0.1, lobes)
    place: Points = np.tile([side * 40.0, 2.0, CARINA_MM - 22 - below_mm], (lobes, 1))
    direction: Points = np.stack(
        [side * np.cos(angles), rng.normal(0.1, 0.6, lobes), np.sin(angles)], axis=1
    )
    radius: Radii = np.full(lobes, radius_mm * lobes ** (-1 / 3)) * rng.uniform(0.85, 1.15, lobes)
    crowd = np.zeros((_CELLS,) * 3, dtype=np.float32)
    parts: list[tuple[Points, Points, Radii]] = []
    while len(radius):
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        length = np.maximum(10.0 * radius, 4.5) * rng.uniform(0.7, 1.4, len(radius))
        end, depth = _emptiest(chest, crowd, place, direction, length, rng)
        at_root = np.abs(place[:, 0]) < HILUM_MM
        radius = np.where(at_root, radius, np.minimum(radius, _widest(depth)))
        alive = (depth > MARGIN_MM) | at_root
        place, end, direction, radius = (v[alive] for v in (place, end, direction, radius))
        middle = (place + end) / 2 + direction * (0.06 * length[alive])[:, None]
        parts.append(_part(place, middle, radius))
        parts.append(_part(middle, end, radius * 0.95))
        np.add.at(crowd, _cell(end), 1.0)
        place, direction, radius = _fork(end, end - middle, radius, rng)
        thick = radius > thinnest_mm
        place, direction, radius = place[thick], direction[thick], radius[thick]
    return Tree(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _widest(depth_mm: Radii) -> Radii:
    """Return the greatest radius so deep in a lung: its rim has nothing but the finest branches."""
    return np.asarray(0.32 + 0.055 * np.maximum(depth_mm, 0), dtype=np.float32)


def _emptiest(
    chest: Chest,
    crowd: Radii,
    place: Points,
    direction: Points,
    length: Radii,
    rng: np.random.Generator,
) -> tuple[Points, Radii]:
    """Return where each branch ends, and how deep that is: in the lung, where few branches are."""
    turns = rng.normal(0, 0.32, (TRIES, *direction.shape))
    turns[0] = 0
    ways = direction + turns
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    ends = place + ways * length[:, None]
    flat = np.asarray(ends.reshape(-1, 3).T, dtype=np.float32)
    depth = -chest.lungs(*flat).reshape(TRIES, -1)
    cost = crowd[_cell(ends)] + np.where(depth > MARGIN_MM, 0, 1e6 - depth)
    best = np.argmin(cost, axis=0)
    each = np.arange(len(length))
    return ends[best, each], depth[best, each]


def _cell(points: Points) -> tuple[NDArray[np.intp], ...]:
    """Return the cell of the crowd each point lies in."""
    shifted = points + np.array([_CELLS / 2, _CELLS / 2, _CELLS / 6]) * CELL_MM
    cells = np.clip((shifted / CELL_MM).astype(np.intp), 0, _CELLS - 1)
    return tuple(np.moveaxis(cells, -1, 0))


def _fork(
    place: Points, direction: Points, radius: Radii, rng: np.random.Generator
) -> tuple[Points, Points, Radii]:
    """Return two children of each branch: the thinner one turns away more."""
    unit = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    sideways = np.cross(unit, rng.normal(size=unit.shape))
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-6)
    share = rng.uniform(0.25, 0.75, len(radius))[:, None]
    first = unit + sideways * np.tan(0.25 + 0.5 * (1 - share))
    second = unit - sideways * np.tan(0.25 + 0.5 * share)
    radii = [radius * share[:, 0] ** (1 / 3), radius * (1 - share[:, 0]) ** (1 / 3)]
    return np.concatenate([place, place]), np.concatenate([first, second]), np.concatenate(radii)


def _bronchi() -> Tree:
    """Return the two main bronchi, from the carina to the hila."""
    carina = np.array([-2.0, 12.0, CARINA_MM + 3], dtype=np.float32)
    hila = np.array([[-40.0, 4.0, CARINA_MM - 25], [40.0, 4.0, CARINA_MM - 28]], dtype=np.float32)
    return Tree(np.tile(carina, (2, 1)), hila, np.full(2, 5.6, dtype=np.float32))


def _part(start: Points, end: Points, radius: Radii) -> tuple[Points, Points, Radii]:
    return start.astype(np.float32), end.astype(np.float32), radius.astype(np.float32)


def _joined(trees: list[Tree]) -> Tree:
    return Tree(
        np.concatenate([tree.start for tree in trees]),
        np.concatenate([tree.end for tree in trees]),
        np.concatenate([tree.radius for tree in trees]),
    )
