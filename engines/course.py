"""The course of a target lesion: what was measured so far, and what a forecast makes of it.

Arrays in, numbers out. Nothing of a later visit is in them but its date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    "log diameter",
    "log days to the next visit",
    "log days since the baseline",
    "log days from the baseline to the next visit",
    "log number of earlier visits",
    "log baseline diameter",
    "log nadir",
    "log growth to progression",
    "mm above the nadir",
    "log change from the baseline",
    "log change from the nadir",
    "mm since the last visit",
    "log change since the last visit",
    "days since the last visit",
    "log change in six weeks, last two",
    "mm at the visit before",
    "log change in six weeks, last three",
    "spread of the last changes",
    "days since the least diameter",
    "log fall from the greatest",
    "share of visits at this diameter",
    "readings of 0 mm",
    "only one visit",
    "only two visits",
)
"""What `features` measures, in this order."""

_OFFSET = 3.0  # mm: readings of 0 occur, and a millimetre more of 2 mm is no growth by half
_SIX_WEEKS = 42.0


@dataclass(frozen=True, slots=True)
class Course:
    """Readings of one lesion, or of a sum of diameters, up to a visit.

    Attributes
    ----------
    days : (n,) ascending; 0 is the start of treatment, so the baseline is the last at or before 0.
    diameters_mm : (n,) longest diameters, >= 0; 0 is a lesion that is not seen any more.
    arm : of the treatment, as the engine's card lists them; any other counts as unknown.
    """

    days: NDArray[np.float64]
    diameters_mm: NDArray[np.float64]
    arm: str = ""

    def until(self, visit: int) -> Course:
        """Return what was known at a visit, from 0."""
        return Course(self.days[: visit + 1], self.diameters_mm[: visit + 1], self.arm)


def baseline_of(days: NDArray[np.float64]) -> int:
    """Return the visit of the baseline: the last at or before day 0, else the first."""
    return max(int(np.searchsorted(days, 0.0, side="right")) - 1, 0)


def since_baseline(course: Course) -> NDArray[np.float64]:
    """Return the diameters from the baseline on; before it the last reading alone."""
    return course.diameters_mm[min(baseline_of(course.days), len(course.days) - 1) :]


def progression_mm(nadir_mm: float) -> float:
    """Return the diameter from which on it is progressive disease.

    At least 20 % and at least 5 mm above the nadir (RECIST 1.1, Eisenhauer et al., Eur J Cancer
    2009;45:228-247, section 4.3.1).
    """
    return max(1.2 * nadir_mm, nadir_mm + 5.0)


def features(course: Course, next_day: float) -> NDArray[np.float32]:
    """Measure a course of n >= 1 readings: (len(FEATURES),), all finite.

    Parameters
    ----------
    next_day : of the visit to forecast, at or after the last reading.
    """
    days, mm = course.days, course.diameters_mm
    logs, since = np.log(mm + _OFFSET), since_baseline(course)
    last, visits = float(mm[-1]), len(mm)
    nadir, base = float(since.min()), float(since[0])
    beyond = np.log(progression_mm(nadir) + _OFFSET) - logs[-1]
    least = int(np.argmin(mm))
    row = [
        np.log1p(last),
        _log_days(next_day - days[-1]),
        _log_days(days[-1]),
        _log_days(next_day),
        np.log1p(visits - 1),
        np.log1p(base),
        np.log1p(nadir),
        beyond,
        last - nadir,
        logs[-1] - np.log(base + _OFFSET),
        logs[-1] - np.log(nadir + _OFFSET),
        *_changes(days, mm, logs),
        days[-1] - days[least],
        logs.max() - logs[-1],
        np.mean(mm == last),
        np.sum(mm == 0),
        visits < 2,
        visits < 3,
    ]
    return np.asarray(row, dtype=np.float32)


def _changes(
    days: NDArray[np.float64], mm: NDArray[np.float64], logs: NDArray[np.float64]
) -> Sequence[float]:
    """Change since the visit before, and before that; 0 where there was none."""
    row = [0.0] * 7
    if len(mm) > 1:
        apart = float(days[-1] - days[-2])
        change = float(logs[-1] - logs[-2])
        row[:4] = (float(mm[-1] - mm[-2]), change, apart, change / max(apart, 7.0) * _SIX_WEEKS)
    if len(mm) > 2:
        apart = float(days[-1] - days[-3])
        rate = float(logs[-1] - logs[-3]) / max(apart, 14.0) * _SIX_WEEKS
        row[4:] = (float(mm[-2] - mm[-3]), rate, float(np.std(np.diff(logs[-4:]))))
    return row


def _log_days(days: float) -> float:
    return float(np.log1p(max(days, 0.0)))
