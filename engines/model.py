"""What a backend offers: a network that takes one array and answers with named ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Model(Protocol):
    """A loaded network. Blocking; one model, one thread.

    Attributes
    ----------
    backend, precision : what computes and how, e.g. "onnxruntime-cpu" and "fp32".
    input_shape : of the one input; -1 where any size does.
    outputs : names of the outputs.
    """

    backend: str
    precision: str
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]

    def run(self, view: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Run the network once.

        Parameters
        ----------
        view : float32 of `input_shape`.

        Raises
        ------
        EngineFailed  the runtime raised, or the model is closed.
        """

    def close(self) -> None:
        """Give back memory and threads; may be called twice. `run` then raises EngineFailed."""
