"""The engine of a classifier: it sees each lung by itself and says one probability."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard
from engines.errors import EngineFailed
from engines.model import Model
from engines.preprocess import prepare
from engines.protocol import CtSlice, Score


class Classifier:
    """A classifier of lung views: the frame's probability is the greatest of its lungs.

    Parameters
    ----------
    card : its description; `card.input.shape` must be the model's, (batch, 1, 256, 256).
    model : with one output (batch, 1) in [0, 1].

    Raises
    ------
    EngineFailed  the model has another input than the card says, or several outputs.
    """

    def __init__(self, card: EngineCard, model: Model) -> None:
        if model.input_shape != card.input.shape:
            raise EngineFailed(
                f"model.onnx takes {model.input_shape}, engine.json says {card.input.shape}"
            )
        if len(model.outputs) != 1:
            raise EngineFailed(f"model.onnx has outputs {model.outputs}; a classifier has one")
        self.card = card
        self.backend, self.precision = model.backend, model.precision
        self._model = model

    def score(self, ct: CtSlice) -> Score:
        """Score one slice; see `engines.Engine.score`."""
        began = time.perf_counter()
        prepared = prepare(ct)
        ready = time.perf_counter()
        probability = max(view_probability(self._model, view.pixels) for view in prepared.views)
        ended = time.perf_counter()
        return Score(
            lesion_probability=probability,
            lesions=(),
            quality=prepared.quality,
            preprocess_ms=(ready - began) * 1000.0,
            inference_ms=(ended - ready) * 1000.0,
        )

    def close(self) -> None:
        """Give back the model; see `engines.Engine.close`."""
        self._model.close()


def view_probability(model: Model, pixels: NDArray[np.float32]) -> float:
    """Answer with the probability, in [0, 1], of one (256, 256) float32 view in [0, 1].

    Raises
    ------
    EngineFailed  the runtime raised, or its answer is no probability.
    """
    (answer,) = model.run(pixels[None, None]).values()
    if answer.shape != (1, 1):
        raise EngineFailed(f"the model answered with shape {answer.shape}, not (1, 1)")
    probability = float(answer[0, 0])
    if not 0.0 <= probability <= 1.0:  # false for NaN, too
        raise EngineFailed(f"the model answered {probability}, not a probability")
    return probability
