"""LUNA16 slices as the detector sees them: lung fields with the readers' findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.lung_field import cut_field
from engines.lungs import Lungs, Mask, find_lungs
from engines.preprocess import HU_WINDOW
from training.luna import Finding, LunaSlice, read_hu


@dataclass(frozen=True, slots=True)
class Field:
    """One lung field and what the readers said of it.

    Attributes
    ----------
    source : the slice it was cut from.
    pixels : (H, W) uint8, grey 0..255 is HU -1000..400; 1 mm pixels.
    mask : (H, W), 1 in a lung or within 4 mm.
    nodules, ignored : (n, 3) float64 column, row, diameter, in pixels of the field.
    x, y : column and row of the slice at which the field begins.
    """

    source: LunaSlice
    pixels: NDArray[np.uint8]
    mask: Mask
    nodules: NDArray[np.float64]
    ignored: NDArray[np.float64]
    x: int = 0
    y: int = 0


def read_fields(
    folder: Path, slices: Iterable[LunaSlice], *, repaired: bool = True
) -> Iterator[Field]:
    """Cut every slice as the engine does; one without lungs is left out.

    Parameters
    ----------
    folder : a luna16-slices folder.
    repaired : undo the source's 8-bit wrap-around.
    """
    for source in slices:
        hu = read_hu(folder, source.image, repaired=repaired)
        lungs = find_lungs(hu)
        if lungs is not None:
            yield _field(source, hu, lungs)


def _field(source: LunaSlice, hu: NDArray[np.float32], lungs: Lungs) -> Field:
    field = cut_field(hu, lungs.masks, HU_WINDOW)
    return Field(
        source,
        np.rint(field.pixels * 255).astype(np.uint8),
        field.mask,
        _places(source.nodules, field.x_mm, field.y_mm),
        _places(source.ignored, field.x_mm, field.y_mm),
        field.x_mm,
        field.y_mm,
    )


def _places(findings: Iterable[Finding], left: int, top: int) -> NDArray[np.float64]:
    rows = [(f.x - left, f.y - top, f.diameter) for f in findings]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)
