"""Is an engine's answer a score at all? Asked of every answer: researchers bring their own models.

A number that is no probability must never be read as one, and a lesion outside the frame is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from engines.protocol import Candidate, Score


def implausible(score: object, shape: tuple[int, int]) -> str:
    """Say in words what is wrong with an answer about a slice of (H, W) pixels; "": nothing.

    The words hold no text of the engine: it may quote what it was given.
    """
    if not isinstance(score, Score):
        return f"it answered with a {type(score).__name__}"
    return next(_problems(score, shape), "")


def _problems(score: Score, shape: tuple[int, int]) -> Iterator[str]:
    if not _within(score.lesion_probability, 0.0, 1.0):
        yield f"lesion_probability is {_said(score.lesion_probability)}"
    for number, lesion in enumerate(score.lesions, 1):
        yield from (f"lesion {number}: {words}" for words in _about_lesion(lesion, shape))
    for name, value in score.quality.items():
        if not _within(value):
            yield f"quality {name!r} is {_said(value)}"
    for name in ("preprocess_ms", "inference_ms"):
        if not _within(getattr(score, name), 0.0):
            yield f"{name} is {_said(getattr(score, name))}"
    heat = score.heat_map
    if heat is not None and (heat.ndim != 2 or heat.dtype != np.uint8 or not heat.size):
        yield f"heat_map is {heat.dtype} {heat.shape}"


def _about_lesion(lesion: Candidate, shape: tuple[int, int]) -> Iterator[str]:
    height, width = shape
    if not _within(lesion.probability, 0.0, 1.0):
        yield f"probability is {_said(lesion.probability)}"
    # A whole number is the centre of a pixel: the frame begins half a pixel before 0.
    if not (_within(lesion.x_px, -0.5, width - 0.5) and _within(lesion.y_px, -0.5, height - 0.5)):
        yield f"it lies outside the frame ({_said(lesion.x_px)}, {_said(lesion.y_px)})"
    if lesion.diameter_mm is not None and not _within(lesion.diameter_mm, 0.0):
        yield f"diameter_mm is {_said(lesion.diameter_mm)}"
    if len(lesion.box) != 4 or not all(map(_within, lesion.box)) or min(lesion.box[2:]) < 0:
        yield "its box is none"


def _within(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Tell whether a value is a finite number from `low` to `high`, both included."""
    if not isinstance(value, int | float | np.number) or isinstance(value, np.complexfloating):
        return False
    return math.isfinite(value) and bool(low <= value <= high)


def _said(value: object) -> str:
    if isinstance(value, int | float | np.number):
        return f"{value:.4g}"
    return f"a {type(value).__name__}"
