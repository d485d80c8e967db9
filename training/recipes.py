"""Everything a trained lesion engine depends on besides data and seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Augmentation = Literal["flips", "moderate", "heavy"]


@dataclass(frozen=True, slots=True)
class LookRecipe:
    """How a second look is trained, and what weight it has.

    Attributes
    ----------
    steps, batch : half of each batch are nodules.
    shift : in mm, how far a candidate may lie from the middle.
    zoom, gain, noise : of 1; patches are turned by any angle.
    share : of the second look in the final logit.
    patches : learn from luna16-patches, too.
    """

    steps: int = 900
    batch: int = 64
    rate: float = 2e-3
    shift: float = 3.0
    zoom: float = 0.2
    gain: float = 0.08
    noise: float = 0.02
    channels: tuple[int, ...] = (24, 48, 96, 128)
    share: float = 0.4
    patches: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a detector is trained and looked through.

    Attributes
    ----------
    steps, batch : of tiles of 96 mm.
    rate : the highest learning rate of AdamW.
    repaired : undo the source's 8-bit wrap-around.
    even_sizes : draw nodules of all sizes more alike than they occur.
    hard_negatives : a quarter of the tiles lie around false positives found on the way.
    mosaics : how many of the tiles of a batch are mosaics of luna16-patches.
    down, up : channels, see `training.lesion_net.build`.
    flips : at inference: 1 looks once, 2 at the mirror image, too, 4 at all four flips; averaged.
    look : the second look, None for none.
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
    flips: int = 1
    look: LookRecipe | None = None
