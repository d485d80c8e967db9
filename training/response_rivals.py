"""What a forecast is measured against: curves fitted to a patient, quantiles of all, boosting.

Each rival sees what the engine sees: the visits so far, the arm and the date of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.course import FEATURES, Course
from training.response_examples import Examples

Values = NDArray[np.float64]
Rival = Callable[[Examples, Examples], Values]
"""Learns from the first examples, forecasts the second in mm."""

_LEAST = 0.5  # mm: curves of logarithms need a lesion that is there
_MOST = 3.0  # no curve goes beyond so many times the greatest reading

BOOSTED = tuple(
    FEATURES.index(name)
    for name in (
        "log diameter",
        "log days to the next visit",
        "log days since the baseline",
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
        "log change in six weeks, last three",
        "days since the least diameter",
    )
)
"""Features that boosting sees; the arm is the sixteenth."""

_ARM = len(BOOSTED)


def last_value(_: Examples, unseen: Examples) -> Values:
    """Forecast the last reading."""
    return unseen.last


def linear(_: Examples, unseen: Examples) -> Values:
    """Forecast a straight line through the readings since the baseline."""
    return _fitted(unseen, lambda t, y: _line(t, y))


def exponential(_: Examples, unseen: Examples) -> Values:
    """Forecast exponential growth: a straight line through the logarithms."""

    def fit(t: Values, y: Values) -> Callable[[float], float]:
        line = _line(t, np.log(np.maximum(y, _LEAST)))
        return lambda day: float(np.exp(np.clip(line(day), -5.0, 8.0)))

    return _fitted(unseen, fit)


def gompertz(_: Examples, unseen: Examples) -> Values:
    """Forecast Gompertz growth ``y' = a y - b y log y`` (Laleh et al., PLoS Comput Biol 2022)."""
    return _fitted(unseen, lambda t, y: _relaxing(t, y, np.log, np.exp))


def bertalanffy(_: Examples, unseen: Examples) -> Values:
    """Forecast General Bertalanffy growth ``y' = a y^(2/3) - b y``, as in the same source."""
    return _fitted(unseen, lambda t, y: _relaxing(t, y, np.cbrt, lambda w: np.maximum(w, 0.0) ** 3))


CURVES: dict[str, Rival] = {
    "last reading": last_value,
    "straight line": linear,
    "exponential": exponential,
    "Gompertz": gompertz,
    "General Bertalanffy": bertalanffy,
}
"""Rivals that learn from nobody else's readings, by name."""


def boosting(seen: Examples, unseen: Examples) -> Values:
    """Forecast the change in mm by gradient boosting on 16 features, the median."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # an extra

    model = HistGradientBoostingRegressor(
        loss="quantile", quantile=0.5, learning_rate=0.03, max_iter=300, max_leaf_nodes=8,
        min_samples_leaf=30, l2_regularization=5.0, categorical_features=[_ARM], random_state=0,
    )  # fmt: skip
    arms = _arms(seen)
    model.fit(_sixteen(seen, arms), seen.target - seen.last)
    return np.asarray(unseen.last + model.predict(_sixteen(unseen, arms)))


def boosted_progression(seen: Examples, unseen: Examples) -> Values:
    """Return the probability of progression by gradient boosting on 16 features."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # an extra

    model = HistGradientBoostingClassifier(
        learning_rate=0.03, max_iter=150, max_leaf_nodes=6, min_samples_leaf=40,
        l2_regularization=10.0, categorical_features=[_ARM], random_state=0,
    )  # fmt: skip
    arms = _arms(seen)
    model.fit(_sixteen(seen, arms), seen.progresses)
    return np.asarray(model.predict_proba(_sixteen(unseen, arms))[:, 1])


def quantiles(seen: Examples, unseen: Examples, level: float) -> Values:
    """Forecast a quantile of the growth of all patients, whatever their course."""
    growth = float(np.quantile(np.log((seen.target + 5) / (seen.last + 5)), level))
    return np.asarray(np.maximum((unseen.last + 5) * np.exp(growth) - 5, 0.0))


def _sixteen(examples: Examples, arms: Sequence[str]) -> NDArray[np.float32]:
    """Return features and, last, the number of the arm; NaN for one that is not known."""
    number = {arm: float(i) for i, arm in enumerate(arms)}
    arm = [number.get(course.arm, np.nan) for course in examples.courses]
    return np.column_stack((examples.features[:, BOOSTED], np.asarray(arm, dtype=np.float32)))


def _arms(examples: Examples) -> list[str]:
    return sorted({course.arm for course in examples.courses})


def _fitted(unseen: Examples, fit: Callable[[Values, Values], Callable[[float], float]]) -> Values:
    """Forecast by a curve through each course; where there are too few readings, the last one."""
    return np.asarray(
        [
            _one(course, day, fit)
            for course, day in zip(unseen.courses, unseen.next_days, strict=True)
        ]
    )


def _one(
    course: Course, day: float, fit: Callable[[Values, Values], Callable[[float], float]]
) -> float:
    days, mm = course.days, course.diameters_mm
    if len(np.unique(days)) < 2:
        return float(mm[-1])
    value = fit(days, mm)(day)
    return float(np.clip(value, 0.0, _MOST * max(float(mm.max()), _LEAST)))


def _line(t: Values, y: Values) -> Callable[[float], float]:
    slope, start = np.polyfit(t, y, 1)
    return lambda day: float(start + slope * day)


def _relaxing(
    t: Values, y: Values, there: Callable[[Any], Any], back: Callable[[Any], Any]
) -> Callable[[float], float]:
    """Fit ``w' = a - b w`` to ``w = there(y)`` by least squares of y: start, a and b, a week."""
    from scipy.optimize import least_squares

    scale = max(float(y.max()), _LEAST)
    weeks, w = (t - t[0]) / 7.0, there(np.maximum(y / scale, 1e-3))

    def course(parameters: Sequence[float], at: Values) -> Values:
        start, a, b = parameters
        faded = -np.expm1(-b * at) / b if abs(b) > 1e-6 else at
        return np.asarray(back(np.clip(start - b * start * faded + a * faded, -9.0, 3.0)))

    fitted = least_squares(
        lambda p: course(p, weeks) - y / scale,
        (float(w[0]), 0.0, 0.02),
        bounds=((-8.0, -1.0, 0.0), (2.0, 1.0, 1.0)),
        max_nfev=60,
    )
    return lambda day: scale * float(course(fitted.x, np.asarray([(day - t[0]) / 7.0]))[0])
