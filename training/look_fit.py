"""Train the second look: on nodules, and on what a detector or a person took for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.model import Model
from training.fitting import Progress, Run, Schedule, train
from training.lesion_fields import Field
from training.lesion_fit import candidates, nearest
from training.look_net import SIDE
from training.patches import Patches
from training.recipes import LookRecipe

Pixels = NDArray[np.uint8]
LOOK = "look.keras"
"""What `fit` leaves in its folder."""

_MOST_A_FIELD = 16
_CUT = 74  # a square that holds the turned, zoomed and shifted 48 mm but for its corners


@dataclass(frozen=True, slots=True)
class Examples:
    """N squares of any side >= 48, uint8, and (N,) labels: 1 nodule, 0 none."""

    pixels: Sequence[Pixels]
    labels: NDArray[np.int64]


def find_examples(model: Model, fields: Sequence[Field], patches: Patches | None) -> Examples:
    """Cut out every nodule, what the detector takes for one, and all of `patches`."""
    pixels, labels = [], []
    for field in fields:
        marked = np.concatenate((field.nodules, field.ignored))
        rows = candidates(model, field)[:_MOST_A_FIELD, 1:3]
        hit = nearest(rows, field.nodules) <= 0.5
        free = nearest(rows, marked) > 1.0
        places = np.concatenate((field.nodules[:, :2], rows[hit], rows[free]))
        pixels += [_cut(field.pixels, x, y) for x, y in places]
        labels += [1] * (len(field.nodules) + int(hit.sum())) + [0] * int(free.sum())
    if patches is not None:
        pixels += list(patches.pixels)
        labels += patches.labels.tolist()
    return Examples(pixels, np.asarray(labels, dtype=np.int64))


def _cut(pixels: Pixels, x: float, y: float) -> Pixels:
    framed = np.pad(pixels, _CUT // 2)
    row, column = (int(v) for v in np.clip(np.rint((y, x)), 0, pixels.shape))
    return framed[row : row + _CUT, column : column + _CUT]


def fit(
    examples: Examples,
    recipe: LookRecipe,
    *,
    seed: int,
    folder: Path,
    watch: Callable[[Progress], None],
) -> Any:
    """Train a second look; return a Keras model, see `training.look_net.build`."""
    import keras  # heavy, training only

    from training.look_net import build

    keras.utils.set_random_seed(seed)
    model = build(recipe.channels)
    labels = examples.labels
    pools = [np.flatnonzero(labels == label) for label in (0, 1)]

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, step])
        rows = [int(rng.choice(pools[i % 2])) for i in range(recipe.batch)]
        views = np.stack([changed(examples.pixels[row], recipe, rng) for row in rows])
        return views[..., None], labels[rows, None].astype(np.float32)

    what = {**asdict(recipe), "seed": seed, "examples": len(labels)}
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.02)
    schedule = Schedule(recipe.steps, recipe.rate)
    train(model, loss, draw, schedule, run=Run(folder, what), name=LOOK, watch=watch)
    return model


def changed(patch: Pixels, recipe: LookRecipe, rng: np.random.Generator) -> NDArray[np.float32]:
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
