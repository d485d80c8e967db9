"""Several detectors, several views of the field, and the calibration, as one graph.

What is trained, measured and shipped is one function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE

FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (0,), (0, 1))
"""Axes (0 rows, 1 columns) of the flips that may be averaged at inference, in this order."""

Graph = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``p = sigmoid(scale * logit + shift)``."""

    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What is averaged.

    Attributes
    ----------
    nets : each of `training.lesion_net.build`.
    flips : of the field, that each of them sees: 1, 2 or 4.
    """

    nets: tuple[Any, ...]
    flips: int = 1


def join(ensemble: Ensemble, calibration: Calibration) -> Graph:
    """Join the nets: (N, H, W, 1) float32 in [0, 1] -> `heat`, `diameter_mm` (N, h, w, 1)."""
    import keras  # heavy, training only
    import tensorflow as tf

    def graph(field: Any) -> dict[str, Any]:
        maps = _mean([_seen(net, field, ensemble.flips) for net in ensemble.nets])
        heat = keras.ops.sigmoid(calibration.scale * maps[..., :1] + calibration.shift)
        size = keras.ops.exp(keras.ops.clip(maps[..., 1:], 0.0, 5.0))
        return {HEAT: tf.identity(heat, name=HEAT), DIAMETER: tf.identity(size, name=DIAMETER)}

    return graph


class Joined:
    """An ensemble behind `engines.model.Model`: training scores as the engine does.

    Parameters
    ----------
    ensemble : see `Ensemble`.
    calibration : what is not calibrated yet must not fall below the least probability that counts
        as a candidate: shift it up.
    """

    backend, precision = "keras", "fp32"
    input_shape: tuple[int, ...] = INPUT_SHAPE
    outputs: tuple[str, ...] = (HEAT, DIAMETER)

    def __init__(self, ensemble: Ensemble, calibration: Calibration) -> None:
        import tensorflow as tf  # heavy, training only

        self._graph = tf.function(join(ensemble, calibration))

    def run(self, view: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Answer with `heat` and `diameter_mm`; see `engines.model.Model.run`."""
        answer = self._graph(view[0, 0][None, ..., None])
        return {name: np.asarray(maps)[None, ..., 0] for name, maps in answer.items()}

    def close(self) -> None:
        """Nothing to give back."""


def _seen(net: Any, field: Any, flips: int) -> Any:
    """Mean maps of one net over flips: (N, h, w, 2)."""
    import tensorflow as tf

    chosen = FLIPS[:flips]
    maps = net(tf.concat([_flip(field, axes) for axes in chosen], axis=0), training=False)
    apart = tf.split(maps, len(chosen), axis=0)
    return _mean([_flip(part, axes) for part, axes in zip(apart, chosen, strict=True)])


def _mean(maps: Sequence[Any]) -> Any:
    return sum(maps[1:], maps[0]) / float(len(maps))


def _flip(maps: Any, axes: Sequence[int]) -> Any:
    """Mirror (N, H, W, C) over rows (0) and columns (1): a Gather each, which every runtime has."""
    import tensorflow as tf

    for axis in axes:
        size = maps.shape[axis + 1]
        maps = tf.gather(maps, np.arange(size)[::-1].astype(np.int32), axis=axis + 1)
    return maps
