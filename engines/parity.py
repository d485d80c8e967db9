"""Whether two backends say the same of the same: no plan is used before it has been compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from engines.model import Model

Answers = Mapping[str, NDArray[np.float32]]

TOLERANCE = {"fp32": 1e-3, "fp16": 5e-3, "int8": 0.05}
"""By how much answers may differ from those of ONNX Runtime, for each precision: of a probability
itself, of a size relative to it. Eight bits are compared with eight bits: other kernels round
otherwise, and what eight bits cost at all is measured on patients (the engine's card)."""

_COARSE, _VIEWS = 16, 4


def views(shape: tuple[int, ...], count: int = _VIEWS) -> Iterator[NDArray[np.float32]]:
    """Return pictures of blobs and noise: noise alone has no structure a network answers to.

    Parameters
    ----------
    shape : of the input, one frame a view; a free first axis is 1.
    """
    rng = np.random.default_rng(0)
    size = (1, *shape[1:])
    for _ in range(count):
        coarse = rng.random([-(-length // _COARSE) if length > 4 else length for length in size])
        for axis, length in enumerate(size):
            if length > 4:
                coarse = coarse.repeat(_COARSE, axis=axis).take(range(length), axis=axis)
        yield ((coarse + rng.random(size)) / 2).astype(np.float32)


def gap(one: Model, other: Model) -> float:
    """Return the largest difference between the answers of two models to the same views.

    Of a free first axis the other one is asked about all of them at once, too. Answers that cannot
    be compared are infinitely apart.

    Raises
    ------
    EngineFailed  one of them failed.
    """
    asked = list(views(one.input_shape))
    wanted = [one.run(view) for view in asked]
    largest = max(_apart(want, other.run(view)) for want, view in zip(wanted, asked, strict=True))
    if other.input_shape[0] != -1:
        return largest
    together = {name: np.concatenate([want[name] for want in wanted]) for name in wanted[0]}
    return max(largest, _apart(together, other.run(np.concatenate(asked))))


def _apart(want: Answers, said: Answers) -> float:
    if want.keys() != said.keys():
        return float("inf")
    largest = 0.0
    for name, answer in want.items():
        if said[name].shape != answer.shape or not np.isfinite(said[name]).all():
            return float("inf")
        apart = np.abs(answer - said[name]) / np.maximum(1.0, np.abs(answer))
        largest = max(largest, float(apart.max()))
    return largest
