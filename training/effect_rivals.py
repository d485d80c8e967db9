"""What a network that compares plans is beside: one plan for all, boosting, the textbook model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.effect_fit import turned
from training.effect_table import Table
from training.fitting import Run, Schedule
from training.fitting import train as fit

Values = NDArray[np.float64]

SIDE, ZOOM = 224, 7  # 32 x 7
STEPS, BATCH, RATE = 300, 32, 1e-3


def one_for_all(seen: Table, lesions: int) -> Values:
    """Say the mean response of each plan of every lesion: (lesions, plans)."""
    means = [seen.response[seen.plan == i].mean() for i in range(len(seen.plans))]
    return np.tile(np.asarray(means), (lesions, 1))


def boosted(seen: Table, measured: Values, unseen: Values) -> Values:
    """Boosting for each plan on what was measured of a lesion: (L, features) -> (N, plans)."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # the train extra

    effects = []
    for plan in range(len(seen.plans)):
        rows = seen.plan == plan
        model = HistGradientBoostingRegressor(max_iter=80, learning_rate=0.05, max_leaf_nodes=15)
        model.fit(measured[seen.lesion[rows]], seen.response[rows])
        effects.append(model.predict(unseen))
    return np.column_stack(effects)


def build_textbook(plans: int) -> Any:
    """Build the textbook's functional model: picture and treatment in, softmax over plans out.

    Inputs `image` (N, 224, 224, 3) and `treatment` (N, plans), the plan before, one-hot; output
    (N, plans) logits.
    """
    from keras import Input, Model, layers  # 4 s, training only

    image = Input((SIDE, SIDE, 3), name="image")
    treatment = Input((plans,), name="treatment")
    x = image
    for wide in (8, 16, 32):
        x = layers.Conv2D(wide, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    flat = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    given = layers.Dense(16, activation="relu")(treatment)
    hidden = layers.Dense(32, activation="relu")(layers.Concatenate()([flat, given]))
    return Model([image, treatment], layers.Dense(plans, name="plan")(hidden), name="textbook")


def textbook(seen: Table, unseen: NDArray[np.float32], folder: Path) -> Values:
    """Answer for unseen lesions by the textbook model: (N, plans), the least is the plan named.

    It learns the plan of those who did better than half of all on the same plan. The treatment
    before says nothing in this world: it is drawn by lot.
    """
    import keras  # heavy, training only

    plans = len(seen.plans)
    middle = np.asarray([np.median(seen.response[seen.plan == i]) for i in range(plans)])
    well = np.flatnonzero(seen.response < middle[seen.plan])
    keras.utils.set_random_seed(0)
    model = build_textbook(plans)

    def draw(step: int) -> tuple[Any, NDArray[np.float32]]:
        rng = np.random.default_rng([0, step])
        rows = rng.choice(well, BATCH)
        views = np.stack([turned(seen.views[seen.lesion[row]], rng) for row in rows])
        return [enlarged(views), _drawn(plans, BATCH, rng)], seen.plan[rows].astype(np.float32)

    path = folder / "textbook.keras"
    if path.is_file():
        model.load_weights(path)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        run = Run(folder, {"steps": STEPS, "responses": len(seen.response)})
        fit(
            model,
            loss,
            draw,
            Schedule(STEPS, RATE),
            run=run,
            name=path.name,
            watch=lambda _: None,
        )
    rng = np.random.default_rng(1)
    said = [
        model.predict([enlarged(part), _drawn(plans, len(part), rng)], verbose=0)
        for part in np.array_split(unseen, max(1, len(unseen) // 64))
    ]
    return -np.concatenate(said).astype(np.float64)


def enlarged(views: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 32, 32) as the (N, 224, 224, 3) that the textbook takes."""
    large = views.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
    return np.repeat(large[..., None], 3, axis=-1)


def _drawn(plans: int, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return np.eye(plans, dtype=np.float32)[rng.integers(plans, size=count)]
