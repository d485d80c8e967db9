"""TensorRT's start, as far as it can be seen without a GPU."""

from types import SimpleNamespace

import pytest

from engines import EngineFailed, tensorrt_common


def test_that_tensorrt_does_not_start_is_said_in_its_own_words(monkeypatch):
    log = SimpleNamespace(logger="the logger", words=lambda: "CUDA initialization failure: 35")
    monkeypatch.setattr(tensorrt_common, "tensorrt_log", lambda: log)

    def nothing(logger):
        raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(EngineFailed, match="does not start: CUDA initialization failure: 35"):
        tensorrt_common.started(nothing)
    assert tensorrt_common.started(str) == "the logger"
