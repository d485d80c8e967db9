"""From trained Keras networks to one plain ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE
from engines.errors import EngineFailed
from training.joined import Calibration, Ensemble, Joined, join
from training.onnx_file import OPSET, save

_AGREEMENT = 1e-3  # of probabilities; half of it is the order of sums


def export(ensemble: Ensemble, calibration: Calibration, path: Path) -> None:
    """Write the joined networks as ONNX.

    Parameters
    ----------
    path : the file; input `field` (batch, 1, 256, 352), outputs `heat` and `diameter_mm`.

    Raises
    ------
    EngineFailed  the file's answers differ from the networks' by more than 1e-3.
    """
    import tensorflow as tf  # heavy, training only
    import tf2onnx

    _, _, height, width = INPUT_SHAPE
    spec = (tf.TensorSpec((None, height, width, 1), tf.float32, name="field"),)
    graph = tf.function(join(ensemble, calibration), input_signature=spec)
    proto, _ = tf2onnx.convert.from_function(
        graph,
        input_signature=spec,
        opset=OPSET,
        inputs_as_nchw=["field"],
        outputs_as_nchw=[HEAT, DIAMETER],
    )
    names = {o.name: HEAT if HEAT in o.name else DIAMETER for o in proto.graph.output}
    save(proto, path, names | {proto.graph.input[0].name: "field"})
    _check(path, Joined(ensemble, calibration))


def _check(path: Path, joined: Joined) -> None:
    """Compare the file with what it was made from, on noise of three levels."""
    from engines.onnx_runtime import OnnxModel

    rng = np.random.default_rng(0)
    onnx = OnnxModel(path, threads=1)
    for level in (0.2, 0.5, 1.0):
        view = (rng.random(INPUT_SHAPE) * level).astype(np.float32)
        gap = float(np.abs(onnx.run(view)[HEAT] - joined.run(view)[HEAT]).max())
        if gap > _AGREEMENT:
            raise EngineFailed(f"{path}: differs from Keras by {gap}")
    onnx.close()
