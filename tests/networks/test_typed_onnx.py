"""Files for strongly typed networks say what the originals say; run where `onnx` is installed."""

import numpy as np
import pytest

from engines import EngineFailed
from engines.detector import HEAT
from engines.loading import CATALOGUE
from engines.onnx_runtime import OnnxModel
from engines.parity import TOLERANCE, gap
from engines.typed_onnx import typed

onnx = pytest.importorskip("onnx", reason="the `train` extra is not installed")
LESION = CATALOGUE / "lesion"


def _model(tmp_path, data):
    path = tmp_path / "typed.onnx"
    path.write_bytes(data)
    return OnnxModel(path, threads=2)


def _types(data):
    graph = onnx.load_model_from_string(data).graph
    ends = {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)}
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    return ends, {array.dtype for array in arrays if array.ndim == 4 and array.size > 100}


@pytest.mark.parametrize("name", ["lesion", "textbook-256", "candidate"])
def test_half_the_bits_say_nearly_the_same(name, tmp_path):
    path = CATALOGUE / name / "model.onnx"
    data = typed(path.read_bytes(), "fp16")
    assert _types(data) == ({onnx.TensorProto.FLOAT}, {np.dtype(np.float16)})
    assert len(data) < 0.6 * path.stat().st_size
    apart = gap(OnnxModel(path, threads=2), _model(tmp_path, data))
    assert 0 < apart < TOLERANCE["fp16"]


def test_eight_bits_keep_their_answers_and_lose_their_integer_biases(tmp_path):
    path = LESION / "model.int8.onnx"
    data = typed(path.read_bytes(), "int8")
    graph = onnx.load_model_from_string(data).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    dequantized = [n.input[0] for n in graph.node if n.op_type == "DequantizeLinear"]
    assert len(dequantized) > 30
    assert {types.get(name, onnx.TensorProto.INT8) for name in dequantized} == {
        onnx.TensorProto.INT8
    }
    assert gap(OnnxModel(path, threads=2), _model(tmp_path, data)) < 1e-5


def test_full_precision_is_the_file_itself():
    data = (LESION / "model.onnx").read_bytes()
    assert typed(data, "fp32") is data


def test_eight_bits_that_are_not_symmetric_are_refused():
    model = onnx.load(LESION / "model.int8.onnx")
    zeros = {n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    for tensor in model.graph.initializer:
        if tensor.name in zeros:
            value = np.full_like(onnx.numpy_helper.to_array(tensor), 3)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    with pytest.raises(EngineFailed, match="symmetric"):
        typed(model.SerializeToString(), "int8")


def test_a_network_of_today_takes_batches(tmp_path):
    model = OnnxModel(LESION / "model.onnx", threads=2)
    assert model.input_shape[0] == -1
    assert model.run(np.zeros((3, *model.input_shape[1:]), np.float32))[HEAT].shape[0] == 3
