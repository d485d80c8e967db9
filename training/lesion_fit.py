"""Fit one detector, resumably, and score fields with it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE, field_maps
from engines.heat_map import find_peaks
from engines.model import Model
from training.froc import Matched, match
from training.lesion_fields import Field
from training.lesion_tiles import Augmentation, Sampler

_DECAY, _WARM_UP, _EMA = 1e-4, 0.04, 0.997
_SAVE_S = 120.0
_MINE_AT = (0.35, 0.65)  # of the run: where false positives are looked for
_HARD_A_FIELD = 4
_MINED_FIELDS = 240  # a quarter of the data: looking at all would cost as much as training


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
    down: tuple[int, ...] = (24, 48, 96, 128)
    up: tuple[int, ...] = (96, 48, 32)
    flips: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: steps made of steps planned, and the mean loss of the last 50."""

    step: int
    steps: int
    loss: float


def fit(
    fields: list[Field],
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
) -> Any:
    """Train on `fields`; go on where `folder` holds an unfinished run of the same recipe.

    Returns
    -------
    keras.Model
        With averaged weights (EMA). `folder` then holds ``losses.json``.
    """
    import keras  # heavy, training only

    from training.lesion_net import build, map_loss

    keras.utils.set_random_seed(seed)
    model = build(recipe.down, recipe.up)
    optimizer = keras.optimizers.AdamW(
        recipe.rate, weight_decay=_DECAY, use_ema=True, ema_momentum=_EMA, clipnorm=5.0
    )
    model.compile(optimizer, loss=map_loss)
    sampler = Sampler(
        fields, augmentation=recipe.augmentation, even_sizes=recipe.even_sizes, seed=seed
    )
    run = _Run(folder, {**asdict(recipe), "seed": seed, "fields": len(fields)})
    step = run.resume(model, sampler)
    saved = time.monotonic()
    while step < recipe.steps:
        if recipe.hard_negatives and step in {int(recipe.steps * part) for part in _MINE_AT}:
            run.hard = hard_negatives(KerasModel(model), fields)
            sampler.mine(run.hard)
        optimizer.learning_rate.assign(recipe.rate * _rate(step / recipe.steps))
        batch = sampler.draw(step, recipe.batch)
        run.losses.append(float(model.train_on_batch(batch.tiles, batch.targets)))
        step += 1
        if step % 50 == 0:
            watch(Progress(step, recipe.steps, float(np.mean(run.losses[-50:]))))
        if time.monotonic() - saved > _SAVE_S:
            run.save(model, step)
            saved = time.monotonic()
    optimizer.finalize_variable_values(model.trainable_variables)
    run.finish()
    return model


class _Run:
    """The files of an unfinished run: weights, optimizer, losses."""

    def __init__(self, folder: Path, what: dict[str, Any]) -> None:
        self._folder = folder
        self._what = json.loads(json.dumps(what))
        self.losses: list[float] = []
        self.hard: list[tuple[int, float, float]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self, model: Any, sampler: Sampler) -> int:
        """Load what was saved of the same run; return the step to go on from."""
        state = self._folder / "state.json"
        if not state.is_file():
            return 0
        saved = json.loads(state.read_text())
        if saved["what"] != self._what:
            return 0
        values = np.load(self._folder / f"state-{saved['step']}.npz")
        model.optimizer.build(model.trainable_variables)
        for i, variable in enumerate([*model.variables, *model.optimizer.variables]):
            variable.assign(values[str(i)])
        self.losses, self.hard = saved["losses"], [tuple(place) for place in saved["hard"]]
        if self.hard:
            sampler.mine(self.hard)
        return int(saved["step"])

    def save(self, model: Any, step: int) -> None:
        """Write weights first, then the small file that names them; the old ones go last."""
        variables = [*model.variables, *model.optimizer.variables]
        values = {str(i): np.asarray(v) for i, v in enumerate(variables)}
        np.savez(self._folder / f"state-{step}.npz", allow_pickle=False, **values)
        state = {"what": self._what, "step": step, "losses": self.losses, "hard": self.hard}
        draft = self._folder / "state.json.part"
        draft.write_text(json.dumps(state))
        draft.replace(self._folder / "state.json")
        for old in self._folder.glob("state-*.npz"):
            if old.name != f"state-{step}.npz":
                old.unlink()

    def finish(self) -> None:
        """Leave the losses, remove the rest."""
        (self._folder / "losses.json").write_text(json.dumps(self.losses))
        for old in (self._folder / "state.json", *self._folder.glob("state-*.npz")):
            old.unlink(missing_ok=True)


def _rate(done: float) -> float:
    """Learning rate, of 1: a short rise, then half a cosine to 1 %."""
    if done < _WARM_UP:
        return 0.1 + 0.9 * done / _WARM_UP
    return max(0.01, (1 + math.cos(math.pi * done)) / 2)


class KerasModel:
    """A Keras detector behind `engines.model.Model`, so that training scores as the engine does.

    Parameters
    ----------
    flips : 1 looks once; 2 or 4 average over flips.
    """

    backend, precision = "keras", "fp32"
    input_shape: tuple[int, ...] = INPUT_SHAPE
    outputs: tuple[str, ...] = (HEAT, DIAMETER)

    def __init__(self, *models: Any, flips: int = 1) -> None:
        self._models = models
        self._flips = ((), (1,), (0,), (0, 1))[:flips]

    def run(self, view: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Answer with `heat` and `diameter_mm`; see `engines.model.Model.run`."""
        views = np.stack([np.flip(view[0, 0], axes) for axes in self._flips])[..., None]
        logits, logs = [], []
        for model in self._models:
            for maps, axes in zip(model.predict_on_batch(views), self._flips, strict=True):
                logits.append(np.flip(np.asarray(maps[..., 0]), axes))
                logs.append(np.flip(np.asarray(maps[..., 1]), axes))
        heat = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
        size = np.exp(np.clip(np.mean(logs, axis=0), 0.0, 5.0))
        return {HEAT: heat[None, None], DIAMETER: size[None, None]}

    def close(self) -> None:
        """Nothing to give back."""


def candidates(model: Model, field: Field) -> NDArray[np.float64]:
    """Score one field: (n, 4) probability, column, row, diameter in mm; at most 32 rows."""
    heat, diameter = field_maps(model, field.pixels.astype(np.float32) / np.float32(255))
    rows = [(p.probability, p.x, p.y, p.diameter_mm) for p in find_peaks(heat, diameter)]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def matched(model: Model, fields: list[Field]) -> list[Matched]:
    """Score fields and match what is found with what the readers marked."""
    return [match(f.source.patient, candidates(model, f), f.nodules, f.ignored) for f in fields]


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
