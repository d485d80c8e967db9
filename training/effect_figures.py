"""The figures of a comparison of plans, with intervals from drawing patients again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.card import Figure

ROUNDS = 1000

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """L lesions and R responses, all by networks that have not seen the patient.

    Attributes
    ----------
    groups : (L,) patients.
    effects : (L, plans) expected change of the diameter, as it is said.
    truth : (L, plans) the same in truth; None where nobody knows it.
    noise : of a measured change.
    lesion, plan, response : (R,) which lesion, which plan, measured change.
    inside : (R,) whether the response lies inside its 80 % interval.
    """

    groups: NDArray[np.int64]
    effects: Values
    truth: Values | None
    noise: float
    lesion: NDArray[np.int64]
    plan: NDArray[np.int64]
    response: Values
    inside: NDArray[np.bool_]

    @property
    def best(self) -> NDArray[np.int64]:
        """Return the plan that is best in truth: (L,)."""
        assert self.truth is not None  # noqa: S101
        return np.asarray(self.truth.argmin(axis=1))

    @property
    def differ(self) -> NDArray[np.bool_]:
        """Tell where the best plan is better than the next by more than the noise: (L,)."""
        assert self.truth is not None  # noqa: S101
        ordered = np.sort(self.truth, axis=1)
        return np.asarray(ordered[:, 1] - ordered[:, 0] > self.noise)


def regret(truth: Values, named: NDArray[np.int64]) -> Values:
    """Return what is lost by the plans named: share of the diameter, (L,); 0 by the best."""
    return np.asarray(truth[np.arange(len(named)), named] - truth.min(axis=1))


def figures(told: Compared, *, on: str) -> Iterator[Figure]:
    """Yield what the card says."""
    named = told.effects.argmin(axis=1)
    lesions = f"{len(told.groups)} lesions of {len(np.unique(told.groups))} patients"
    if told.truth is not None:
        differ = told.differ
        right = (named == told.best)[differ]
        few = f"{differ.sum()} of {lesions} in which plans differ by more than noise"
        yield _figure("named plan is the best", right, told.groups[differ], on=on, n=few)
        one = np.bincount(told.best[differ]).argmax()
        yield _figure(
            "one plan for all is the best",
            (told.best == one)[differ],
            told.groups[differ],
            on=on,
            n=few,
        )
        for name, plans in (
            ("regret, share of the diameter", named),
            ("regret of one plan for all", np.full(len(named), one)),
        ):
            yield _figure(name, regret(told.truth, plans), told.groups, on=on, n=lesions)
    miss = np.abs(told.response - told.effects[told.lesion, told.plan])
    average = [told.response[told.plan == i].mean() for i in range(told.effects.shape[1])]
    without = np.abs(told.response - np.asarray(average)[told.plan])
    owners = told.groups[told.lesion]
    rows = f"{len(miss)} responses"
    for name, values in (
        ("share of responses inside the 80 % interval", told.inside),
        ("mean absolute error of a response, share of the diameter", miss),
        ("the same without the picture", without),
    ):
        yield _figure(name, values, owners, on=on, n=rows)


def _figure(name: str, values: Any, groups: NDArray[np.int64], *, on: str, n: str) -> Figure:
    low, high = interval(np.asarray(values, dtype=np.float64), groups)
    return Figure(name=name, value=round(float(np.mean(values)), 4), low=low, high=high, on=on, n=n)


def interval(values: Values, groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of a mean, whole patients drawn again."""
    names, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, weights=values)
    counts = np.bincount(place)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(ROUNDS, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)
