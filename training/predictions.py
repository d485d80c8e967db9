"""What an engine says of labelled items, one JSON line an item; the labels are not looked at.

The first line carries the threshold of its data set's score. Lines are what others read, too, so
names and meanings are fixed: `dataset`, `id`, `score`, `lesions`, `threshold`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines import Candidate, CtSlice, Engine, NotScorable
from engines.card import InputSpec
from engines.classifier import view_probability, view_size
from engines.model import Model
from training.luna import read_hu
from training.patches import views_of

SLICES, PATCHES, FRAMES = "luna16-slices", "luna16-patches", "lidc-dicom"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One item's answer.

    Attributes
    ----------
    dataset : "luna16-slices", "luna16-patches" or "lidc-dicom".
    id : of a slice or frame its path in the data set, of a patch LUNA16's number of the candidate.
    score : in [0, 1].
    lesions : (n, 4) probability, column, row in the image's pixels, diameter in mm.
    """

    dataset: str
    id: str
    score: float
    lesions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    def to_json(self) -> dict[str, Any]:
        """Return the line as others read it."""
        line: dict[str, Any] = {"dataset": self.dataset, "score": round(self.score, 6)}
        line["id"] = int(self.id) if self.dataset == PATCHES else self.id
        if self.dataset != PATCHES:
            names = ("probability", "x_px", "y_px", "diameter_mm")
            line["lesions"] = [
                dict(
                    zip(names, (round(v, 4) if np.isfinite(v) else None for v in row), strict=True)
                )
                for row in self.lesions.tolist()
            ]
        return line


def predict_slices(engine: Engine, folder: Path, images: Iterable[str]) -> Iterator[Prediction]:
    """Score slices of a luna16-slices folder; one without lungs scores 0."""
    for image in images:
        try:
            score = engine.score(CtSlice(read_hu(folder, image), (1.0, 1.0)))
        except NotScorable:
            yield Prediction(SLICES, image, 0.0)
            continue
        yield Prediction(SLICES, image, score.lesion_probability, rows_of(score.lesions))


def rows_of(lesions: Sequence[Candidate]) -> NDArray[np.float64]:
    """Return (n, 4) rows as in a prediction; diameter NaN where it was not measured."""
    rows = [(c.probability, c.x_px, c.y_px, c.diameter_mm or np.nan) for c in lesions]
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def predict_patches(
    spec: InputSpec, model: Model, pixels: NDArray[np.uint8], candidates: Iterable[int]
) -> Iterator[Prediction]:
    """Score (N, S, S) patches with a candidate engine's network, each by itself.

    A patch is looked at eight times, flipped and turned; its score is the mean of the logits.
    """
    for patch, candidate in zip(pixels, candidates, strict=True):
        yield Prediction(PATCHES, str(candidate), patch_score(spec, model, patch))


def patch_score(spec: InputSpec, model: Model, patch: NDArray[np.uint8]) -> float:
    """Score one (S, S) patch of 1 mm pixels, 0..255 is HU -1000..400: in [0, 1].

    Raises
    ------
    EngineFailed  the model's input is no square view.
    ValueError    the patch is smaller than that.
    """
    turned = views_of(patch, view_size(spec))
    said = np.asarray([view_probability(model, view, spec) for view in turned])
    p = np.clip(said, 1e-6, 1 - 1e-6)
    return float(1 / (1 + np.exp(-np.mean(np.log(p / (1 - p))))))


def write(path: Path, predictions: Iterable[Prediction], threshold: float) -> int:
    """Write one line each, the first with `threshold`; return how many."""
    count = 0
    with path.open("w") as file:
        for prediction in predictions:
            line = prediction.to_json()
            if not count:
                line["threshold"] = threshold
            file.write(json.dumps(line, allow_nan=False) + "\n")
            count += 1
    return count


def read(path: Path) -> list[Prediction]:
    """Read what `write` wrote.

    Raises
    ------
    ValueError  a line is not such a line; the message names it.
    """
    found = []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        try:
            line = json.loads(text)
            rows = [
                (c["probability"], c["x_px"], c["y_px"], c.get("diameter_mm") or np.nan)
                for c in line.get("lesions", [])
            ]
            lesions = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
            found.append(
                Prediction(line["dataset"], str(line["id"]), float(line["score"]), lesions)
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}:{number}: not a prediction: {error!r}") from error
    return found
