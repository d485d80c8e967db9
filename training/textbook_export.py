"""From the trained Keras model to a plain ONNX file that says a probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import EngineFailed

OPSET = 17
_AGREEMENT = 1e-4


def export(model: Any, scale: float, shift: float, folder: Path) -> Path:
    """Write ``sigmoid(scale * logit + shift)`` of a view as model.onnx; return its path.

    Parameters
    ----------
    model : Keras model with an output named `logit`.
    scale, shift : folded into the last layer's weights.
    folder : made if missing. The file has input `view` (batch, 1, 256, 256) float32 in [0, 1]
        and output `probability` (batch, 1).

    Raises
    ------
    EngineFailed  the file's answers differ from the model's by more than 1e-4.
    """
    import keras  # heavy, training only
    import onnx
    import tensorflow as tf
    import tf2onnx

    kernel, bias = model.get_layer("logit").get_weights()
    model.get_layer("logit").set_weights([kernel * scale, bias * scale + shift])

    spec = (tf.TensorSpec((None, 256, 256, 1), tf.float32, name="view"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def probability(view: Any) -> Any:
        logit = model(view, training=False)["logit"]
        return tf.identity(keras.ops.sigmoid(logit), name="probability")

    proto, _ = tf2onnx.convert.from_function(
        probability, input_signature=spec, opset=OPSET, inputs_as_nchw=["view"]
    )
    _name_ends(proto)
    onnx.checker.check_model(proto)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(proto, str(path))
    _check(path, probability)
    return path


def _name_ends(proto: Any) -> None:
    """Give the graph's input and output their promised names, and the batch axis its own."""
    for end, name in ((proto.graph.input[0], "view"), (proto.graph.output[0], "probability")):
        for node in proto.graph.node:
            for names in (node.input, node.output):
                for i, old in enumerate(names):
                    if old == end.name:
                        names[i] = name
        end.name = name
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    del proto.graph.value_info[:]
    proto.producer_name = "lesionstream"


def _check(path: Path, probability: Any) -> None:
    """Compare the file with what it was made from, on noise."""
    from engines.classifier import view_probability
    from engines.onnx_runtime import OnnxModel
    from training.textbook_card import INPUT

    rng = np.random.default_rng(0)
    onnx = OnnxModel(path, threads=1)
    for level in (0.2, 0.5, 1.0):
        view = (rng.random((256, 256)) * level).astype(np.float32)
        want = float(np.asarray(probability(view[None, ..., None]))[0, 0])
        answer = view_probability(onnx, view, INPUT)
        if abs(answer - want) > _AGREEMENT:
            raise EngineFailed(f"{path}: {answer} where Keras says {want}")
