"""Whether two backends say the same of the same: no plan is used before it has been compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from engines.model import Model

Answers = Mapping[str, NDArray[np.float32]]

TOLERANCE = {"fp32": 1e-3, "fp16": 5e-3, "int8": 0.05}
"""By how much answers may differ from those of ONNX Runtime, for each precision: a probability by
so much, a size by so much of itself."""

SHARE = {"fp32": 1.0, "fp16": 1.0, "int8": 0.99}
"""Of the values that must. Eight bits are compared with eight bits, whose kernels round otherwise:
here and there a value falls to the other side. What they cost at all is measured on patients."""

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


def gap(one: Model, other: Model, *, share: float = 1.0, batch: int = 1) -> float:
    """Return by how much the answers of two models to the same views differ.

    Answers that cannot be compared are infinitely apart.

    Parameters
    ----------
    share : of the values of each answer that differ by at most so much, in (0, 1].
    batch : the other one is asked about so many at once, too.

    Raises
    ------
    EngineFailed  one of them failed.
    """
    asked = list(views(one.input_shape))
    wanted = [one.run(view) for view in asked]
    most = 0.0
    for size in sorted({1, batch}):
        for at in range(0, len(asked), size):
            want = {
                name: np.concatenate([each[name] for each in wanted[at : at + size]])
                for name in wanted[0]
            }
            said = other.run(np.concatenate(asked[at : at + size]))
            most = max(most, _apart(want, said, share))
    return most


def _apart(want: Answers, said: Answers, share: float) -> float:
    if want.keys() != said.keys():
        return float("inf")
    largest = 0.0
    for name, answer in want.items():
        if said[name].shape != answer.shape or not np.isfinite(said[name]).all():
            return float("inf")
        apart = np.abs(answer - said[name]) / np.maximum(1.0, np.abs(answer))
        largest = max(largest, float(np.quantile(apart, share)))
    return largest
