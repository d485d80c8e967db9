"""The patient's state: a deterministic fold over the set of findings and actions.

Pure. Repeating a finding or an action changes nothing. The state (not the moments at which it
speaks) is the same in whatever order findings and actions arrive.

What it speaks: a recommendation when the answer for a series changes, an alert when an alarm starts
or is acknowledged. Ids are made of what the thing is about, so a fold that is repeated after a
crash says the same again.
"""

from typing import Literal
from uuid import UUID

from stream import policy
from wire import ids
from wire.records import (
    Acknowledgement,
    Action,
    AlarmState,
    Alert,
    Finding,
    Patient,
    Recommendation,
    SeriesState,
    Version,
)

Spoken = Recommendation | Alert


def fold_finding(patient: Patient, finding: Finding, offset: int) -> tuple[Patient, list[Spoken]]:
    """Fold one finding in.

    Parameters
    ----------
    offset : of the finding in `results`; one that the state covers already changes nothing.
    """
    if offset <= patient.version.results:
        return patient, []
    patient = _at(patient, results=offset)
    uid = finding.series_instance_uid
    if uid is None:
        return patient, []
    before = patient.series.get(uid)
    series = _with_finding(before, finding)
    if series is before:
        return patient, []
    rule = policy.answer(series.lesion_probability)
    if rule is None or rule.action == series.action:
        return _with_series(patient, uid, series), []
    said = _recommendation(patient.patient_id, uid, series, rule, finding)
    series = series.model_copy(update={"action": rule.action, "recommendation_id": said.id})
    patient = _with_series(patient, uid, series)
    if rule.alarm is None:
        return patient, [said]
    patient, alerts = _start_alarm(patient, _alarm(said, rule.name, rule.alarm))
    return patient, [said, *alerts]


def fold_action(patient: Patient, action: Action, offset: int) -> tuple[Patient, list[Spoken]]:
    """Fold one action in: the earliest acknowledgement of an alarm is the one that counts.

    Parameters
    ----------
    offset : of the action in `actions`; one that the state covers already changes nothing.
    """
    if offset <= patient.version.actions:
        return patient, []
    patient = _at(patient, actions=offset)
    known = patient.acknowledgements.get(action.about)
    given = Acknowledgement(action_id=action.id, actor=action.actor, event_time=action.event_time)
    if known is not None and _order(known) <= _order(given):
        return patient, []
    patient = patient.model_copy(
        update={"acknowledgements": {**patient.acknowledgements, action.about: given}}
    )
    alarm = patient.alarms.get(action.about)
    if alarm is None or known is not None:
        return patient, []
    return patient, [_acknowledged(patient.patient_id, action.about, alarm, given)]


def _at(patient: Patient, *, results: int | None = None, actions: int | None = None) -> Patient:
    version = Version(
        log=patient.version.log,
        results=patient.version.results if results is None else results,
        actions=patient.version.actions if actions is None else actions,
    )
    return patient.model_copy(update={"version": version})


def _with_finding(series: SeriesState | None, finding: Finding) -> SeriesState:
    """Add a finding to its series; the same object where it adds nothing.

    Of two findings with one id the first is kept, but a score replaces "not scored": a frame that
    is scored at last (dead letter replayed) counts, whichever of the two arrives first.
    """
    p = finding.lesion_probability
    if series is None:
        return SeriesState(
            study_instance_uid=finding.study_instance_uid,
            modality=finding.modality,
            findings={finding.id: p},
            lesion_probability=p,
            action=None,
            recommendation_id=None,
        )
    if finding.id in series.findings and (p is None or series.findings[finding.id] is not None):
        return series
    known = [q for q in (series.lesion_probability, p) if q is not None]
    return series.model_copy(
        update={
            # A series that contradicts itself is known by the least: order must leave no trace.
            "study_instance_uid": _least(series.study_instance_uid, finding.study_instance_uid),
            "modality": _least(series.modality, finding.modality),
            "findings": {**series.findings, finding.id: p},
            "lesion_probability": max(known, default=None),
        }
    )


def _least(*values: str | None) -> str | None:
    return min((value for value in values if value is not None), default=None)


def _with_series(patient: Patient, uid: str, series: SeriesState) -> Patient:
    return patient.model_copy(update={"series": {**patient.series, uid: series}})


def _recommendation(
    patient_id: str, uid: str, series: SeriesState, rule: policy.Rule, finding: Finding
) -> Recommendation:
    return Recommendation(
        id=_id(patient_id, rule.name, "start", uid),
        patient_id=patient_id,
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=uid,
        action=rule.action,
        text=rule.text,
        rationale=rule.rationale,
        evidence=(finding.id,),
        lesion_probability=series.lesion_probability,
        confidence=None,
        policy_name=policy.NAME,
        policy_version=policy.VERSION,
        rule=rule.name,
        phase="start",
        event_time=finding.event_time,
    )


def _alarm(said: Recommendation, cause: str, priority: Literal["high", "medium", "low"]) -> Alert:
    """Return the alert that starts the alarm of a recommendation."""
    alarm_id = _id(said.patient_id, cause, "alarm-start", said.series_instance_uid)
    return Alert(
        id=alarm_id,
        alarm_id=alarm_id,
        patient_id=said.patient_id,
        study_instance_uid=said.study_instance_uid,
        series_instance_uid=said.series_instance_uid,
        category="clinical",
        priority=priority,
        phase="start",
        state="active",
        inactivation="none",
        cause=cause,
        text=f"{said.text}: {said.rationale}",
        evidence=said.evidence,
        lesion_probability=said.lesion_probability,
        policy_name=policy.NAME,
        policy_version=policy.VERSION,
        event_time=said.event_time,
    )


def _start_alarm(patient: Patient, alert: Alert) -> tuple[Patient, list[Alert]]:
    """Remember an alarm and say it; it may have been acknowledged before it got here."""
    alarm = AlarmState(
        series_instance_uid=str(alert.series_instance_uid),
        priority=alert.priority,
        cause=alert.cause,
        state="active",
    )
    patient = patient.model_copy(update={"alarms": {**patient.alarms, alert.id: alarm}})
    given = patient.acknowledgements.get(alert.id)
    if given is None:
        return patient, [alert]
    return patient, [alert, _acknowledged(patient.patient_id, alert.id, alarm, given)]


def _acknowledged(
    patient_id: str, alarm_id: UUID, alarm: AlarmState, given: Acknowledgement
) -> Alert:
    return Alert(
        id=_id(patient_id, "acknowledged", "update", str(alarm_id)),
        alarm_id=alarm_id,
        patient_id=patient_id,
        study_instance_uid=None,
        series_instance_uid=alarm.series_instance_uid,
        category="clinical",
        priority=alarm.priority,
        phase="update",
        state=alarm.state,
        inactivation="acknowledged",
        cause=alarm.cause,
        text=f"acknowledged by {given.actor}",
        evidence=(given.action_id,),
        lesion_probability=None,
        policy_name=policy.NAME,
        policy_version=policy.VERSION,
        event_time=given.event_time,
    )


def _id(patient_id: str, rule: str, phase: str, about: str) -> UUID:
    return ids.recommendation_id(patient_id, policy.NAME, policy.VERSION, rule, phase, [about])


def _order(given: Acknowledgement) -> tuple[object, str]:
    return given.event_time, str(given.action_id)
