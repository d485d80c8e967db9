"""From a slice to what an engine's network takes. Pure, so it can be done ahead and elsewhere."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from engines.lung_field import cut_field
from engines.preprocess import cut_views, find_lungs_in
from engines.protocol import CtSlice, Preparation, Prepared


def prepare(ct: CtSlice, preparation: Preparation) -> Prepared:
    """Do to a slice what an engine wants done.

    Raises
    ------
    NotScorable   the slice holds no lungs, or no plausible pixels or spacing.
    """
    began = time.perf_counter()
    found = find_lungs_in(ct)
    masks = found.lungs.masks
    views: tuple[NDArray[np.float32], ...]
    if preparation.kind == "field":
        field = cut_field(found.grid, masks, preparation.hu_window)
        views, corner = (field.pixels,), (field.x_mm, field.y_mm)
    else:
        cut = cut_views(found, size=preparation.size, hu_window=preparation.hu_window)
        views, corner = tuple(view.pixels for view in cut), (cut[0].x_mm, cut[0].y_mm)
    height, width = ct.hu.shape
    return Prepared(
        shape=(height, width),
        grid_shape=(found.grid.shape[0], found.grid.shape[1]),
        views=views,
        x_mm=corner[0],
        y_mm=corner[1],
        quality=tuple(found.quality.items()),
        preprocess_ms=(time.perf_counter() - began) * 1000.0,
    )
