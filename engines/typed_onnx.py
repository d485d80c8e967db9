"""A model.onnx as a strongly typed network takes it: each tensor is of the type the file says.

TensorRT 11 knows no other networks, 10 does as well: what is to be computed in 16 or 8 bits must
stand so in the file. Needs the package onnx (extras `gpu` and `train`).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from engines.errors import EngineError, EngineFailed

PlanPrecision = Literal["fp32", "fp16", "int8"]

_KEPT = ("Sigmoid", "Exp", "Softmax", "Min", "Max", "Clip")
"""Left in 32 bits: what turns logits into probabilities and sizes, the last lines of a network."""


def typed(onnx_bytes: bytes, precision: PlanPrecision) -> bytes:
    """Return the file with the types that a plan of this precision is built of.

    Parameters
    ----------
    onnx_bytes : the engine's model.onnx, or for int8 its model.int8.onnx (QDQ, symmetric).

    Returns
    -------
    Inputs and outputs stay float32.

    Raises
    ------
    EngineError   the package onnx is missing.
    EngineFailed  the file cannot be brought to this precision.
    """
    if precision == "fp32":
        return onnx_bytes
    onnx = _onnx()
    model = onnx.load_model_from_string(onnx_bytes)
    model = _halved(model) if precision == "fp16" else _folded(onnx, model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise EngineFailed(f"cannot be brought to {precision}: {error}") from error
    return bytes(model.SerializeToString())


def _onnx() -> Any:
    try:
        import onnx  # extras alone
    except ImportError as error:
        raise EngineError(
            "onnx is not installed: pip install 'lesionstream[gpu]', or use precision fp32."
        ) from error
    return onnx


def _halved(model: Any) -> Any:
    """Bring weights and activations to 16 bits, casts at both ends."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    kept = [*(set(DEFAULT_OP_BLOCK_LIST) - {"Resize", "Upsample"}), *_KEPT]
    try:
        half = convert_float_to_float16(model, keep_io_types=True, op_block_list=kept)
    except ValueError as error:
        raise EngineFailed(f"cannot be brought to fp16: {error}") from error
    OnnxModel(half).topological_sort()  # it puts its casts last
    return half


def _folded(onnx: Any, model: Any) -> Any:
    """Write biases of 32-bit integers out as float32, which is exact: TensorRT takes none else."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        tensor = constants.get(node.input[0])
        if tensor is not None and tensor.data_type == onnx.TensorProto.INT32:
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            bias = onnx.numpy_helper.to_array(tensor).astype(np.float32) * scale
            folded = onnx.numpy_helper.from_array(bias.astype(np.float32), node.output[0])
            graph.initializer.append(folded)
            graph.node.remove(node)
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is not None and onnx.numpy_helper.to_array(zero).any():
            raise EngineFailed(
                f"{node.name}: its zero is not 0; TensorRT takes symmetric 8 bits alone. "
                "Quantize it again, symmetric."
            )
    used = {name for node in graph.node for name in node.input}
    left = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(left)
    return model
