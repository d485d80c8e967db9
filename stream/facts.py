"""A patient's facts: what is kept of findings and actions.

Pure. Facts are sets: repeating one changes nothing, and the order in which they come leaves no
trace. What is kept of a patient is bounded.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from stream import treatment
from stream.lesions import Confirmation, merge
from stream.series import complete, frames_of, pitch_of, scored
from stream.tracking import lungs_of
from wire.evidence import ModelEvidence
from wire.patient import (
    Decision,
    Given,
    Lung,
    Mark,
    Patient,
    SeriesState,
    Silence,
    Slice,
    TherapyGiven,
)
from wire.records import Action, Finding, LesionCandidate, SignOff

FAINT = 0.1
"""Candidates below are not kept: a lesion that is followed is looked for down to here."""

MOST_MARKS = 16
"""Of one slice, the most probable."""

MOST_SLICES = 4096
"""Of one series; further ones are counted, and the assessment says so."""

MOST_SERIES_WHOLE = 12
"""With their slices; of older ones only lesions and assessment are kept."""

MOST_SEALED = 32
"""Lesions of a series without its slices."""

MOST_SERIES = 128
MOST_ACTIONS = 2000
"""Of one kind: acknowledgements, silences, decisions."""

MOST_THERAPIES = 50
MOST_EVIDENCE = 16
"""Of one series: what models answered to the question that stands, and to those before."""

T = TypeVar("T")
G = TypeVar("G", bound=Given)


def with_finding(series: SeriesState, finding: Finding, arrived: datetime | None) -> SeriesState:
    """Add a finding to its series; the same object where it adds nothing.

    Of two findings with one id the first is kept, but a score replaces "not scored": a frame that
    is scored at last (dead letter replayed) counts, whichever of the two arrives first.
    """
    if series.sealed is not None:
        return series
    known = series.slices.get(finding.id)
    scored = finding.lesion_probability is not None
    if known is not None and (not scored or known.probability is not None):
        return series
    if known is None and len(series.slices) >= MOST_SLICES:
        return series.model_copy(update={"left_out": series.left_out + 1})
    plane = finding.plane
    grown = series.model_copy(
        update={
            # A series that contradicts itself is known by one of its values, always the same.
            "study_instance_uid": _pick(min, series.study_instance_uid, finding.study_instance_uid),
            "modality": _pick(min, series.modality, finding.modality),
            "images": _pick(max, series.images, plane.images),
            "pitch_mm": _pick(min, series.pitch_mm, plane.pitch_mm),
            "first_time": _pick(min, series.first_time, finding.event_time),
            "received_first": _pick(min, series.received_first, finding.received_time),
            "received_last": _pick(max, series.received_last, finding.received_time, arrived),
            "slices": {**series.slices, finding.id: _slice(finding)},
        }
    )
    return grown.model_copy(update={"closed_at": _closed_at(series, grown)})


def with_evidence(series: SeriesState, evidence: ModelEvidence) -> SeriesState:
    """Add what a model answered; the same object where it was known.

    An answer replaces an abstention: what failed or was missing may be there now. Of too many the
    first that came are let go of.
    """
    kept = dict(series.evidence)
    known = kept.pop(evidence.id, None)
    if known is not None and (known.status == "answered" or evidence.status == "abstained"):
        return series
    kept[evidence.id] = evidence
    if len(kept) > MOST_EVIDENCE:
        del kept[next(iter(kept))]
    return series.model_copy(update={"evidence": kept})


def _closed_at(before: SeriesState, now: SeriesState) -> int:
    """Return how many frames a series had when it was first final; 0 while it is not.

    What the clock closed stays so. What was complete by a count is not any more where a slice
    knows of a greater one: else it would matter which slice came first.
    """
    if before.closed_at and before.closed_at != before.images:
        return before.closed_at
    if now.images is not None and frames_of(now) >= now.images:
        return now.images
    return 0


def _slice(finding: Finding) -> Slice:
    """Return what is kept of a finding."""
    plane, engine = finding.plane, finding.engine
    location = plane.location_mm
    if location is None and finding.instance_number is not None:
        location = float(finding.instance_number)
    place = f"{finding.sop_instance_uid}|{finding.frame_number}"
    area = finding.quality.get("lung_area_cm2")
    lung = None
    if plane.lung_centre_mm is not None and isinstance(area, int | float):
        x_mm, y_mm, z_mm = (round(value, 2) for value in plane.lung_centre_mm)
        lung = Lung(x_mm, y_mm, z_mm, area)
    marks = [_mark(lesion, engine.alarm) for lesion in finding.lesions]
    when = finding.event_time
    return Slice(
        probability=finding.lesion_probability,
        reason=finding.reason,
        frame=finding.frame_id.hex[:12],
        place=hashlib.sha256(place.encode()).hexdigest()[:12],
        location_mm=location,
        time_ms=None if when is None else int(when.timestamp() * 1000),
        alarming=(finding.lesion_probability or 0.0) >= _or_half(engine.alarm),
        lung=lung,
        marks=tuple(sorted((mark for mark in marks if mark), reverse=True)[:MOST_MARKS]),
    )


def _mark(lesion: LesionCandidate, alarm: float | None) -> Mark | None:
    """Return a candidate with its place; None where it is faint or has none."""
    x_mm, y_mm, z_mm, diameter_mm = lesion.x_mm, lesion.y_mm, lesion.z_mm, lesion.diameter_mm
    if x_mm is None or y_mm is None or z_mm is None or diameter_mm is None:
        return None
    if lesion.probability < FAINT:
        return None
    return Mark(
        lesion.probability,
        round(x_mm, 2),
        round(y_mm, 2),
        round(z_mm, 2),
        round(diameter_mm, 2),
        lesion.probability >= _or_half(alarm),
    )


def _or_half(point: float | None) -> float:
    """Return an operating point; findings made before they said theirs had 0.5."""
    return 0.5 if point is None else point


def _pick(choose: Callable[..., Any], *values: T | None) -> T | None:
    """Return the least or greatest of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return choose(known) if known else None


def with_action(
    patient: Patient, action: Action, silence: timedelta, longest_silence: timedelta
) -> Patient:
    """Add an action; the same object where it adds nothing.

    Parameters
    ----------
    silence, longest_silence : how long one lasts that does not say, and any may last.
    """
    given = Given(action_id=action.id, actor=action.actor, event_time=action.event_time)
    if action.action == "therapy":
        return _with_therapy(patient, action)
    about = action.about
    if about is None or action.action == "view":
        return patient
    if action.action == "acknowledge":
        first = patient.acknowledgements.get(about)
        if first is not None and _order(first) <= _order(given):
            return patient
        return _put(patient, "acknowledgements", patient.acknowledgements, about, given)
    if action.action == "silence":
        until = action.until or action.event_time + silence
        until = min(until, action.event_time + longest_silence)
        pause = Silence(**dict(given), until=until)
        longest = patient.silences.get(about)
        if longest is not None and (longest.until, *_order(longest)) >= (until, *_order(pause)):
            return patient
        return _put(patient, "silences", patient.silences, about, pause)
    sign_off: SignOff = "signed-off" if action.action == "sign-off" else "rejected"
    decision = Decision(**dict(given), sign_off=sign_off, reason=action.reason)
    last = patient.decisions.get(about)
    if last is not None and _order(last) >= _order(decision):
        return patient
    return _put(patient, "decisions", patient.decisions, about, decision)


def bounded(patient: Patient, confirmation: Confirmation) -> Patient:
    """Let go of the slices of old series, and of the oldest ones but the first."""
    ages = sorted(
        (state.first_time is None, state.first_time or 0, uid)
        for uid, state in patient.series.items()
        if complete(state) and scored(state)
    )
    if len(ages) <= MOST_SERIES_WHOLE:
        return patient
    series = dict(patient.series)
    for _, _, uid in ages[: len(ages) - MOST_SERIES_WHOLE]:
        if series[uid].sealed is None:
            series[uid] = _sealed(series[uid], confirmation)
    needed = _needed(patient)
    old = [uid for _, _, uid in ages if uid not in needed]
    for uid in old[: max(0, len(series) - MOST_SERIES)]:
        del series[uid]
    if series == patient.series:
        return patient
    recommendations = {
        about: said
        for about, said in patient.recommendations.items()
        if said.series_instance_uid in series
    }
    alarms = {
        about: alarm
        for about, alarm in patient.alarms.items()
        if alarm.series_instance_uid in series or alarm.state != "inactive"
    }
    return patient.model_copy(
        update={"series": series, "recommendations": recommendations, "alarms": alarms}
    )


def _needed(patient: Patient) -> set[str]:
    """Return the series that must stay: baselines, and what a clinician decided about."""
    sheets = [s.assessment for s in patient.series.values() if s.assessment is not None]
    decided = [patient.recommendations.get(about) for about in patient.decisions]
    return {
        *(sheet.baseline_series for sheet in sheets if sheet.baseline_series),
        *(said.series_instance_uid for said in decided if said is not None),
    }


def expired(patient: Patient, now: datetime, after: timedelta) -> bool:
    """Tell whether nothing came of a patient for so long, and no alarm waits for anybody."""
    if any(a.state != "inactive" and a.inactivation == "none" for a in patient.alarms.values()):
        return False
    received = [s.received_last for s in patient.series.values() if s.received_last is not None]
    return bool(received) and now - max(received) > after


def _sealed(state: SeriesState, confirmation: Confirmation) -> SeriesState:
    lesions = merge(state.slices, pitch_mm=pitch_of(state), confirmation=confirmation)
    ranked = sorted(lesions, key=lambda seen: (not seen.confirmed, -seen.probability, seen.centre))
    lungs = lungs_of(state.slices.values())
    return state.model_copy(
        update={"slices": {}, "sealed": tuple(ranked[:MOST_SEALED]), "lungs": lungs}
    )


def _with_therapy(patient: Patient, action: Action) -> Patient:
    known = {entry.action_id: entry for entry in patient.therapies}
    if action.therapy is None or action.id in known:
        return patient
    known[action.id] = TherapyGiven(
        action_id=action.id,
        actor=action.actor,
        event_time=action.event_time,
        therapy=action.therapy,
    )
    entries = sorted(known.values(), key=_order)
    return patient.model_copy(update={"therapies": treatment.bounded(entries, MOST_THERAPIES)})


def _put(patient: Patient, name: str, known: dict[UUID, G], about: UUID, what: G) -> Patient:
    """Keep what was done; of too many the latest."""
    done = {**known, about: what}
    if len(done) > MOST_ACTIONS:
        del done[min(done, key=lambda key: _order(done[key]))]
    return patient.model_copy(update={name: done})


def _order(given: Given) -> tuple[datetime, str]:
    return given.event_time, str(given.action_id)
