"""The forecast's networks: a course in, the probabilities of stretches of growth out.

A distribution over stretches, one of them "exactly as it is", instead of a number: the median, an
interval and the probability of progression are read from it, and three readings in ten do repeat
the last, which no quantile regression knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

OFFSET_MM = 5.0
STRETCHES = 12
"""On either side of "as it is", of equal frequency in training."""

_LEAST, _MOST = -1.2, 0.9  # log growth: 30 mm to 5.5 mm, 30 mm to 81 mm


def growth_of(last: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``log((next + offset) / (last + offset))``."""
    return np.asarray(np.log((target + OFFSET_MM) / (last + OFFSET_MM)))


def edges_of(growth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut growth into 2 `STRETCHES` + 1 stretches: (2 STRETCHES + 2,) edges, ascending."""
    levels = np.linspace(0.0, 1.0, STRETCHES + 1)[1:-1]
    shrinking = np.quantile(growth[growth < 0], levels)
    growing = np.quantile(growth[growth > 0], levels)
    return np.concatenate(([_LEAST], shrinking, [-1e-9, 1e-9], growing, [_MOST]))


def stretch_of(growth: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the stretch that each growth lies in; the outer ones are open."""
    return np.searchsorted(edges[1:-1], growth)


def build(seen: NDArray[np.float32], stretches: int, width: int = 64) -> Any:
    """Build the network of one visit's features: (N, F) -> (N, stretches) logits.

    Parameters
    ----------
    seen : (N, F) of training, which the features are measured against.
    """
    from keras import Input, Model, layers  # 4 s, training only

    view = Input((seen.shape[-1],), name="course")
    x = _measured(view, seen)
    for _ in range(2):
        x = layers.Dropout(0.2)(layers.Dense(width, activation="swish")(x))
    return Model(view, layers.Dense(stretches, name="logit")(x), name="response")


def build_recurrent(seen: NDArray[np.float32], stretches: int, width: int = 48) -> Any:
    """Build a GRU over all visits so far: (N, visits, F), the last visit last, 0 before the first.

    Parameters
    ----------
    seen : (N, visits, F) of training.
    """
    from keras import Input, Model, layers, ops

    view = Input(seen.shape[1:], name="course")
    there = ops.any(ops.not_equal(view, 0.0), axis=-1)
    rows = seen.reshape(-1, seen.shape[-1])
    x = _measured(view, rows[np.any(rows != 0, axis=-1)])
    x = layers.Dropout(0.15)(x)
    state = layers.GRU(width)(layers.Dense(width, activation="swish")(x), mask=there)
    x = layers.Concatenate()([layers.Dropout(0.3)(state), x[:, -1]])
    x = layers.Dropout(0.3)(layers.Dense(64, activation="swish")(x))
    return Model(view, layers.Dense(stretches, name="logit")(x), name="recurrent")


def _measured(view: Any, seen: NDArray[np.float32]) -> Any:
    """Bring features to mean 0 and spread 1, at most 4 of it."""
    from keras import layers, ops

    mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    scaled = layers.Rescaling(scale=(1 / spread).tolist(), offset=(-mean / spread).tolist())(view)
    return ops.clip(scaled, -4.0, 4.0)
