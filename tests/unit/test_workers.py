"""How many decode processes a scoring worker has by itself."""

import pytest

from engines.onnx_runtime import OnnxModel
from engines.tensorrt_runtime import TensorRtModel
from lesionstream.workers import cores, decoders_for


@pytest.mark.parametrize(
    ("backend", "cores", "decoders"),
    [
        (OnnxModel.backend, 16, 1),
        (TensorRtModel.backend, 1, 1),
        (TensorRtModel.backend, 4, 2),
        (TensorRtModel.backend, 64, 8),
    ],
)
def test_a_gpu_is_fed_by_all_cores_but_two(backend, cores, decoders):
    assert decoders_for(backend, cores) == decoders


def test_there_is_a_core():
    assert cores() >= 1
