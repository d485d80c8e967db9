"""Write the networks of effects as one model.onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engines.effects import SIDE
from engines.errors import EngineFailed
from engines.onnx_runtime import OnnxModel
from training.effect_fit import Learnt
from training.effect_net import FEATURES
from training.onnx_file import OPSET, save

_AGREEMENT = 1e-3


def export(learnt: Learnt, path: Path) -> None:
    """Write the mean of the networks: `lesion` (batch, 32, 32, 1) -> `effect`, `strangeness`."""
    import tensorflow as tf  # heavy, training only
    import tf2onnx

    spec = (tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32, name="lesion"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def answer(views: Any) -> Any:
        said = [tf.cast(net(views, training=False), tf.float32) for net in learnt.nets]
        effects = tf.add_n([one[:, : learnt.plans] for one in said]) / len(said)
        apart = [
            tf.matmul(one[:, learnt.plans :] - s.mean, s.whitening)
            for s, one in zip(learnt.strange, said, strict=True)
        ]
        strange = tf.add_n([tf.reduce_sum(a * a, axis=1) for a in apart])
        return {"effect": effects, "strangeness": strange / (len(said) * FEATURES)}

    proto, _ = tf2onnx.convert.from_function(answer, input_signature=spec, opset=OPSET)
    for end in (proto.graph.input[0], *proto.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    by_rank = {len(end.type.tensor_type.shape.dim): end.name for end in proto.graph.output}
    save(
        proto,
        path,
        {proto.graph.input[0].name: "lesion", by_rank[2]: "effect", by_rank[1]: "strangeness"},
    )
    views = np.random.default_rng(0).uniform(0, 1, (32, SIDE, SIDE)).astype(np.float32)
    model = OnnxModel(path, threads=1)
    effects, strange = learnt.answer(views)
    told = model.run(views[..., None])
    gap = max(
        float(np.abs(told["effect"] - effects).max()),
        float((np.abs(told["strangeness"].reshape(-1) - strange) / (1 + strange)).max()),
    )
    if gap > _AGREEMENT:
        raise EngineFailed(f"{path}: differs from Keras by {gap}")
