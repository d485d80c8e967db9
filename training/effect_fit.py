"""Train networks on the responses to plans, and measure what is strange to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.effect_net import FEATURES, build
from training.effect_table import Table
from training.fitting import Run, Schedule
from training.fitting import train as fit

NETS = 2
STEPS, BATCH, RATE = 1200, 128, 2e-3

_MODEL = "net.keras"

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strangeness:
    """How far a lesion's features lie from those of training (Mahalanobis, squared, over FEATURES).

    mean : (FEATURES,); whitening : (FEATURES, FEATURES).
    """

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    @classmethod
    def of(cls, features: Values) -> Strangeness:
        """Measure the features of training, (L, FEATURES)."""
        spread = np.cov(features, rowvar=False) + 1e-4 * np.eye(features.shape[1])
        root = np.linalg.cholesky(np.linalg.inv(spread))
        return cls(features.mean(axis=0).astype(np.float32), root.astype(np.float32))

    def measure(self, features: Values) -> Values:
        """Return the strangeness of features: (N, FEATURES) -> (N,), 1 on average in training."""
        apart = (features - self.mean) @ self.whitening
        return np.asarray((apart * apart).sum(axis=1) / FEATURES)


@dataclass(frozen=True, slots=True)
class Learnt:
    """Networks that are averaged, each with what is strange to it."""

    nets: Sequence[Any]
    strange: Sequence[Strangeness]
    plans: int

    def answer(self, views: NDArray[np.float32]) -> tuple[Values, Values]:
        """Return effects (N, plans) and strangeness (N,)."""
        said = [net.predict(views[..., None], verbose=0, batch_size=256) for net in self.nets]
        effects = np.mean([one[:, : self.plans] for one in said], axis=0)
        strange = [
            s.measure(one[:, self.plans :]) for s, one in zip(self.strange, said, strict=True)
        ]
        return effects.astype(np.float64), np.mean(strange, axis=0).astype(np.float64)


def learn(seen: Table, folder: Path, *, watch: Callable[[], None] = lambda: None) -> Learnt:
    """Train networks on a table; each that is finished in `folder` is loaded instead."""
    import keras  # heavy, training only

    made, strange = [], []
    for seed in range(NETS):
        keras.utils.set_random_seed(seed)
        net = build(len(seen.plans))
        path = folder / str(seed)
        if (path / _MODEL).is_file():
            net.load_weights(path / _MODEL)
        else:
            _fit(net, seen, path, seed)
        features = net.predict(seen.views[..., None], verbose=0, batch_size=256)
        made.append(net)
        strange.append(Strangeness.of(features[:, len(seen.plans) :].astype(np.float64)))
        watch()
    return Learnt(made, strange, len(seen.plans))


def _fit(net: Any, seen: Table, folder: Path, seed: int) -> None:
    """Train on the plan that each patient had: of the others nothing is known."""
    from keras import ops

    plans = len(seen.plans)

    def draw(step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(len(seen.response), size=BATCH)
        views = [turned(seen.views[seen.lesion[row]], rng) for row in rows]
        wanted = np.zeros((BATCH, 2 * plans), dtype=np.float32)
        wanted[np.arange(BATCH), seen.plan[rows]] = 1.0
        wanted[np.arange(BATCH), plans + seen.plan[rows]] = seen.response[rows]
        return np.stack(views)[..., None], wanted

    def loss(wanted: Any, said: Any) -> Any:
        had, response = wanted[:, :plans], wanted[:, plans:]
        miss = ops.sum(had * (said[:, :plans] - response), axis=1)
        return ops.mean(miss * miss)

    what = {"seed": seed, "responses": len(seen.response), "steps": STEPS, "plans": plans}
    fit(
        net,
        loss,
        draw,
        Schedule(STEPS, RATE),
        run=Run(folder, what),
        name=_MODEL,
        watch=lambda _: None,
    )


def turned(view: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn, mirror and shift a view by a pixel at most: nothing that a plan depends on."""
    view = np.rot90(view, int(rng.integers(4)))
    view = view[:, ::-1] if rng.random() < 0.5 else view
    return np.roll(view, rng.integers(-1, 2, size=2), axis=(0, 1))
