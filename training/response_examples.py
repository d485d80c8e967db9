"""Forecasts to learn from: each visit of each patient but the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.course import Course, baseline_of, features, progression_mm, since_baseline
from training.trials_table import Patient

_SCALED = 0.5  # log: lesions of 30 mm become 18 to 49 mm
_WHOLE, _MOVED = 0.7, 0.5  # of the varied: readings in whole mm; visits on other days
_DAYS = 4


@dataclass(frozen=True, slots=True)
class Examples:
    """N forecasts and what came of them.

    Attributes
    ----------
    courses : what was known, each up to one visit.
    next_days, target, last : (N,) the next visit's day and diameter, the last known diameter.
    features : (N, F) float32, see `engines.course.features`.
    progresses : (N,) whether the next visit is progressive disease.
    already : (N,) whether a visit up to this one was.
    patients : (N,) numbers of patients.
    """

    courses: Sequence[Course]
    next_days: NDArray[np.float64]
    target: NDArray[np.float64]
    last: NDArray[np.float64]
    features: NDArray[np.float32]
    progresses: NDArray[np.bool_]
    already: NDArray[np.bool_]
    patients: NDArray[np.int64]

    def at(self, chosen: NDArray[np.bool_]) -> Examples:
        """Return those of an (N,) mask."""
        return Examples(
            [course for course, wanted in zip(self.courses, chosen, strict=True) if wanted],
            self.next_days[chosen],
            self.target[chosen],
            self.last[chosen],
            self.features[chosen],
            self.progresses[chosen],
            self.already[chosen],
            self.patients[chosen],
        )


def together(parts: Sequence[Examples]) -> Examples:
    """Join forecasts, those of the first first."""

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    courses = [course for part in parts for course in part.courses]
    return Examples(courses, *(joined(field.name) for field in fields(Examples)[1:]))


def varied(known: Examples, seed: int) -> Examples:
    """Return the same forecasts for lesions of other sizes, read a few days earlier or later.

    Growth depends on size and on time little enough that such patients could have been; whole
    millimetres, the 5 mm of progression and the calendar keep a network from knowing them by heart.
    """
    rng = np.random.default_rng(seed)
    courses, days, target = [], [], []
    for course, day, after in zip(known.courses, known.next_days, known.target, strict=True):
        factor = np.exp(rng.uniform(-_SCALED, _SCALED))
        mm = np.append(course.diameters_mm, after) * factor
        mm = np.round(mm) if rng.random() < _WHOLE else mm
        moved = np.append(course.days, day)
        if rng.random() < _MOVED:
            moved = np.sort(moved + rng.integers(-_DAYS, _DAYS + 1, len(moved)))
        courses.append(Course(moved[:-1], mm[:-1], course.arm))
        days.append(float(moved[-1]))
        target.append(float(mm[-1]))
    return _examples(courses, days, target, known.already, known.patients)


def examples(patients: Sequence[Patient]) -> Examples:
    """Make every forecast that has an outcome; visits without a number are left out."""
    courses: list[Course] = []
    days: list[float] = []
    target: list[float] = []
    progresses: list[bool] = []
    already: list[bool] = []
    numbers: list[int] = []
    for number, patient in enumerate(patients):
        whole = patient.course
        known = np.isfinite(whole.diameters_mm)
        whole = Course(whole.days[known], whole.diameters_mm[known], whole.arm)
        progressed = False
        for visit in range(len(whole.days) - 1):
            course = whole.until(visit)
            progressed |= visit > baseline_of(whole.days) and progresses[-1]
            courses.append(course)
            days.append(float(whole.days[visit + 1]))
            target.append(float(whole.diameters_mm[visit + 1]))
            progresses.append(_progresses(course, target[-1]))
            already.append(progressed)
            numbers.append(number)
    return _examples(courses, days, target, np.asarray(already), np.asarray(numbers))


def _examples(
    courses: Sequence[Course],
    days: Sequence[float],
    target: Sequence[float],
    already: NDArray[np.bool_],
    patients: NDArray[np.int64],
) -> Examples:
    return Examples(
        courses,
        np.asarray(days),
        np.asarray(target),
        np.asarray([course.diameters_mm[-1] for course in courses]),
        np.stack([features(c, day) for c, day in zip(courses, days, strict=True)]),
        np.asarray([_progresses(c, mm) for c, mm in zip(courses, target, strict=True)]),
        already,
        patients,
    )


def _progresses(course: Course, mm: float) -> bool:
    line = progression_mm(float(since_baseline(course).min()))
    return mm >= line - 1e-9  # 12 mm is 20 % over 10 mm, as on paper
