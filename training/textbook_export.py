"""From the trained Keras model to a plain ONNX file that says a probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineFailed
from training.onnx_file import OPSET, save

_AGREEMENT = 1e-4


def export(model: Any, scale: float, shift: float, folder: Path, *, size: int) -> Path:
    """Write ``sigmoid(scale * logit + shift)`` of a view as model.onnx; return its path.

    Parameters
    ----------
    model : Keras model with an output named `logit`.
    scale, shift : folded into the last layer's weights.
    folder : made if missing. The file has input `view` (batch, 1, size, size) float32 in [0, 1]
        and output `probability` (batch, 1).

    Raises
    ------
    EngineFailed  the file's answers differ from the model's by more than 1e-4.
    """
    import keras  # heavy, training only
    import tensorflow as tf
    import tf2onnx

    kernel, bias = model.get_layer("logit").get_weights()
    model.get_layer("logit").set_weights([kernel * scale, bias * scale + shift])

    spec = (tf.TensorSpec((None, size, size, 1), tf.float32, name="view"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def probability(view: Any) -> Any:
        logit = model(view, training=False)["logit"]
        return tf.identity(keras.ops.sigmoid(logit), name="probability")

    proto, _ = tf2onnx.convert.from_function(
        probability, input_signature=spec, opset=OPSET, inputs_as_nchw=["view"]
    )
    for end in (proto.graph.input[0], proto.graph.output[0]):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    path = folder / "model.onnx"
    names = {proto.graph.input[0].name: "view", proto.graph.output[0].name: "probability"}
    save(proto, path, names)
    _check(path, probability, size)
    return path


def _check(path: Path, probability: Any, size: int) -> None:
    """Compare the file with what it was made from, on noise."""
    from engines.classifier import view_probability
    from engines.onnx_runtime import OnnxModel
    from training.textbook_card import input_of

    rng = np.random.default_rng(0)
    onnx = OnnxModel(path, threads=1)
    for level in (0.2, 0.5, 1.0):
        view = (rng.random((size, size)) * level).astype(np.float32)
        want = float(np.asarray(probability(view[None, ..., None]))[0, 0])
        answer = view_probability(onnx, view, input_of(size))
        if abs(answer - want) > _AGREEMENT:
            raise EngineFailed(f"{path}: {answer} where Keras says {want}")
