"""A patient's newest series, and what was said of it. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from monitor.alarm_lines import LONG_AGO
from wire.assessment import Assessment
from wire.patient import Patient, RecommendationState, SeriesState
from wire.records import Adjustment

URGENT_FIRST: Final[tuple[Adjustment, ...]] = ("intensify", "maintain-or-reduce", "none")

Item = tuple[str, SeriesState]
"""SeriesInstanceUID and its state."""


def ordered(patient: Patient) -> list[Item]:
    """Return the series in order of event time; those that name none count as the newest."""
    return sorted(patient.series.items(), key=_order)


def measured(state: SeriesState) -> bool:
    """Tell whether a series has a scored slice: a localizer has none."""
    return state.sealed is not None or any(
        seen.probability is not None for seen in state.slices.values()
    )


def newest(patient: Patient) -> Item | None:
    """Return the newest series that was scored, else the newest; None where there is none."""
    found = ordered(patient)
    return next(
        (item for item in reversed(found) if measured(item[1])), found[-1] if found else None
    )


def newest_final(patient: Patient) -> Assessment | None:
    """Return the assessment of the newest final series that was scored."""
    for _, state in reversed(ordered(patient)):
        sheet = state.assessment
        if sheet is not None and sheet.stage == "final" and measured(state):
            return sheet
    return None


def probability_of(state: SeriesState) -> float | None:
    """Return the greatest probability of a series' frames."""
    scores = [seen.probability for seen in state.slices.values() if seen.probability is not None]
    said = state.assessment.lesion_probability if state.assessment else None
    return max(scores, default=said)


def standing(patient: Patient) -> Iterator[tuple[UUID, RecommendationState]]:
    """Yield the recommendations that are not withdrawn, of the newest series first.

    Of one series: what is said of it as a whole, then the most urgent, then as it was said.
    """
    places = {uid: number for number, (uid, _) in enumerate(ordered(patient))}
    known = [item for item in patient.recommendations.items() if not item[1].withdrawn]

    def key(item: tuple[UUID, RecommendationState]) -> tuple[int, bool, int]:
        said = item[1]
        uid = said.series_instance_uid
        return -places.get(uid, -1), said.about != uid, URGENT_FIRST.index(said.action)

    yield from sorted(known, key=key)


def unread(patient: Patient) -> bool:
    """Tell whether the newest study could not be looked at, in no series of it."""
    found = ordered(patient)
    if not found:
        return False
    study = found[-1][1].study_instance_uid or found[-1][0]
    return not any(
        measured(state) for uid, state in found if (state.study_instance_uid or uid) == study
    )


def _order(item: Item) -> tuple[bool, datetime, str]:
    uid, state = item
    return state.first_time is None, state.first_time or LONG_AGO, uid
