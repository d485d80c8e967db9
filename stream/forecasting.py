"""The adviser that forecasts: the sum of the target lesions at the next study. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np

from engines import EngineCard
from engines.course import Course
from engines.errors import NotForecastable
from engines.forecaster import Forecast
from stream.consult import Advice
from wire.assessment import Assessment
from wire.evidence import ForecastSum
from wire.records import Adjustment

DAY_S = 24 * 3600.0


class Forecasts(Protocol):
    """An engine that forecasts; `engines.forecaster.Forecaster`."""

    card: EngineCard

    def forecast(self, course: Course, next_day: float) -> Forecast:
        """Forecast the diameter on a day; raises NotForecastable, EngineFailed."""


@dataclass(frozen=True, slots=True)
class ForecastAdviser:
    """Asks an engine about the next study, `next_visit_days` after the last."""

    engine: Forecasts
    next_visit_days: float
    subject: Final = "forecast"

    @property
    def card(self) -> EngineCard:
        """The engine's card."""
        return self.engine.card

    @property
    def setting(self) -> str:
        """How far on the next study is."""
        return f"{self.next_visit_days:g} days"

    def advise(self, sheet: Assessment) -> Advice:
        """Forecast the sum of the targets; see `stream.consult.Adviser`."""
        course = course_of(sheet)
        arms = self.card.forecast.arms if self.card.forecast else ()
        said = self.engine.forecast(
            Course(course.days, course.diameters_mm, course.arm if course.arm in arms else ""),
            float(course.days[-1]) + self.next_visit_days,
        )
        forecast = ForecastSum(
            days=self.next_visit_days,
            sum_mm=float(course.diameters_mm[-1]),
            next_sum_mm=round(said.median_mm, 2),
            q10_mm=round(said.q10_mm, 2),
            q90_mm=round(said.q90_mm, 2),
            progression_probability=round(said.progression_probability, 4),
        )
        notes = _notes(sheet, arms)
        leans = _leans(forecast, self.card)
        return Advice(_words(forecast, notes), leans, forecast=forecast, notes=notes)


def course_of(sheet: Assessment) -> Course:
    """Return the course of an assessment's target lesions.

    Day 0 is the start of the treatment, else the baseline. Studies in which they were not evaluated
    are left out.

    Raises
    ------
    NotForecastable   there is nothing to forecast, or nobody knows when it was.
    """
    if not sheet.course or sheet.course[-1].sum_mm is None:
        raise NotForecastable("no target lesion was measured at this study")
    begun = sheet.treatment.start if sheet.treatment else None
    start = begun or next((v.event_time for v in sheet.course if v.sum_mm is not None), None)
    if start is None or sheet.course[-1].event_time is None:
        raise NotForecastable("the date of the study is not known")
    known = [
        (_days(visit.event_time, start), visit.sum_mm)
        for visit in sheet.course
        if visit.sum_mm is not None and visit.event_time is not None
    ]
    days, sums = (np.asarray(column, dtype=np.float64) for column in zip(*known, strict=True))
    plan = sheet.treatment.plan if sheet.treatment else None
    return Course(days, sums, plan or "")


def _days(when: datetime, start: datetime) -> float:
    return (when - start).total_seconds() / DAY_S


def _notes(sheet: Assessment, arms: tuple[str, ...]) -> tuple[str, ...]:
    """Say what a forecast takes for granted."""
    plan = sheet.treatment.plan if sheet.treatment else None
    targets = sum(lesion.role == "target" for lesion in sheet.lesions)
    notes = []
    if plan is None:
        notes.append("no treatment is recorded: forecast as of those treated in training")
    elif plan not in arms:
        notes.append("the plan was not in training: forecast as the average of all arms")
    if targets > 1:
        notes.append(f"a sum of {targets} lesions: in training it was one")
    return tuple(notes)


def _words(said: ForecastSum, notes: tuple[str, ...]) -> str:
    sentences = [
        f"in {said.days:.0f} days the target lesions measure {said.next_sum_mm:.1f} mm together "
        f"(80 %: {said.q10_mm:.1f} to {said.q90_mm:.1f}; now {said.sum_mm:.1f})",
        f"progression then: {said.progression_probability:.0%}",
        *notes,
    ]
    return "; ".join(sentences)


def _leans(said: ForecastSum, card: EngineCard) -> Adjustment:
    """Return where a forecast points, by the operating points of its engine."""
    points = card.operating_points
    if said.progression_probability >= points.alarm:
        return "intensify"
    return "maintain-or-reduce" if said.progression_probability < points.screen else "none"
