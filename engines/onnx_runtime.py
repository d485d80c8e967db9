"""ONNX Runtime on the CPU: the only file that needs it, and loads it when a model is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineFailed


def session_options(threads: int) -> Any:
    """Return the settings of a session; what others would do: docs/performance.md.

    Parameters
    ----------
    threads : that one inference may use, >= 1.
    """
    # ONNX Runtime 1.31 reports its use to its maker unless told not to before its import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


class OnnxModel:
    """A model.onnx with one float32 input, run one view at a time; see `engines.model.Model`.

    Views are never batched: convolution kernels sum in another order for another batch size, and
    a frame's probability must not depend on its neighbours in the last bit. Batching gains
    nothing on a CPU (measured: 7.3 ms a frame of a U-Net either way).

    Parameters
    ----------
    path : the file.
    threads : that one inference may use, >= 1.

    Raises
    ------
    EngineFailed  ONNX Runtime cannot read the file, or it has more than one input.
    """

    backend = "onnxruntime-cpu"

    def __init__(self, path: Path, *, threads: int, precision: str = "fp32") -> None:
        options = session_options(threads)
        import onnxruntime  # 100 ms and 60 MB that listing engines must not cost

        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base but this
            raise EngineFailed(f"{path}: ONNX Runtime cannot load it: {error}") from error
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise EngineFailed(f"{path}: has {len(inputs)} inputs; one is expected")
        self.precision = precision
        self.input_shape = tuple(size if isinstance(size, int) else -1 for size in inputs[0].shape)
        self.outputs = tuple(output.name for output in session.get_outputs())
        self._session: Any = session
        self._path = path
        self._input = inputs[0].name

    def run(self, view: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Answer with every output by name; see `engines.model.Model.run`."""
        if self._session is None:
            raise EngineFailed(f"{self._path}: the engine is closed; load it again")
        try:
            answers = self._session.run(self.outputs, {self._input: view})
        except Exception as error:  # as above
            raise EngineFailed(f"{self._path}: ONNX Runtime failed: {error}") from error
        return {name: np.asarray(a) for name, a in zip(self.outputs, answers, strict=True)}

    def close(self) -> None:
        """Give back the session."""
        self._session = None
