"""Train the network that judges candidates, on patches of nodules and of what was none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.candidate_net import SIDE
from training.fitting import Progress, Run, Schedule, built, train
from training.patches import Patches
from training.recipes import PatchRecipe

MODEL = "model.keras"
"""What `fit` leaves in its folder."""


def fit(
    patches: Patches,
    recipe: PatchRecipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
) -> Any:
    """Train on `patches`; return a Keras model, see `training.candidate_net.build`."""
    import keras  # heavy, training only

    from training.candidate_net import build

    keras.utils.set_random_seed(seed)
    model = built(lambda: build(recipe.channels))
    labels = patches.labels
    pools = [np.flatnonzero(labels == label) for label in (0, 1)]

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, step])
        rows = [int(rng.choice(pools[i % 2])) for i in range(recipe.batch)]
        views = np.stack([changed(patches.pixels[row], recipe, rng) for row in rows])
        return views[..., None], labels[rows, None].astype(np.float32)

    what = {**asdict(recipe), "seed": seed, "patches": len(labels)}
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)
    schedule = Schedule(recipe.steps, recipe.rate)
    train(model, loss, draw, schedule, run=Run(folder, what), name=MODEL, watch=watch)
    return model


def changed(
    patch: NDArray[np.uint8], recipe: PatchRecipe, rng: np.random.Generator
) -> NDArray[np.float32]:
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
