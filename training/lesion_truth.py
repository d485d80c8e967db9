"""What the readers said, in the shape evaluation needs; a lung without a nodule is a negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from engines.lungs import find_lungs
from training.luna import Finding, LunaSlice, read_hu, read_slices

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Half:
    """One lung of a slice.

    Attributes
    ----------
    distance_mm : (H, W) float32, of each pixel of the slice to the lung; 0 inside.
    label : 1 a nodule lies in it, 0 none, None only findings that are to be ignored.
    """

    distance_mm: NDArray[np.float32]
    label: int | None


@dataclass(frozen=True, slots=True)
class Truth:
    """One slice's findings: (n, 3) column, row, diameter; 1 mm pixels."""

    image: str
    patient: str
    nodules: NDArray[np.float64]
    ignored: NDArray[np.float64]
    halves: tuple[Half, ...]


def read_truth(folder: Path, source: LunaSlice) -> Truth:
    """Read the findings of one slice and divide its lungs.

    A nodule belongs to the lung it is nearest to. A slice in which no lung is found has no halves.
    """
    lungs = find_lungs(read_hu(folder, source.image))
    masks = lungs.masks if lungs else ()
    distances = [_distance(mask) for mask in masks]
    nodules, ignored = (_rows(f) for f in (source.nodules, source.ignored))
    with_nodule = {nearest(distances, x, y) for x, y, _ in nodules}
    with_ignored = {nearest(distances, x, y) for x, y, _ in ignored}
    halves = tuple(
        Half(distance, 1 if i in with_nodule else None if i in with_ignored else 0)
        for i, distance in enumerate(distances)
    )
    return Truth(source.image, source.patient, nodules, ignored, halves)


def read_truths(folder: Path, folds: Sequence[int]) -> list[Truth]:
    """Read what the readers said of the slices of some folds; one without lungs is left out."""
    sources = [s for s in read_slices(folder) if s.fold in folds]
    truths = (read_truth(folder, source) for source in track(sources, "labels", console=console))
    return [truth for truth in truths if truth.halves]


def half_scores(truth: Truth, lesions: NDArray[np.float64]) -> list[float]:
    """Return the likeliest candidate of each lung, 0 where none is; rows as in a prediction."""
    scores = [0.0] * len(truth.halves)
    distances = [half.distance_mm for half in truth.halves]
    for probability, x, y, _ in lesions if distances else ():
        i = nearest(distances, x, y)
        scores[i] = max(scores[i], float(probability))
    return scores


def nearest(distances: list[NDArray[np.float32]], x: float, y: float) -> int:
    """Return which lung a place (column, row) is nearest to, the first of equals."""
    at = [
        d[int(np.clip(round(y), 0, d.shape[0] - 1)), int(np.clip(round(x), 0, d.shape[1] - 1))]
        for d in distances
    ]
    return int(np.argmin(at)) if at else -1


def _distance(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform(1 - mask, cv2.DIST_L2, 3), dtype=np.float32)


def _rows(findings: tuple[Finding, ...]) -> NDArray[np.float64]:
    rows = [(f.x, f.y, f.diameter) for f in findings]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)
