"""One patient as a whole page: baseline beside now, lesions, studies, advice. Pure."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from monitor import alarm_lines
from monitor.known import FrameRef, Known
from monitor.newest import Item, measured, newest, ordered, probability_of, standing
from monitor.shapes import (
    Advice,
    AlarmLine,
    Bar,
    PatientSheet,
    Role,
    SeriesSheet,
    SliceLine,
    StudyPoint,
    TherapyMark,
)
from monitor.tiles import tile
from wire.assessment import NO_COMPARISON, Assessment, Response
from wire.patient import Patient, RecommendationState, SeriesState, Slice

SCREEN = 0.5
"""Outlined from here on: each engine's `screen`, by construction (docs/lesion.md)."""


def sheet(known: Known, patient: Patient, role: Role, bar: Bar, now: datetime) -> PatientSheet:
    """Return a patient's page.

    Parameters
    ----------
    bar : of all alarms.
    """
    alarms = alarm_lines.of_patient(known, patient, role, now)
    called = alarm_lines.who(known, patient.patient_id, role)
    base, now_item = _compared(patient)
    return PatientSheet(
        tile=tile(patient, known.newest.get(patient.patient_id), called, alarms),
        baseline=_series(base, known.frames, role) if base else None,
        now=_series(now_item, known.frames, role) if now_item else None,
        studies=tuple(_study(uid, state) for uid, state in studies(patient)),
        therapies=tuple(
            TherapyMark(
                start=given.therapy.start,
                plan=given.therapy.plan,
                flags=given.therapy.flags,
                entered_by=given.actor,
            )
            for given in patient.therapies
        ),
        advice=tuple(_advice(patient, i, said, role) for i, said in standing(patient)),
        alarms=tuple[AlarmLine, ...](alarms),
        bar=bar,
    )


def studies(patient: Patient) -> list[Item]:
    """Return the series by which each study is known, in order: that with most scored slices.

    Of the modality of the newest alone: others are not compared with it.
    """
    last = newest(patient)
    if last is None:
        return []
    found: dict[str, Item] = {}
    for uid, state in ordered(patient):
        if state.modality != last[1].modality or not measured(state):
            continue
        study = state.study_instance_uid or uid
        if study not in found or _weight(state) > _weight(found[study][1]):
            found[study] = (uid, state)
    return list(found.values())


def _compared(patient: Patient) -> tuple[Item | None, Item | None]:
    """Return the baseline and the newest series; of what still comes in, that of the one before."""
    now = newest(patient)
    if now is None:
        return None, None
    said = now[1].assessment
    base = said.baseline_series if said is not None else None
    if base is None:
        earlier = [state.assessment for uid, state in studies(patient) if uid != now[0]]
        bases = [one.baseline_series for one in earlier if one is not None]
        base = bases[-1] if bases else None
    if base is None or base == now[0] or base not in patient.series:
        return None, now
    return (base, patient.series[base]), now


def _series(item: Item, frames: Mapping[UUID, FrameRef], role: Role) -> SeriesSheet:
    uid, state = item
    said = state.assessment
    places = sorted(
        state.slices.items(),
        key=lambda place: (
            place[1].location_mm is None,
            place[1].location_mm or 0.0,
            str(place[0]),
        ),
    )
    slices = tuple(_slice(i, seen, frames.get(i), role) for i, seen in places)
    likeliest = max(range(len(slices)), key=lambda n: slices[n].probability or -1.0, default=0)
    return SeriesSheet(
        series_instance_uid=uid,
        study_instance_uid=state.study_instance_uid,
        time=state.first_time,
        stage=said.stage if said else "early",
        version=said.version if said else 0,
        response=_response(said),
        clauses=said.clauses if said else (),
        quality=said.quality if said else (),
        lesions=said.lesions if said else (),
        sum_mm=said.sum_mm if said else None,
        baseline_sum_mm=said.baseline_sum_mm if said else None,
        nadir_sum_mm=said.nadir_sum_mm if said else None,
        change_percent=said.change_percent if said else None,
        trend=said.trend if said else "unknown",
        suspected=said.suspected if said else False,
        slices=slices,
        shown=likeliest,
    )


def _slice(i: UUID, seen: Slice, ref: FrameRef | None, role: Role) -> SliceLine:
    seeable = ref is not None and alarm_lines.may_see(ref.burned_in, role)
    return SliceLine(
        finding_id=i,
        sop_instance_uid=ref.sop_instance_uid if ref else None,
        frame_number=ref.frame_number if ref else None,
        location_mm=seen.location_mm,
        probability=seen.probability,
        reason=seen.reason.value if seen.reason else None,
        image=_address(ref) if ref and seeable else None,
        heat=ref is not None and ref.heat_map,
        note=_note(ref, role) if ref else None,
        outlines=tuple(o for o in (ref.outlines if ref else ()) if o.probability >= SCREEN),
    )


def _note(ref: FrameRef, role: Role) -> str | None:
    """Return what is to be said of a name in the pixels."""
    if ref.burned_in == "no":
        return None
    words = "shows" if ref.burned_in == "yes" else "may show"
    if alarm_lines.may_see(ref.burned_in, role):
        return f"the image {words} a name"
    return f"The image {words} a name: it is not shown to the role {role}."


def _address(ref: FrameRef) -> str:
    """Return where the picture is; of this finding, should the UID have been used again."""
    uid = quote(ref.sop_instance_uid, safe="")
    return f"/api/frames/{uid}/{ref.frame_number}.png?finding={ref.finding_id}"


def _study(uid: str, state: SeriesState) -> StudyPoint:
    said = state.assessment
    final = said if said is not None and said.stage == "final" else None
    return StudyPoint(
        time=state.first_time,
        series_instance_uid=uid,
        sum_mm=final.sum_mm if final else None,
        probability=probability_of(state),
        response=_response(said),
        lesions={
            lesion.label: lesion.diameter_mm
            for lesion in (final.lesions if final else ())
            if lesion.label
        },
    )


def _response(said: Assessment | None) -> Response:
    """Return the response; of a baseline, and of what still comes in, there is none to compare."""
    return said.response if said is not None else NO_COMPARISON


def _advice(patient: Patient, i: UUID, said: RecommendationState, role: Role) -> Advice:
    decision = patient.decisions.get(i)
    return Advice(
        recommendation_id=i,
        series_instance_uid=said.series_instance_uid,
        rule=said.rule,
        action=said.action,
        text=said.text,
        rationale=said.rationale,
        evidence=said.evidence,
        models=said.models,
        sign_off=said.sign_off,
        decided_by=decision.actor if decision else None,
        decided=decision.event_time if decision else None,
        reason=decision.reason if decision else None,
        withdrawn=said.withdrawn,
        may_sign=role == "clinician",
    )


def _weight(state: SeriesState) -> int:
    if state.sealed is not None:
        return state.assessment.frames if state.assessment else 0
    return sum(seen.probability is not None for seen in state.slices.values())
