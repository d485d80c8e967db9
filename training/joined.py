"""One network of two stages: the detector proposes, a second look at each proposal disposes.

The second look is a patch classifier on 48 x 48 mm around each of the 16 highest peaks, as LUNA16's
false positive reduction stage is (Setio et al., Med Image Anal 2017, section 2.3). Both stages and
the calibration become one graph, so what is trained, measured and shipped is one function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE
from engines.heat_map import CELL_MM
from training.look_net import SIDE

FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (0,), (0, 1))
"""Axes (0 rows, 1 columns) of the flips that may be averaged at inference, in this order."""

LOOKS = 16
_APART = 5  # cells: of two peaks closer than this only the higher is looked at
_UNSEEN = -5.0  # logit of what was not looked at
_LOW = -1e4

Graph = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``p = sigmoid(scale * logit + shift)``."""

    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, slots=True)
class Stages:
    """What is joined.

    Attributes
    ----------
    detector : of `training.lesion_net.build`.
    look : of `training.look_net.build`, None for none.
    flips : of the field, over which the detector is averaged: 1, 2 or 4.
    share : of the second look in the final logit, 0..1.
    """

    detector: Any
    look: Any = None
    flips: int = 1
    share: float = 0.0


def join(stages: Stages, calibration: Calibration) -> Graph:
    """Join the stages: (1, H, W, 1) float32 in [0, 1] -> `heat`, `diameter_mm` (1, h, w, 1)."""
    import keras  # heavy, training only
    import tensorflow as tf

    def graph(field: Any) -> dict[str, Any]:
        maps = _detected(stages, field)
        logit = maps[..., :1]
        if stages.look is not None:
            seen = _looked(stages.look, field, logit)
            logit = (1 - stages.share) * logit + stages.share * seen
        heat = keras.ops.sigmoid(calibration.scale * logit + calibration.shift)
        size = keras.ops.exp(keras.ops.clip(maps[..., 1:], 0.0, 5.0))
        return {HEAT: tf.identity(heat, name=HEAT), DIAMETER: tf.identity(size, name=DIAMETER)}

    return graph


class Joined:
    """Joined stages behind `engines.model.Model`: training scores as the engine does.

    Parameters
    ----------
    stages : see `Stages`.
    calibration : what is not calibrated yet must not fall below the least probability that counts
        as a candidate: shift it up.
    """

    backend, precision = "keras", "fp32"
    input_shape: tuple[int, ...] = INPUT_SHAPE
    outputs: tuple[str, ...] = (HEAT, DIAMETER)

    def __init__(self, stages: Stages, calibration: Calibration) -> None:
        import tensorflow as tf  # heavy, training only

        self._graph = tf.function(join(stages, calibration))

    def run(self, view: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Answer with `heat` and `diameter_mm`; see `engines.model.Model.run`."""
        answer = self._graph(view[0, 0][None, ..., None])
        return {name: np.asarray(maps)[None, ..., 0] for name, maps in answer.items()}

    def close(self) -> None:
        """Nothing to give back."""


def _detected(stages: Stages, field: Any) -> Any:
    """Mean maps over flips: (1, h, w, 2)."""
    import tensorflow as tf

    flips = FLIPS[: stages.flips]
    views = tf.concat([_flip(field, axes) for axes in flips], axis=0)
    maps = stages.detector(views, training=False)
    back = [_flip(maps[i : i + 1], axes) for i, axes in enumerate(flips)]
    return sum(back[1:], back[0]) / float(len(back))


def _looked(look: Any, field: Any, logit: Any) -> Any:
    """Logits of the second look, spread over the cells around each peak: (1, h, w, 1)."""
    import tensorflow as tf

    _, height, width, _ = logit.shape
    peak = logit >= tf.nn.max_pool2d(logit, _APART, 1, "SAME")
    _, places = tf.math.top_k(tf.reshape(tf.where(peak, logit, _LOW), [1, -1]), LOOKS)
    row, column = places[0] // width, places[0] % width
    edge = SIDE // 2
    framed = tf.pad(field, [[0, 0], [edge, edge], [edge, edge], [0, 0]])
    stride = framed.shape[2]
    # a peak's cell covers pixels 2 i and 2 i + 1: the patch begins 23 before the first
    corner = (row * CELL_MM + 1) * stride + column * CELL_MM + 1
    inside = np.arange(SIDE, dtype=np.int32)[:, None] * stride + np.arange(SIDE, dtype=np.int32)
    at = tf.reshape(corner, [LOOKS, 1, 1]) + inside[None]
    patches = tf.gather(tf.reshape(framed, [-1]), at)[..., None]
    said = tf.reshape(look(patches, training=False), [LOOKS, 1, 1])
    near_row = tf.abs(np.arange(height, dtype=np.int32)[None] - row[:, None]) <= _APART // 2
    near_column = tf.abs(np.arange(width, dtype=np.int32)[None] - column[:, None]) <= _APART // 2
    near = near_row[:, :, None] & near_column[:, None, :]
    spread = tf.reduce_max(tf.where(near, said, _LOW), axis=0)
    return tf.maximum(spread, _UNSEEN)[None, ..., None]


def _flip(maps: Any, axes: Sequence[int]) -> Any:
    """Mirror (N, H, W, C) over rows (0) and columns (1): a Gather each, which every runtime has."""
    import tensorflow as tf

    for axis in axes:
        size = maps.shape[axis + 1]
        maps = tf.gather(maps, np.arange(size)[::-1].astype(np.int32), axis=axis + 1)
    return maps
