"""Everything a trained network depends on besides data and seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Augmentation = Literal["flips", "moderate", "heavy"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one detector is trained.

    Attributes
    ----------
    steps, batch : of tiles of 96 mm.
    rate : the highest learning rate of AdamW.
    repaired : undo the source's 8-bit wrap-around.
    even_sizes : draw nodules of all sizes more alike than they occur.
    hard_negatives : a quarter of the tiles lie around false positives found on the way.
    mosaics : how many of the tiles of a batch are mosaics of luna16-patches.
    down, up : channels, see `training.lesion_net.build`.
    """

    steps: int = 1800
    batch: int = 16
    rate: float = 2e-3
    augmentation: Augmentation = "moderate"
    repaired: bool = True
    even_sizes: bool = False
    hard_negatives: bool = False
    mosaics: int = 0
    down: tuple[int, ...] = (24, 48, 96, 128)
    up: tuple[int, ...] = (96, 48, 32)


@dataclass(frozen=True, slots=True)
class PatchRecipe:
    """How the network for candidates' patches is trained.

    Attributes
    ----------
    steps, batch : half of each batch are nodules.
    rate : the highest learning rate of AdamW.
    shift : in mm, how far a candidate may lie from the middle.
    zoom, gain, noise : of 1; patches are turned by any angle.
    channels : see `training.candidate_net.build`.
    """

    steps: int = 3000
    batch: int = 64
    rate: float = 2e-3
    shift: float = 3.0
    zoom: float = 0.25
    gain: float = 0.12
    noise: float = 0.03
    channels: tuple[int, ...] = (24, 48, 96, 128)


BASE = Recipe()
LONG = replace(BASE, steps=9000)

RECIPES: dict[str, tuple[Recipe, str]] = {
    "base": (BASE, "moderate augmentation, 1,800 steps of 16 tiles"),
    "mosaics": (replace(BASE, mosaics=4), "a quarter of the tiles are mosaics of patches"),
    "heavy": (replace(BASE, augmentation="heavy"), "any rotation, more zoom, shear and noise"),
    "flips-only": (replace(BASE, augmentation="flips"), "no augmentation but flips"),
    "hard-negatives": (replace(BASE, hard_negatives=True), "tiles around false positives"),
    "even-sizes": (replace(BASE, even_sizes=True), "nodules of all sizes drawn more alike"),
    "no-repair": (replace(BASE, repaired=False), "8-bit wrap-around left in"),
    "wide": (
        Recipe(down=(32, 64, 128, 192), up=(128, 64, 32), steps=1150),
        "twice the weights, the same time",
    ),
    "long": (LONG, "9,000 steps"),
    "long-heavy": (replace(LONG, augmentation="heavy"), "9,000 steps, as heavy"),
    "long-mosaics": (replace(LONG, mosaics=2), "9,000 steps, an eighth of the tiles mosaics"),
    "long-wide": (
        Recipe(down=(32, 64, 128, 192), up=(128, 64, 32), steps=9000),
        "9,000 steps, twice the weights",
    ),
    "longer": (
        Recipe(augmentation="heavy", mosaics=3, steps=14000),
        "14,000 steps, heavy, three tiles of a batch mosaics",
    ),
}
"""Recipes by name, and what each tries."""

SHIPPED: tuple[str, ...] = ("long", "longer")
"""Recipes of the networks that the shipped engine averages."""
