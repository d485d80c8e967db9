"""The engine of a classifier: it sees each lung by itself and says one probability."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard, InputSpec
from engines.errors import EngineFailed
from engines.model import Model
from engines.preparing import prepare
from engines.protocol import CtSlice, Preparation, Prepared, Score


class Classifier:
    """A classifier of lung views: the frame's probability is the greatest of its lungs.

    Parameters
    ----------
    card : its description; `card.input` must be the model's: one square view of 1 or 3 (equal)
        channels, channels first or last.
    model : with one output (1, 1) in [0, 1], or (1, 2) of which the second is the lesion's.

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
        size = view_size(card.input)
        self.preparation = Preparation("views", card.input.window(), size)
        self.card = card
        self.backend, self.precision = model.backend, model.precision
        self._model = model

    def score(self, ct: CtSlice) -> Score:
        """Prepare and score one slice; see `engines.Engine.score`."""
        return self.infer(prepare(ct, self.preparation))

    def infer(self, prepared: Prepared) -> Score:
        """Score one prepared slice; see `engines.Engine.infer`."""
        began = time.perf_counter()
        probability = max(
            view_probability(self._model, view, self.card.input) for view in prepared.views
        )
        return Score(
            lesion_probability=probability,
            lesions=(),
            quality=dict(prepared.quality),
            preprocess_ms=prepared.preprocess_ms,
            inference_ms=(time.perf_counter() - began) * 1000.0,
        )

    def close(self) -> None:
        """Give back the model; see `engines.Engine.close`."""
        self._model.close()


def view_size(spec: InputSpec) -> int:
    """Return the side of a classifier's square view.

    Raises
    ------
    EngineFailed  the input is no such view.
    """
    sizes = dict(zip(spec.axes, spec.shape, strict=True))
    square = sizes.get("H", 0) == sizes.get("W", -1) and sizes["H"] >= 16
    if spec.axes not in ("NCHW", "NHWC") or not square or sizes["C"] not in (1, 3):
        raise EngineFailed(
            f"a classifier takes one square view of 1 or 3 channels, NCHW or NHWC, not {spec.axes} "
            f"{spec.shape}"
        )
    if sizes["N"] not in (1, -1):
        raise EngineFailed(f"a classifier takes one view at a time, not {sizes['N']}")
    return int(sizes["H"])


def view_probability(model: Model, pixels: NDArray[np.float32], spec: InputSpec) -> float:
    """Answer with the probability, in [0, 1], of one (S, S) float32 view in [0, 1].

    Raises
    ------
    EngineFailed  the runtime raised, or its answer is no probability.
    """
    channels = spec.shape[spec.axes.index("C")]
    axis = 0 if spec.axes == "NCHW" else 2
    view = np.repeat(np.expand_dims(pixels, axis), channels, axis)[None]
    (answer,) = model.run(view).values()
    if answer.shape not in ((1, 1), (1, 2)):
        raise EngineFailed(f"the model answered with shape {answer.shape}, not (1, 1) or (1, 2)")
    probability = float(answer[0, -1])
    if not 0.0 <= probability <= 1.0:  # false for NaN, too
        raise EngineFailed(f"the model answered {probability}, not a probability")
    return probability
