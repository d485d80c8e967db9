"""Fit one detector, resumably, and score fields with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE, field_maps
from engines.heat_map import find_peaks
from engines.model import Model
from training.fitting import Progress, Run, Schedule, train
from training.lesion_fields import Field
from training.lesion_tiles import Augmentation, Sampler
from training.patches import Patches
from training.predictions import SLICES, Prediction

_MINE_AT = (0.35, 0.65)  # of the run: where false positives are looked for
_HARD_A_FIELD = 4
_MINED_FIELDS = 240  # a quarter of the data: looking at all would cost as much as training

FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (0,), (0, 1))
"""Axes (0 rows, 1 columns) of the flips that may be averaged at inference, in this order."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a trained detector depends on besides data and seed.

    Attributes
    ----------
    steps, batch : of tiles of 96 mm.
    rate : the highest learning rate of AdamW.
    flips : at inference: 1 looks once, 4 averages over the four flips.
    """

    steps: int = 1800
    batch: int = 16
    rate: float = 2e-3
    augmentation: Augmentation = "moderate"
    repaired: bool = True
    even_sizes: bool = False
    hard_negatives: bool = False
    patches: bool = False
    down: tuple[int, ...] = (24, 48, 96, 128)
    up: tuple[int, ...] = (96, 48, 32)
    flips: int = 1


def fit(
    fields: list[Field],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
    patches: Patches | None = None,
) -> Any:
    """Train a detector on `fields`, and on `patches` if the recipe wants them.

    Returns
    -------
    keras.Model
        See `training.lesion_net.build`.
    """
    import keras  # heavy, training only

    from training.lesion_net import build, map_loss

    keras.utils.set_random_seed(seed)
    model = build(recipe.down, recipe.up)
    sampler = Sampler(
        fields,
        augmentation=recipe.augmentation,
        even_sizes=recipe.even_sizes,
        seed=seed,
        patches=patches if recipe.patches else None,
    )
    run = Run(folder, {**asdict(recipe), "seed": seed, "fields": len(fields)})
    mine_at = {int(recipe.steps * part) for part in _MINE_AT} if recipe.hard_negatives else set()

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if step in mine_at:
            run.notes["hard"] = hard_negatives(KerasModel(model), fields)
        sampler.mine(run.notes.get("hard", []))
        batch = sampler.draw(step, recipe.batch)
        return batch.tiles, batch.targets

    train(model, map_loss, draw, Schedule(recipe.steps, recipe.rate), run=run, watch=watch)
    return model


class KerasModel:
    """A Keras detector behind `engines.model.Model`, so that training scores as the engine does.

    Parameters
    ----------
    flips : 1 looks once; 2 or 4 average over flips.
    shift : added to the logits: what is not calibrated yet must not fall below the least
        probability that counts as a candidate.
    """

    backend, precision = "keras", "fp32"
    input_shape: tuple[int, ...] = INPUT_SHAPE
    outputs: tuple[str, ...] = (HEAT, DIAMETER)

    def __init__(self, *models: Any, flips: int = 1, shift: float = 0.0) -> None:
        self._models = models
        self._shift = np.float32(shift)
        self._flips = FLIPS[:flips]

    def run(self, view: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Answer with `heat` and `diameter_mm`; see `engines.model.Model.run`."""
        views = np.stack([np.flip(view[0, 0], axes) for axes in self._flips])[..., None]
        logits, logs = [], []
        for model in self._models:
            for maps, axes in zip(model.predict_on_batch(views), self._flips, strict=True):
                logits.append(np.flip(np.asarray(maps[..., 0]), axes))
                logs.append(np.flip(np.asarray(maps[..., 1]), axes))
        heat = 1 / (1 + np.exp(-np.mean(logits, axis=0) - self._shift))
        size = np.exp(np.clip(np.mean(logs, axis=0), 0.0, 5.0))
        return {HEAT: heat[None, None], DIAMETER: size[None, None]}

    def close(self) -> None:
        """Nothing to give back."""


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
        free = [
            (i, float(x), float(y))
            for _, x, y, _ in candidates(model, field)
            if not (np.hypot(marked[:, 0] - x, marked[:, 1] - y) <= marked[:, 2]).any()
        ]
        places += free[:_HARD_A_FIELD]
    return places
