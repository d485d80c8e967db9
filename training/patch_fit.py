"""Train the second look on candidates, and score patches with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.fitting import Progress, Run, Schedule, train
from training.patch_net import SIDE

Pixels = NDArray[np.uint8]
_BATCH_SCORED = 256


@dataclass(frozen=True, slots=True)
class PatchRecipe:
    """Everything a second look depends on besides data and seed.

    Attributes
    ----------
    steps, batch : half of each batch are nodules.
    shift : in mm, how far a candidate may lie from the middle.
    zoom, gain, noise : of 1; patches are turned by any angle.
    flips : at inference: averaged over 1, or all 8 flips and quarter turns.
    """

    steps: int = 1000
    batch: int = 64
    rate: float = 2e-3
    shift: float = 3.0
    zoom: float = 0.2
    gain: float = 0.08
    noise: float = 0.02
    channels: tuple[int, ...] = (32, 64, 96, 128)
    flips: int = 8


def fit(
    pixels: Pixels,
    labels: NDArray[np.int64],
    recipe: PatchRecipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
) -> Any:
    """Train on (N, S, S) patches, S >= 48; return a Keras model, see `training.patch_net.build`."""
    import keras  # heavy, training only

    from training.patch_net import build

    keras.utils.set_random_seed(seed)
    model = build(recipe.channels)
    pools = [np.flatnonzero(labels == label) for label in (0, 1)]

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, step])
        rows = [int(rng.choice(pools[i % 2])) for i in range(recipe.batch)]
        views = np.stack([changed(pixels[row], recipe, rng) for row in rows])
        return views[..., None], labels[rows, None].astype(np.float32)

    what = {**asdict(recipe), "seed": seed, "patches": len(labels)}
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)
    schedule = Schedule(recipe.steps, recipe.rate)
    train(model, loss, draw, schedule, run=Run(folder, what), watch=watch)
    return model


def changed(patch: Pixels, recipe: PatchRecipe, rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn, mirror, scale, shift and shade one patch: (48, 48) float32 in [0, 1]."""
    angle = rng.uniform(0, 2 * np.pi)
    zoom = rng.uniform(1 - recipe.zoom, 1 + recipe.zoom)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * turn @ np.diag([rng.choice([-1.0, 1.0]), 1.0])
    centre = (patch.shape[0] - 1) / 2 + rng.uniform(-recipe.shift, recipe.shift, 2)
    affine = np.column_stack((matrix, np.full(2, (SIDE - 1) / 2) - matrix @ centre))
    warped = cv2.warpAffine(
        patch, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    gain = rng.uniform(1 - recipe.gain, 1 + recipe.gain)
    noise = rng.normal(0.0, rng.uniform(0.0, recipe.noise), warped.shape)
    return np.clip(warped / 255 * gain + noise, 0.0, 1.0).astype(np.float32)


def score(model: Any, pixels: Pixels, *, flips: int) -> NDArray[np.float64]:
    """Mean logit of each of (N, S, S) patches over flips and quarter turns: (N,)."""
    edge = (pixels.shape[1] - SIDE) // 2
    views = pixels[:, edge : edge + SIDE, edge : edge + SIDE].astype(np.float32) / np.float32(255)
    total = np.zeros(len(views))
    for i in range(flips):
        turned = np.rot90(views, i % 4, axes=(1, 2))
        turned = turned[:, :, ::-1] if i >= 4 else turned
        for start in range(0, len(views), _BATCH_SCORED):
            part = np.ascontiguousarray(turned[start : start + _BATCH_SCORED, ..., None])
            total[start : start + _BATCH_SCORED] += model.predict_on_batch(part)[:, 0]
    return total / flips
