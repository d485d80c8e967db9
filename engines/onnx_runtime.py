"""ONNX Runtime on the CPU: the only file that needs it, and loads it when a model is loaded."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard
from engines.errors import EngineFailed
from engines.preprocess import prepare
from engines.protocol import CtSlice, Score


class OnnxModel:
    """One model.onnx with input (batch, 1, H, W) and output (batch, 1); one view at a time.

    Views are never batched: convolution kernels sum in another order for another batch size, and
    a frame's probability must not depend on its neighbours in the last bit. Batching gains
    nothing on a CPU (measured: 7.3 ms a frame of a U-Net either way).

    Parameters
    ----------
    path : the file.
    threads : that one inference may use, >= 1.

    Raises
    ------
    EngineFailed  ONNX Runtime cannot read the file, or it has other inputs and outputs.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        # ONNX Runtime 1.31 reports its use to its maker unless told not to before its import.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime  # 100 ms and 60 MB that listing engines must not cost

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base but this
            raise EngineFailed(f"{path}: ONNX Runtime cannot load it: {error}") from error
        ends = (session.get_inputs(), session.get_outputs())
        if any(len(end) != 1 for end in ends):
            raise EngineFailed(f"{path}: expected one input and one output")
        self._session: Any = session
        self._path = path
        self._input, self._output = (end[0].name for end in ends)
        self.input_shape = tuple(size if isinstance(size, int) else -1 for size in ends[0][0].shape)

    def run(self, view: NDArray[np.float32]) -> float:
        """Answer with the probability, in [0, 1], of one (H, W) float32 view in [0, 1].

        Raises
        ------
        EngineFailed  the runtime raised, or its answer is no probability.
        """
        try:
            (answer,) = self._session.run([self._output], {self._input: view[None, None]})
        except Exception as error:  # as above
            raise EngineFailed(f"{self._path}: ONNX Runtime failed: {error}") from error
        answer = np.asarray(answer)
        if answer.shape != (1, 1):
            raise EngineFailed(f"{self._path}: answered with shape {answer.shape}, not (1, 1)")
        probability = float(answer[0, 0])
        if not 0.0 <= probability <= 1.0:  # false for NaN, too
            raise EngineFailed(f"{self._path}: answered {probability}, not a probability")
        return probability


class OnnxClassifier:
    """A classifier of lung views: the frame's probability is the greatest of its lungs.

    Parameters
    ----------
    card : its description; `card.input.shape` must be the model's.
    path : model.onnx.
    threads : that one inference may use.

    Raises
    ------
    EngineFailed  the file cannot be loaded or has another input than the card says.
    """

    backend = "onnxruntime-cpu"
    precision = "fp32"

    def __init__(self, card: EngineCard, path: Path, *, threads: int) -> None:
        model = OnnxModel(path, threads=threads)
        if model.input_shape != card.input.shape:
            raise EngineFailed(
                f"{path}: takes {model.input_shape}, engine.json says {card.input.shape}"
            )
        self.card = card
        self._model: OnnxModel | None = model

    def score(self, ct: CtSlice) -> Score:
        """Score one slice; see `engines.Engine.score`."""
        if self._model is None:
            raise EngineFailed(f"engine {self.card.name} is closed; load it again")
        began = time.perf_counter()
        prepared = prepare(ct)
        ready = time.perf_counter()
        probability = max(self._model.run(view.pixels) for view in prepared.views)
        ended = time.perf_counter()
        return Score(
            lesion_probability=probability,
            lesions=(),
            quality=prepared.quality,
            preprocess_ms=(ready - began) * 1000.0,
            inference_ms=(ended - ready) * 1000.0,
        )

    def close(self) -> None:
        """Give back the session; see `engines.Engine.close`."""
        self._model = None
