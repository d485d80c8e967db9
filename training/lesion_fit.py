"""Fit one detector, resumably, and score fields with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import field_maps
from engines.heat_map import find_peaks
from engines.model import Model
from training.fitting import Progress, Run, Schedule, built, train
from training.joined import Calibration, Ensemble, Joined
from training.lesion_fields import Field
from training.lesion_tiles import Sampler
from training.patches import Patches
from training.predictions import SLICES, Prediction
from training.recipes import Recipe

MODEL = "model.keras"
"""What `fit` leaves in its folder."""

_MINE_AT = (0.35, 0.65)  # of the run: where false positives are looked for
_HARD_A_FIELD = 4
_MINED_FIELDS = 240  # a quarter of the data: looking at all would cost as much as training


def fit(
    fields: list[Field],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
    patches: Patches | None = None,
) -> Any:
    """Train a detector on `fields`, and on mosaics of `patches` if the recipe wants them.

    Returns
    -------
    keras.Model
        See `training.lesion_net.build`.
    """
    import keras  # heavy, training only

    from training.lesion_net import build, map_loss

    keras.utils.set_random_seed(seed)
    model = built(lambda: build(recipe.down, recipe.up))
    sampler = Sampler(
        fields,
        augmentation=recipe.augmentation,
        even_sizes=recipe.even_sizes,
        seed=seed,
        patches=patches,
        mosaics=recipe.mosaics,
    )
    run = Run(folder, {**asdict(recipe), "seed": seed, "fields": len(fields)})
    mine_at = {int(recipe.steps * part) for part in _MINE_AT} if recipe.hard_negatives else set()

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if step in mine_at:
            run.notes["hard"] = hard_negatives(Joined(Ensemble((model,)), Calibration()), fields)
        sampler.mine(run.notes.get("hard", []))
        batch = sampler.draw(step, recipe.batch)
        return batch.tiles, batch.targets

    schedule = Schedule(recipe.steps, recipe.rate)
    train(model, map_loss, draw, schedule, run=run, name=MODEL, watch=watch)
    return model


def candidates(model: Model, field: Field) -> NDArray[np.float64]:
    """Score one field: (n, 4) probability, column, row, diameter in mm; at most 32 rows."""
    heat, diameter = field_maps(model, field.pixels.astype(np.float32) / np.float32(255))
    rows = [(p.probability, p.x, p.y, p.diameter_mm) for p in find_peaks(heat, diameter)]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def predict(model: Model, field: Field) -> Prediction:
    """Score one field, in the slice's own pixels."""
    rows = candidates(model, field) + np.array([0.0, field.x, field.y, 0.0])
    score = float(rows[0, 0]) if len(rows) else 0.0
    return Prediction(SLICES, field.source.image, score, rows)


def hard_negatives(model: Model, fields: list[Field]) -> list[tuple[int, float, float]]:
    """Find the most probable false positives: (index of the field, column, row)."""
    places = []
    picked = np.linspace(0, len(fields) - 1, min(_MINED_FIELDS, len(fields))).astype(int)
    for i in picked.tolist():
        field = fields[i]
        marked = np.concatenate((field.nodules, field.ignored))
        rows = candidates(model, field)[:, 1:3]
        free = rows[nearest(rows, marked) > 1.0][:_HARD_A_FIELD]
        places += [(i, float(x), float(y)) for x, y in free]
    return places


def nearest(rows: NDArray[np.float64], findings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each place to its nearest finding, in diameters of that; (n,)."""
    offset = rows[:, None] - findings[None, :, :2]
    distance = np.hypot(offset[..., 0], offset[..., 1]) / findings[None, :, 2]
    return np.asarray(distance.min(axis=1, initial=np.inf))
