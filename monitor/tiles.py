"""One patient as a tile on the ward. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from monitor.alarm_lines import RANK
from monitor.known import Newest
from monitor.memo import Memo
from monitor.newest import newest, newest_final, probability_of, standing, unread
from monitor.shapes import AlarmLine, Spot, Tile, Who
from wire.assessment import Assessment
from wire.patient import Patient, RecommendationState, SeriesState

UNREAD = "newest study: not scored"

_FACTS: Final = Memo[Tile](most=1_000)


def tile(patient: Patient, frames: Newest | None, called: Who, alarms: Sequence[AlarmLine]) -> Tile:
    """Return a patient's tile.

    Parameters
    ----------
    frames : the newest frames; None: none came since the monitor's memory begins.
    alarms : of this patient that stand, the foremost first.
    """
    facts = _FACTS.get(patient.patient_id, _facts, patient, frames)
    top = min(alarms, key=lambda line: -RANK[line.priority], default=None)
    of_alarm = (
        {
            "priority": top.priority,
            "inactivation": top.inactivation,
            "state": top.state,
            "cause": top.cause,
            "since": top.since,
            "paused_until": top.paused_until,
        }
        if top
        else {}
    )
    unattended = sum(line.inactivation != "acknowledged" for line in alarms)
    counts = {"alarms": len(alarms), "unattended": unattended}
    return facts.model_copy(update={"who": called} | counts | of_alarm)


def need(shown: Tile) -> tuple[int, int, bool, float, str]:
    """Return what tiles are sorted by, most needy first.

    Who has an alarm nobody has acknowledged, by the highest alarm; then who has others; then
    questions that a clinician has not answered; then the probability; then the pseudonym, to stay
    in place.
    """
    attended = 2 if shown.priority is None else int(shown.unattended == 0)
    probability = -1.0 if shown.probability is None else shown.probability
    return (
        attended,
        -RANK[shown.priority],
        not shown.questions,
        -probability,
        shown.who.patient_id,
    )


def _facts(patient: Patient, frames: Newest | None) -> Tile:
    """Return a tile with what does not depend on the role and the moment."""
    item = newest(patient)
    state = item[1] if item else None
    sheet = newest_final(patient)
    advice = next(standing(patient), None)
    return Tile(
        who=Who(patient_id=patient.patient_id, name=None, bed=None, why=""),
        probability=probability_of(state) if state else None,
        trend=_trend(frames),
        last_frame=_last_frame(patient, frames),
        priority=None,
        inactivation="none",
        state=None,
        cause="",
        since=None,
        paused_until=None,
        alarms=0,
        unattended=0,
        questions=sum(lesion.asked is not None for lesion in sheet.lesions) if sheet else 0,
        stage=_stage(state),
        quality=_quality(patient, state),
        response=sheet.response if sheet else None,
        trend_words=sheet.trend if sheet else "unknown",
        sum_mm=sheet.sum_mm if sheet else None,
        change_percent=_change(sheet),
        recommendation=_words(advice[1], item[0] if item else "") if advice else "",
        action=advice[1].action if advice else None,
        sign_off=advice[1].sign_off if advice else None,
    )


def _trend(frames: Newest | None) -> tuple[Spot, ...]:
    if frames is None:
        return ()
    return tuple(Spot(time=time, value=value) for time, value in frames.trend)


def _last_frame(patient: Patient, frames: Newest | None) -> datetime | None:
    if frames is not None and frames.received_time is not None:
        return frames.received_time
    times = [state.received_last for state in patient.series.values()]
    return max((time for time in times if time is not None), default=None)


def _stage(state: SeriesState | None) -> str:
    if state is None:
        return ""
    if state.sealed is not None or state.closed_at:
        return "final"
    return state.assessment.stage if state.assessment else "early"


def _quality(patient: Patient, state: SeriesState | None) -> tuple[str, ...]:
    said = state.assessment.quality if state is not None and state.assessment else ()
    return (UNREAD, *said) if unread(patient) else said


def _change(sheet: Assessment | None) -> float | None:
    """Return the change since baseline; a baseline has not changed since itself."""
    if sheet is None or sheet.baseline_series in (None, sheet.series_instance_uid):
        return None
    return sheet.change_percent


def _words(said: RecommendationState, newest_uid: str) -> str:
    if said.series_instance_uid == newest_uid:
        return said.text
    return f"of the study before: {said.text}"
