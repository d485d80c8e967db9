"""OpenVINO on the CPU: the only file that needs it; `pip install 'lesionstream[openvino]'`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.errors import EngineError, EngineFailed


class OpenVinoModel:
    """An .onnx file with one float32 input, run one view at a time; see `engines.model.Model`.

    Parameters
    ----------
    path : the file.
    threads : that one inference may use, >= 1.
    precision : what the file holds, or "bf16": computed so from an fp32 file. It pays only on
        processors with AMX; others emulate it.

    Raises
    ------
    EngineError   OpenVINO is not installed, or cannot read the file.
    EngineFailed  the file has more than one input.
    """

    backend = "openvino-cpu"

    def __init__(self, path: Path, *, threads: int, precision: str = "fp32") -> None:
        try:
            import openvino  # an extra, and 60 MB
        except ImportError as error:
            raise EngineError(
                "OpenVINO is not installed: pip install 'lesionstream[openvino]', or use the "
                "runtime onnxruntime."
            ) from error
        wanted = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # its default is bf16 wherever the processor knows it: other bits on other machines
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        try:
            core = openvino.Core()
            model = core.read_model(path)
            compiled = core.compile_model(model, "CPU", wanted)
        except RuntimeError as error:
            raise EngineError(
                f"{path}: OpenVINO cannot load it: {error}. Use the runtime onnxruntime."
            ) from error
        if len(model.inputs) != 1:
            raise EngineFailed(f"{path}: has {len(model.inputs)} inputs; one is expected")
        self.precision = precision
        shape = model.inputs[0].get_partial_shape()
        self.input_shape = tuple(d.get_length() if d.is_static else -1 for d in shape)
        # of the file: compiled, an output may bear the name of what was merged into it, too
        self.outputs = tuple(output.get_any_name() for output in model.outputs)
        self._request: Any = compiled.create_infer_request()
        self._path = path

    def run(self, view: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Answer with every output by name; see `engines.model.Model.run`."""
        if self._request is None:
            raise EngineFailed(f"{self._path}: the engine is closed; load it again")
        try:
            answers = self._request.infer([np.ascontiguousarray(view)])
        except RuntimeError as error:
            raise EngineFailed(f"{self._path}: OpenVINO failed: {error}") from error
        # copies: its buffers are written over by the next inference
        return {name: np.array(answers[i]) for i, name in enumerate(self.outputs)}

    def close(self) -> None:
        """Give back the request."""
        self._request = None
