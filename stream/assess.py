"""From a patient's series to assessments: what each shows, and what has become of it.

Pure: a function of the facts. Only final series are compared; one that still comes in shows what
its slices show so far.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import NAMESPACE_OID, UUID, uuid5

from stream import growth
from stream.lesions import Confirmation, confirmed, gaps
from stream.response import Judged, Reading, judge, percent
from stream.series import complete, frames_of, pitch_of
from stream.timeline import Timeline, Verdict, Visit, follow, measured, studies, visit_of
from wire.assessment import NO_COMPARISON, Assessment, CourseVisit, Lesion, Treatment
from wire.errors import Reason
from wire.patient import Seen, SeriesState, Slice

OTHERS = 8
"""Lesions that are shown though they are not followed, the most probable."""

MOST_LESIONS = 64
NOT_MEASURED_SHARE = 0.1
"""Of a series' frames that may be unfit before the series is called so."""


TreatedUntil = Callable[[datetime | None], Treatment | None]
"""When the next study is -> how the patient is treated until then; None: there is none yet."""

NOTHING_SCORED = Judged((), (), "NE", ("no slice of this series could be scored",))


@dataclass(frozen=True, slots=True)
class Standard:
    """By what a policy wants series to be judged.

    least_diameter_mm : smaller lesions are shown, and not judged.
    """

    confirmation: Confirmation
    least_diameter_mm: float

    def with_least(self, diameter_mm: float) -> "Standard":
        """Return the same, with another least diameter."""
        return replace(self, least_diameter_mm=diameter_mm)


def assess(
    patient_id: str,
    series: Mapping[str, SeriesState],
    *,
    standard: Standard,
    therapies: tuple[datetime, ...],
    treated: TreatedUntil,
    verdict: Verdict,
) -> dict[str, Assessment]:
    """Return the assessment of each final series.

    Parameters
    ----------
    therapies : when they started, in order.
    treated : with what, until the next study.
    verdict : what a clinician said of a lesion that appeared or is gone.
    """
    said: dict[str, Assessment] = {}
    for modality in sorted({state.modality or "" for state in series.values()}):
        visits = [
            visit_of(uid, state, pitch_of(state), standard.confirmation)
            for uid, state in sorted(series.items())
            if (state.modality or "") == modality and complete(state)
        ]
        found = studies(filter(measured, visits))
        line = follow(patient_id, found, therapies)
        assumed: dict[tuple[int, UUID], float | None] = {}
        for visit in visits:
            if not measured(visit):
                said[visit.uid] = _final(patient_id, visit, NOTHING_SCORED, None)
        for number, study in enumerate(found):
            base = line.visits[line.baseline(number)].uid
            later = line.visits[number + 1 : number + 2]
            treatment = treated(later[0].state.first_time if later else None)
            for visit in reversed(study):  # the one by which the study is known comes last
                read = Reading(line, number, visit, assumed, standard.least_diameter_mm, verdict)
                judged = judge(read)
                course = _course(line, number, visit, judged)
                sheet = _final(patient_id, visit, judged, base, course)
                said[visit.uid] = sheet.model_copy(update={"treatment": treatment})
            sheet = said[study[0].uid]  # of a sealed series as it was judged with its slices
            assumed |= {(number, lesion.id): lesion.diameter_mm for lesion in sheet.lesions}
    return said


def _course(line: Timeline, number: int, visit: Visit, judged: Judged) -> tuple[CourseVisit, ...]:
    """Return the sum of the visit's targets at each study from the baseline on."""
    earlier = line.visits[line.baseline(number) : number]
    times = [before.state.first_time for before in earlier] + [visit.state.first_time]
    return tuple(
        CourseVisit(event_time=when, sum_mm=mm)
        for when, mm in zip(times, judged.sums_mm, strict=True)
    )


def so_far(patient_id: str, uid: str, state: SeriesState, standard: Standard) -> Assessment | None:
    """Return the assessment of a series that still comes in; None while it shows nothing sure."""
    marked = any(mark.alarming for seen in state.slices.values() for mark in seen.marks)
    if not marked and not alarming(state, standard.confirmation):
        return None  # most series: putting the slices together after each of them is dear
    visit = visit_of(uid, state, pitch_of(state), standard.confirmation)
    sure = [seen for seen in visit.lesions if seen.confirmed]
    if not sure and not alarming(state, standard.confirmation):
        return None
    return _sheet(
        patient_id,
        visit,
        "early" if len(sure) < 2 else "updated",
        Judged(
            tuple(_loose(patient_id, uid, seen) for seen in sure[:MOST_LESIONS]),
            (),
            NO_COMPARISON,
            ("slices are still coming in: compared when all are there",),
        ),
    )


def alarming(state: SeriesState, needed: Confirmation) -> bool:
    """Tell whether frames at the alarm point lie in k of n neighbouring slices.

    Those without a place in the patient: of engines that do not say where lesions are, and of
    frames that do not say where they lie.
    """
    unplaced = [seen for seen in state.slices.values() if seen.alarming and not seen.marks]
    places = [seen.location_mm for seen in unplaced if seen.location_mm is not None]
    if complete(state) and state.slices:
        needed = Confirmation(min(needed.slices, frames_of(state)), needed.of)
    if len(unplaced) - len(places) >= needed.slices:
        return True  # they do not even say in which order they lie
    return confirmed(places, pitch_of(state), needed)


def _final(
    patient_id: str,
    visit: Visit,
    judged: Judged,
    base: str | None,
    course: tuple[CourseVisit, ...] = (),
) -> Assessment:
    if visit.state.sealed is not None and visit.state.assessment is not None:
        return visit.state.assessment
    rest = sorted(
        (visit.lesions[index] for index in judged.others),
        key=lambda seen: (-seen.probability, seen.centre),
    )
    loose = [_loose(patient_id, visit.uid, seen) for seen in rest[:OTHERS]]
    return _sheet(patient_id, visit, "final", judged, loose, base, course)


def _sheet(
    patient_id: str,
    visit: Visit,
    stage: Literal["early", "updated", "final"],
    judged: Judged,
    loose: Sequence[Lesion] = (),
    base: str | None = None,
    course: tuple[CourseVisit, ...] = (),
) -> Assessment:
    state = visit.state
    slices = list(state.slices.values())
    scores = [seen.probability for seen in slices if seen.probability is not None]
    reasons = Counter(seen.reason.value for seen in slices if seen.reason is not None)
    missing = _missing(state) if stage == "final" else 0
    return Assessment(
        id=assessment_id(patient_id, visit.uid, stage, state.slices),
        patient_id=patient_id,
        study_instance_uid=state.study_instance_uid,
        series_instance_uid=visit.uid,
        modality=state.modality,
        stage=stage,
        version=_version(state) if stage == "final" else 0,
        event_time=state.first_time,
        images=state.images,
        frames=len(slices),
        not_scored=dict(sorted(reasons.items())),
        missing=missing,
        quality=tuple(_quality(state, missing, reasons)),
        uid_reused=_reused(slices),
        lesion_probability=max(scores, default=None),
        lesions=(*judged.lesions, *loose)[:MOST_LESIONS],
        confirmed=sum(seen.confirmed for seen in visit.lesions),
        sum_mm=judged.sum_mm,
        baseline_series=base,
        baseline_sum_mm=judged.baseline_sum_mm,
        nadir_sum_mm=judged.nadir_sum_mm,
        change_percent=percent(judged.baseline_sum_mm, judged.sum_mm),
        course=course,
        response=judged.response,
        suspected=any(lesion.asked for lesion in judged.lesions),
        clauses=judged.clauses,
        trend=judged.trend,
    )


def assessment_id(
    patient_id: str, series: str, stage: str, findings: Mapping[UUID, object]
) -> UUID:
    """Return the id of an assessment: what it is about, and the findings it rests on."""
    about = "|".join(sorted(str(finding) for finding in findings))
    return uuid5(NAMESPACE_OID, f"{patient_id}|{series}|{stage}|{about}")


def _loose(patient_id: str, uid: str, seen: Seen) -> Lesion:
    """Return a lesion that is not followed."""
    return Lesion(
        id=uuid5(NAMESPACE_OID, f"{patient_id}|candidate|{uid}|{seen.centre}"),
        label="",
        role="unconfirmed" if not seen.confirmed else "found",
        seen=True,
        x_mm=seen.centre.x_mm,
        y_mm=seen.centre.y_mm,
        z_mm=seen.centre.z_mm,
        diameter_mm=seen.diameter_mm,
        uncertainty_mm=growth.uncertainty_mm(seen.diameter_mm),
        extent_mm=seen.extent_mm,
        probability=seen.probability,
        slices=seen.slices,
        alarming_slices=seen.alarming,
        findings=seen.findings,
    )


def _version(state: SeriesState) -> int:
    """Return which final this is: one more for each late slice."""
    if state.sealed is not None and state.assessment is not None:
        return state.assessment.version
    return max(0, len(state.slices) - state.closed_at) + 1


def _missing(state: SeriesState) -> int:
    """Return how many slices never came."""
    if state.images is not None and frames_of(state) < state.images:
        return state.images - frames_of(state)
    at = [seen.location_mm for seen in state.slices.values() if seen.location_mm is not None]
    pitch = pitch_of(state)
    holes = gaps(at, pitch)
    pitch = pitch or min((high - low for low, high in holes), default=1.0)
    return sum(max(1, round((high - low) / pitch) - 1) for low, high in holes)


def _quality(state: SeriesState, missing: int, reasons: Mapping[str, int]) -> list[str]:
    """Return what is wrong with a series, in words."""
    words = [f"{missing} slices are missing"] if missing else []
    unfit = sum(n for reason, n in reasons.items() if reason != Reason.NO_LUNGS.value)
    if unfit > NOT_MEASURED_SHARE * len(state.slices):
        words.append(f"{unfit} of {len(state.slices)} slices could not be scored")
    if state.left_out:
        words.append(f"{state.left_out} findings beyond what a series may hold were left out")
    if _reused(list(state.slices.values())):
        words.append("a SOPInstanceUID came with different pixels")
    return words


def _reused(slices: Sequence[Slice]) -> bool:
    frames = {(seen.place, seen.frame) for seen in slices}
    return len(frames) > len({place for place, _ in frames})
