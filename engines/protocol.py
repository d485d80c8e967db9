"""The words this package speaks: a slice in, a score out, and what an engine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard


@dataclass(frozen=True, slots=True)
class CtSlice:
    """What an engine looks at: one axial CT slice in Hounsfield units.

    Attributes
    ----------
    hu : (H, W) float32, Hounsfield units; padding may be any low value, NaN is read as air.
    pixel_spacing_mm : (between rows, between columns) in mm, the order of DICOM PixelSpacing
        (PS3.3 10.7.1.3).
    """

    hu: NDArray[np.float32]
    pixel_spacing_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to a slice before an engine's network sees it; data, so that any process can.

    Attributes
    ----------
    kind : "field" is both lungs on one picture of 1 mm pixels, "views" is one square for each.
    hu_window : (low, high) HU that become 0 and 1.
    size : side of the squares in pixels; nothing for a field.
    """

    kind: Literal["field", "views"]
    hu_window: tuple[float, float]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A slice as an engine's network takes it; what `Preparation` says was done to it.

    Attributes
    ----------
    shape : (H, W) of the slice.
    grid_shape : (H, W) of the same on 1 mm pixels.
    views : float32 in [0, 1]: one field, or one square for each lung.
    x_mm, y_mm : column and row, on the 1 mm grid, of the first view's upper left corner.
    quality : named measurements; see `engines.preprocess.Found`.
    preprocess_ms : how long it took, ms.
    """

    shape: tuple[int, int]
    grid_shape: tuple[int, int]
    views: tuple[NDArray[np.float32], ...]
    x_mm: int
    y_mm: int
    quality: tuple[tuple[str, float], ...]
    preprocess_ms: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place in a slice where the engine sees a lesion, in the slice's own pixels.

    Attributes
    ----------
    probability : in [0, 1], comparable across slices.
    x_px, y_px : column and row of the centre, from 0; a whole number is the centre of a pixel.
    diameter_mm : longest diameter; None where the engine does not measure it.
    box : (x, y, w, h) in pixels, x and y of the upper left corner.
    """

    probability: float
    x_px: float
    y_px: float
    diameter_mm: float | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Score:
    """What an engine says of one slice.

    Attributes
    ----------
    lesion_probability : in [0, 1]; positive at or above the card's `operating_points.screen`.
    lesions : candidates, most probable first; always empty for a classifier.
    quality : named measurements of the input (areas in cm2, HU, fractions), for the finding.
    preprocess_ms, inference_ms : wall-clock time of the two parts, ms.
    heat_map : (h, w) uint8, 255 is probability 1, over the whole frame; h, w <= 64. None below
        `screen` and from a classifier.
    """

    lesion_probability: float
    lesions: tuple[Candidate, ...]
    quality: Mapping[str, float]
    preprocess_ms: float
    inference_ms: float
    heat_map: NDArray[np.uint8] | None = None


@runtime_checkable
class Engine(Protocol):
    """A loaded model. Blocking; one engine, one thread.

    Attributes
    ----------
    card : the model's own description, from its engine.json.
    backend, precision : what computes and how, e.g. "onnxruntime-cpu" and "fp32".
    preparation : what `engines.prepare` does to a slice for it.
    """

    @property
    def card(self) -> EngineCard:
        """The model's own description."""

    @property
    def backend(self) -> str:
        """What computes, e.g. ``"onnxruntime-cpu"``."""

    @property
    def precision(self) -> str:
        """Number format of the weights and sums, e.g. ``"fp32"``."""

    @property
    def preparation(self) -> Preparation:
        """What `engines.prepare` does to a slice for it."""

    def infer(self, prepared: Prepared) -> Score:
        """Score one prepared slice; the answer depends on nothing else, to the last bit.

        Raises
        ------
        EngineFailed  the runtime failed; close the engine and load it again.
        """

    def score(self, ct: CtSlice) -> Score:
        """Prepare and score one slice.

        Raises
        ------
        NotScorable   the slice holds no lungs, or no plausible pixels or spacing.
        EngineFailed  the runtime failed; close the engine and load it again.
        """

    def close(self) -> None:
        """Give back memory and threads; may be called twice. `score` then raises EngineFailed."""
