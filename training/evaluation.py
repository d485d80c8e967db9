"""Figures of a classifier with honest intervals: patients, not images, are drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def auc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve: chance that a positive outscores a negative; ties count half.

    Parameters
    ----------
    scores : (n,) any real numbers.
    labels : (n,) 0 or 1.

    Returns
    -------
    float
        NaN where one class is missing.
    """
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float(np.mean(below + not_above) / 2 / len(negative))


def sensitivity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of positives at or above `threshold`; NaN without positives."""
    found = scores[labels == 1] >= threshold
    return float(np.mean(found)) if found.size else float("nan")


def specificity(scores: Scores, labels: Labels, threshold: float) -> float:
    """Share of negatives below `threshold`; NaN without negatives."""
    passed = scores[labels == 0] < threshold
    return float(np.mean(passed)) if passed.size else float("nan")


def threshold_at_sensitivity(scores: Scores, labels: Labels, wanted: float) -> float:
    """Greatest threshold that still finds the share `wanted` of the positives."""
    positive = np.sort(scores[labels == 1])[::-1]
    return float(positive[int(np.ceil(wanted * len(positive))) - 1])


def threshold_at_specificity(scores: Scores, labels: Labels, wanted: float) -> float:
    """Least threshold, halfway between two scores, that passes the share `wanted` of negatives."""
    negative = np.sort(scores[labels == 0])
    last = min(int(np.ceil(wanted * len(negative))), len(negative) - 1)
    return float((negative[last - 1] + negative[last]) / 2)


def by_patient(
    figure: Callable[[Scores, Labels], float],
    scores: Scores,
    labels: Labels,
    patients: NDArray[np.str_],
    *,
    seed: int,
    rounds: int = 2000,
) -> Interval:
    """Measure `figure` and its 95 % percentile interval by drawing whole patients again.

    Parameters
    ----------
    patients : (n,) the patient of each score.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(patients == name) for name in np.unique(patients)]
    drawn = []
    for _ in range(rounds):
        picked = rng.integers(len(groups), size=len(groups))
        rows = np.concatenate([groups[i] for i in picked])
        drawn.append(figure(scores[rows], labels[rows]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(figure(scores, labels), float(low), float(high))


def platt(scores: Scores, labels: Labels, *, steps: int = 50) -> tuple[float, float]:
    """Fit ``p = sigmoid(a * score + b)`` by Newton's method (Platt 1999).

    Returns
    -------
    (a, b)
        A ridge of 1e-3 keeps them finite when the classes are apart; no step of Newton's is
        longer than 2, which keeps it from running away.
    """
    centre, spread = float(np.mean(scores)), float(np.std(scores)) or 1.0
    x = np.column_stack(((scores - centre) / spread, np.ones_like(scores)))
    weights = np.zeros(2)
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - labels) + 1e-3 * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 2.0 / float(np.abs(step).max() or 1.0))
    return float(weights[0] / spread), float(weights[1] - weights[0] * centre / spread)
