"""From trained Keras detectors to one plain ONNX file: flips averaged, logits calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE
from engines.errors import EngineFailed
from training.lesion_fit import FLIPS
from training.textbook_export import OPSET

_AGREEMENT = 1e-3  # of probabilities; half of it is the order of sums


@dataclass(frozen=True, slots=True)
class Calibration:
    """``p = sigmoid(scale * logit + shift)``."""

    scale: float
    shift: float


def export(models: Sequence[Any], calibration: Calibration, path: Path, *, flips: int) -> None:
    """Write the mean of `models` over `flips` as ONNX.

    Parameters
    ----------
    models : of `training.lesion_net.build`.
    path : the file; input `field` (1, 1, 256, 352), outputs `heat` and `diameter_mm`.

    Raises
    ------
    EngineFailed  the file's answers differ from the models' by more than 1e-3.
    """
    import keras  # heavy, training only
    import onnx
    import tensorflow as tf
    import tf2onnx

    _, _, height, width = INPUT_SHAPE
    spec = (tf.TensorSpec((1, height, width, 1), tf.float32, name="field"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def maps(field: Any) -> dict[str, Any]:
        looks = tf.concat([_flip(field, axes) for axes in FLIPS[:flips]], axis=0)
        answers = [model(looks, training=False) for model in models]
        back = [
            _flip(answer[i : i + 1], axes)
            for answer in answers
            for i, axes in enumerate(FLIPS[:flips])
        ]
        mean = sum(back[1:], back[0]) / float(len(back))
        heat = keras.ops.sigmoid(calibration.scale * mean[..., :1] + calibration.shift)
        size = keras.ops.exp(keras.ops.clip(mean[..., 1:], 0.0, 5.0))
        return {HEAT: tf.identity(heat, name=HEAT), DIAMETER: tf.identity(size, name=DIAMETER)}

    proto, _ = tf2onnx.convert.from_function(
        maps,
        input_signature=spec,
        opset=OPSET,
        inputs_as_nchw=["field"],
        outputs_as_nchw=[HEAT, DIAMETER],
    )
    _tidy(proto)
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, str(path))
    _check(path, maps)


def _flip(maps: Any, axes: Sequence[int]) -> Any:
    """Mirror (N, H, W, C) over rows (0) and columns (1): a Gather each, which every runtime has."""
    import tensorflow as tf

    for axis in axes:
        size = maps.shape[axis + 1]
        maps = tf.gather(maps, np.arange(size)[::-1].astype(np.int32), axis=axis + 1)
    return maps


def _tidy(proto: Any) -> None:
    """Give the ends their promised names; say nothing of the machine it was made on."""
    names = [(proto.graph.input[0], "field")]
    for output in proto.graph.output:
        names.append((output, HEAT if HEAT in output.name else DIAMETER))
    for end, name in names:
        for node in proto.graph.node:
            for ends in (node.input, node.output):
                for i, old in enumerate(ends):
                    if old == end.name:
                        ends[i] = name
        end.name = name
    del proto.graph.value_info[:]
    proto.producer_name = "lesionstream"


def _check(path: Path, maps: Any) -> None:
    """Compare the file with what it was made from, on noise of three levels."""
    from engines.onnx_runtime import OnnxModel

    rng = np.random.default_rng(0)
    onnx = OnnxModel(path, threads=1)
    for level in (0.2, 0.5, 1.0):
        view = (rng.random(INPUT_SHAPE) * level).astype(np.float32)
        want = np.asarray(maps(view[0, 0][None, ..., None])[HEAT])[0, ..., 0]
        gap = float(np.abs(onnx.run(view)[HEAT][0, 0] - want).max())
        if gap > _AGREEMENT:
            raise EngineFailed(f"{path}: differs from Keras by {gap}")
    onnx.close()
