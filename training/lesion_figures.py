"""The figures of a lesion engine, each with an interval from drawing patients again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines import Figure
from training.evaluation import Interval, auc, sensitivity, specificity
from training.froc import Matched, match, mean_sensitivity, sensitivity_at
from training.lesion_truth import Truth, half_scores
from training.predictions import Prediction

T = TypeVar("T")

ROUNDS = 1000
PARTS = 5
"""That patients are cut into where a threshold is chosen on some and measured on the others."""

WANTED_SENSITIVITY, WANTED_SPECIFICITY = 0.90, 0.80
SIZES = {"< 6 mm": (0.0, 6.0), "6-10 mm": (6.0, 10.0), ">= 10 mm": (10.0, np.inf)}


@dataclass(frozen=True, slots=True)
class Halves:
    """Half-lungs with and without a nodule: (n,) scores, labels and patients."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class PatchScores:
    """Patches: (n,) scores, labels, and numbers of what is drawn again, scans or their like."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """What figures follow from."""

    slices: Sequence[Matched]
    halves: Halves


def match_slices(truths: Sequence[Truth], predictions: Sequence[Prediction]) -> list[Matched]:
    """Match each slice's candidates with its findings, in the order of `truths`.

    Raises
    ------
    KeyError  a slice has no prediction.
    """
    lesions = {p.id: p.lesions for p in predictions}
    return [match(t.patient, lesions[t.image], t.nodules, t.ignored) for t in truths]


def halves_of(truths: Sequence[Truth], predictions: Sequence[Prediction]) -> Halves:
    """Score the half-lungs of all slices; those with only ignored findings are left out."""
    lesions = {p.id: p.lesions for p in predictions}
    rows = [
        (score, half.label, truth.patient)
        for truth in truths
        for score, half in zip(half_scores(truth, lesions[truth.image]), truth.halves, strict=True)
        if half.label is not None
    ]
    scores, labels, patients = zip(*rows, strict=True) if rows else ((), (), ())
    return Halves(np.asarray(scores, float), np.asarray(labels, np.int64), np.asarray(patients))


def slice_figures(
    slices: Sequence[Matched],
    halves: Halves,
    threshold: float,
    *,
    on: str,
    shift: float = 0.0,
    seed: int = 0,
) -> list[Figure]:
    """Measure detection a slice and decision a half-lung, with 95 % intervals by patient.

    Parameters
    ----------
    threshold : `screen`.
    shift : the card's `calibration_shift`, taken away before calibration is measured.
    """
    nodules = sum(len(s.hits) for s in slices)
    patients = len({s.patient for s in slices})
    said = f"{nodules} nodules on {len(slices)} slices of {patients} patients"
    measures: dict[str, Callable[[Sequence[Matched]], float]] = {
        "mean FROC sensitivity, 1/8 to 8 false positives a slice": mean_sensitivity,
        "sensitivity at 1/8 false positive a slice": lambda s: sensitivity_at(s, 0.125),
        "sensitivity at 1 false positive a slice": lambda s: sensitivity_at(s, 1.0),
    }
    for rate, name in ((0.125, "1/8"), (1.0, "1")):
        for size, limits in SIZES.items():
            measures[f"sensitivity at {name} false positive a slice, {size}"] = (
                lambda s, rate=rate, limits=limits: sensitivity_at(s, rate, limits)  # type: ignore[misc]
            )
    measures["median error of the diameter, mm"] = _size_error
    drawn = _drawn(slices, seed)
    figures = _figures(measures, slices, drawn, on, said)
    return figures + half_figures(halves, threshold, on=on, shift=shift, seed=seed)


def half_figures(
    halves: Halves, threshold: float, *, on: str, shift: float = 0.0, seed: int = 0
) -> list[Figure]:
    """Measure the decision "a nodule is in this lung" at `threshold`, and its calibration."""

    def gap(h: Halves) -> float:
        return calibration_error(unshifted(h.scores, shift), h.labels)

    positive = int(halves.labels.sum())
    patients = len(set(halves.patients.tolist()))
    said = f"{positive} half-lungs with and {len(halves.labels) - positive} without a nodule"
    measures: dict[str, Callable[[Halves], float]] = {
        "half-lungs, AUC": lambda h: auc(h.scores, h.labels),
        "half-lungs, sensitivity at screen": lambda h: sensitivity(h.scores, h.labels, threshold),
        "half-lungs, specificity at screen": lambda h: specificity(h.scores, h.labels, threshold),
        "half-lungs, expected calibration error": gap,
    }
    return _figures(
        measures, halves, _drawn_halves(halves, seed), on, f"{said}, {patients} patients"
    )


def balanced_screen(halves: Halves) -> float:
    """Return the threshold that maximises the smaller of sensitivity - 0.90, specificity - 0.80."""
    scores, labels = halves.scores, halves.labels
    tried = np.unique(scores)
    tried = (tried[1:] + tried[:-1]) / 2
    margins = [
        min(
            sensitivity(scores, labels, at) - WANTED_SENSITIVITY,
            specificity(scores, labels, at) - WANTED_SPECIFICITY,
        )
        for at in tried
    ]
    return float(tried[int(np.argmax(margins))])


def chosen_apart_figures(halves: Halves, *, on: str, seed: int = 0) -> list[Figure]:
    """Measure the decision in a fifth of the patients by a `screen` chosen on the others, in turn.

    What is gained by choosing a threshold on those it is measured on is not in these figures.
    """
    names, of = np.unique(halves.patients, return_inverse=True)
    part = of % PARTS
    decided = np.zeros(len(halves.scores))
    for left_out in range(PARTS):
        others = part != left_out
        screen = balanced_screen(
            Halves(halves.scores[others], halves.labels[others], halves.patients[others])
        )
        decided[~others] = halves.scores[~others] >= screen
    decisions = Halves(decided, halves.labels, halves.patients)
    said = f"{len(halves.labels)} half-lungs, {len(names)} patients in {PARTS} parts"
    measures: dict[str, Callable[[Halves], float]] = {
        f"half-lungs, {what} at a screen chosen on other patients": (
            lambda h, rate=rate: rate(h.scores, h.labels, 0.5)  # type: ignore[misc]
        )
        for what, rate in (("sensitivity", sensitivity), ("specificity", specificity))
    }
    return _figures(measures, decisions, _drawn_halves(decisions, seed), on, said)


def _drawn_halves(halves: Halves, seed: int) -> list[Halves]:
    groups = _groups(halves.patients)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(ROUNDS):
        rows = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        drawn.append(Halves(halves.scores[rows], halves.labels[rows], halves.patients[rows]))
    return drawn


def patch_figures(
    patches: PatchScores, points: Mapping[str, float], *, on: str, seed: int = 0
) -> list[Figure]:
    """Measure the decision "a nodule is in the middle", at thresholds by name."""
    scores, labels = patches.scores, patches.labels
    rows = _groups(patches.groups)
    rng = np.random.default_rng(seed)
    drawn = [
        np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        for _ in range(ROUNDS)
    ]
    said = f"{int(labels.sum())} nodules, {int((labels == 0).sum())} other candidates"
    everything = np.arange(len(scores))
    measures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "patches, AUC": lambda chosen: auc(scores[chosen], labels[chosen])
    }
    for name, at in points.items():
        for what, rate in (("sensitivity", sensitivity), ("specificity", specificity)):
            measures[f"patches, {what} at {name}"] = (
                lambda chosen, rate=rate, at=at: rate(scores[chosen], labels[chosen], at)  # type: ignore[misc]
            )
    return _figures(measures, everything, drawn, on, said)


def unshifted(scores: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """Take a card's `calibration_shift` away from the logits of probabilities."""
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(p / (p + (1 - p) * np.exp(shift)))


def calibration_error(
    scores: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 10
) -> float:
    """Return the expected calibration error: mean gap of said and found frequency, in tenths."""
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [abs(scores[p].mean() - labels[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / max(len(scores), 1))


def _size_error(slices: Sequence[Matched]) -> float:
    """Median absolute error of the diameter of nodules with a candidate, mm."""
    errors = np.concatenate([np.abs(s.sizes_mm - s.diameters_mm) for s in slices])
    return float(np.nanmedian(errors)) if np.isfinite(errors).any() else float("nan")


def _drawn(slices: Sequence[Matched], seed: int) -> list[list[Matched]]:
    groups = _groups(np.asarray([s.patient for s in slices]))
    rng = np.random.default_rng(seed)
    return [
        [slices[row] for i in rng.integers(len(groups), size=len(groups)) for row in groups[i]]
        for _ in range(ROUNDS)
    ]


def _groups(names: NDArray[np.str_] | NDArray[np.int64]) -> list[NDArray[np.int64]]:
    _, inverse = np.unique(names, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(np.bincount(inverse))[:-1])


def _interval(measure: Callable[[T], float], whole: T, drawn: Sequence[T]) -> Interval:
    values = [measure(one) for one in drawn]
    finite = [value for value in values if np.isfinite(value)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite else (np.nan, np.nan)
    return Interval(measure(whole), float(low), float(high))


def _figures(
    measures: Mapping[str, Callable[[T], float]], whole: T, drawn: Sequence[T], on: str, said: str
) -> list[Figure]:
    """Measure each; what cannot be measured here (no nodule of that size) is left out."""
    figures = []
    for name, measure in measures.items():
        interval = _interval(measure, whole, drawn)
        value, low, high = (round(v, 4) for v in (interval.value, interval.low, interval.high))
        if np.isfinite(value):
            figures.append(Figure(name=name, value=value, low=low, high=high, on=on, n=said))
    return figures
