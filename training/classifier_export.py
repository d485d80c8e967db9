"""From trained Keras models to a plain ONNX file of a classifier: a view in, a probability out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engines.card import InputSpec
from engines.errors import EngineFailed
from engines.preprocess import HU_WINDOW
from training.joined import Calibration
from training.onnx_file import OPSET, save

_AGREEMENT = 1e-4


def input_of(size: int, spacing_mm: float | None = None) -> InputSpec:
    """Return the tensor a classifier of views of `size` pixels a side takes.

    Parameters
    ----------
    spacing_mm : of the view's pixels; None where views are scaled to fill it.
    """
    return InputSpec(
        shape=(-1, 1, size, size), axes="NCHW", spacing_mm=spacing_mm, hu_window=HU_WINDOW
    )


def export(
    logit: Callable[[Any], Any], calibration: Calibration, folder: Path, *, size: int
) -> Path:
    """Write the calibrated probability of a view as model.onnx; return its path.

    Parameters
    ----------
    logit : of Keras tensors: (N, size, size, 1) float32 in [0, 1] -> (N, 1).
    folder : made if missing. The file has input `view` (batch, 1, size, size) float32 in [0, 1]
        and output `probability` (batch, 1).

    Raises
    ------
    EngineFailed  the file's answers differ from the model's by more than 1e-4.
    """
    import keras  # heavy, training only
    import tensorflow as tf
    import tf2onnx

    spec = (tf.TensorSpec((None, size, size, 1), tf.float32, name="view"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def probability(view: Any) -> Any:
        said = calibration.scale * logit(view) + calibration.shift
        return tf.identity(keras.ops.sigmoid(said), name="probability")

    proto, _ = tf2onnx.convert.from_function(
        probability, input_signature=spec, opset=OPSET, inputs_as_nchw=["view"]
    )
    path = folder / "model.onnx"
    names = {proto.graph.input[0].name: "view", proto.graph.output[0].name: "probability"}
    save(proto, path, names)
    _check(path, probability, size)
    return path


def _check(path: Path, probability: Any, size: int) -> None:
    """Compare the file with what it was made from, on noise."""
    from engines.classifier import view_probability
    from engines.onnx_runtime import OnnxModel

    rng = np.random.default_rng(0)
    onnx = OnnxModel(path, threads=1)
    for level in (0.2, 0.5, 1.0):
        view = (rng.random((size, size)) * level).astype(np.float32)
        want = float(np.asarray(probability(view[None, ..., None]))[0, 0])
        answer = view_probability(onnx, view, input_of(size))
        if abs(answer - want) > _AGREEMENT:
            raise EngineFailed(f"{path}: {answer} where Keras says {want}")
