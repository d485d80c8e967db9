"""Alarms: signals after IEC 60601-1-8, states after IHE PCD ACM. No conformity is claimed.

Pure. An alarm starts with a policy's answer and is active while the answer stands. When it stands
no more (a newer study, other facts) it is latched until somebody acknowledges it; it ends once
somebody has, or has signed off or rejected what it came with. Ids make a repetition the same.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from stream.policies import RAISED, Answer, Policy
from stream.series import complete
from wire import ids
from wire.patient import AlarmState, Patient
from wire.records import AlarmPhase, AlarmSituation, Alert, Inactivation, Priority

ESCALATED: Mapping[Priority, Priority] = {"low": "medium"}
"""What becomes of an alarm to which nobody attends."""


def alarm_id(patient_id: str, policy: Policy, answer: Answer) -> UUID:
    """Return the id of the alarm that comes with an answer."""
    about = answer.alarm_about or answer.series_instance_uid
    return said_id(patient_id, policy, answer.rule, "alarm-start", about)


def said_id(patient_id: str, policy: Policy, rule: str, phase: str, about: str) -> UUID:
    """Return the id of something a policy says."""
    return ids.recommendation_id(patient_id, policy.NAME, policy.version, rule, phase, [about])


def reconcile(
    patient: Patient, policy: Policy, answers: Mapping[UUID, Answer], changed: Collection[str]
) -> tuple[Patient, list[Alert]]:
    """Bring the alarms in line with the answers, and say what changed.

    Parameters
    ----------
    answers : by alarm id, those that come with an alarm.
    changed : series that changed. What was just learnt of them alarms even where a newer study is
        there: they came late, or a clock is wrong.
    """
    alarms = dict(patient.alarms)
    alerts: list[Alert] = []
    for alarm, answer in answers.items():
        fresh = answer.standing or answer.series_instance_uid in changed
        if alarm not in alarms and fresh:
            alarms[alarm] = _started(patient, answer)
            alerts.append(_alert(patient, policy, alarm, alarms[alarm], "start", "start", answer))
    for alarm, before in alarms.items():
        now = _state(patient, alarm, before, answers.get(alarm))
        if now == before:
            continue
        alarms[alarm] = now
        for phase, about in _phases(alarm, before, now):
            alerts.append(_alert(patient, policy, alarm, now, phase, about, answers.get(alarm)))
    return patient.model_copy(update={"alarms": alarms}), alerts


def escalate(patient: Patient, policy: Policy, now: datetime) -> tuple[Patient, list[Alert]]:
    """Raise what nobody has attended to for too long, and end pauses of sound that are over."""
    alarms = dict(patient.alarms)
    silences = dict(patient.silences)
    alerts: list[Alert] = []
    for alarm, before in alarms.items():
        silence = silences.get(alarm)
        if silence is not None and not silence.lapsed and silence.until <= now:
            silences[alarm] = silence.model_copy(update={"lapsed": True})
        if unattended(before, policy, now):
            raised = ESCALATED[before.priority]
            alarms[alarm] = before.model_copy(update={"priority": raised, "escalated": True})
            alerts.append(
                _alert(patient, policy, alarm, alarms[alarm], "escalate", f"{alarm}|{raised}", None)
            )
    if not alerts and silences == patient.silences:
        return patient, []
    return patient.model_copy(update={"alarms": alarms, "silences": silences}), alerts


def unattended(alarm: AlarmState, policy: Policy, now: datetime) -> bool:
    """Tell whether an alarm is to be raised because nobody attended to it."""
    after = policy.data.escalate_low_after_min
    return (
        after is not None
        and alarm.state in ("active", "latched")
        and alarm.inactivation == "none"
        and not alarm.escalated
        and alarm.priority in ESCALATED
        and alarm.since is not None
        and now - alarm.since >= timedelta(minutes=after)
    )


def _started(patient: Patient, answer: Answer) -> AlarmState:
    assert answer.priority is not None  # noqa: S101 -- only answers with an alarm come here
    return AlarmState(
        about=answer.alarm_about or answer.series_instance_uid,
        category=answer.category,
        series_instance_uid=answer.series_instance_uid,
        priority=answer.priority,
        cause=answer.rule,
        text=f"{answer.text}: {answer.rationale}",
        state="active",
        inactivation="none",
        since=patient.series[answer.series_instance_uid].received_first,
        evidence=answer.evidence,
    )


def _state(patient: Patient, alarm: UUID, before: AlarmState, answer: Answer | None) -> AlarmState:
    """Return what an alarm is now."""
    acknowledged = alarm in patient.acknowledgements
    silence = patient.silences.get(alarm)
    paused = silence if silence is not None and not silence.lapsed else None
    standing = answer is not None and answer.standing
    state: AlarmSituation = "active" if standing else "latched"
    if _decided(patient, before) or (acknowledged and not standing):
        state = "inactive"
    inactivation: Inactivation = "none"
    if acknowledged:
        inactivation = "acknowledged"
    elif paused is not None:
        inactivation = "audio-paused"
    changed: dict[str, object] = {
        "state": state,
        "inactivation": inactivation,
        "paused_until": paused.until if paused and inactivation == "audio-paused" else None,
    }
    if answer is not None and answer.priority is not None:
        rank = RAISED[answer.priority]
        if not before.escalated or rank > RAISED[before.priority]:
            changed["priority"] = answer.priority
        changed |= {
            "text": f"{answer.text}: {answer.rationale}",
            "evidence": answer.evidence,
        }
    return before.model_copy(update=changed)


def _decided(patient: Patient, alarm: AlarmState) -> bool:
    """Tell whether somebody signed off or rejected all that the alarm came with.

    Of a series that still comes in nobody can have.
    """
    came_with = [
        about
        for about, said in patient.recommendations.items()
        if said.rule == alarm.cause and alarm.about in (said.about, said.series_instance_uid)
    ]
    series = patient.series.get(alarm.series_instance_uid)
    whole = series is None or complete(series)
    return whole and bool(came_with) and all(about in patient.decisions for about in came_with)


def _phases(alarm: UUID, before: AlarmState, now: AlarmState) -> Iterator[tuple[AlarmPhase, str]]:
    """Yield what has to be said of a change, and what makes its id."""
    if RAISED[now.priority] != RAISED[before.priority]:
        up = RAISED[now.priority] > RAISED[before.priority]
        yield ("escalate" if up else "de-escalate"), f"{alarm}|{now.priority}"
    if now.state == "inactive" and before.state != "inactive":
        yield "end", str(alarm)
    elif before.state == "inactive" and now.state != "inactive":
        yield "continue", f"{alarm}|{'|'.join(sorted(map(str, now.evidence)))}"
    elif (now.state, now.inactivation, now.paused_until) != (
        before.state,
        before.inactivation,
        before.paused_until,
    ):
        until = now.paused_until.isoformat() if now.paused_until else ""
        yield "update", f"{alarm}|{now.state}|{now.inactivation}|{until}"


def _alert(
    patient: Patient,
    policy: Policy,
    alarm: UUID,
    state: AlarmState,
    phase: AlarmPhase,
    about: str,
    answer: Answer | None,
) -> Alert:
    study, made = patient.made(state.series_instance_uid)
    said = (
        alarm
        if phase == "start"
        else said_id(patient.patient_id, policy, state.cause, phase, about)
    )
    return Alert(
        id=said,
        alarm_id=alarm,
        patient_id=patient.patient_id,
        study_instance_uid=study,
        series_instance_uid=state.series_instance_uid,
        category=state.category,
        priority=state.priority,
        phase=phase,
        state=state.state if phase != "start" else "active",
        inactivation=state.inactivation if phase != "start" else "none",
        cause=state.cause,
        text=_words(patient, alarm, state, phase),
        evidence=state.evidence,
        lesion_probability=answer.lesion_probability if answer else None,
        policy_name=policy.NAME,
        policy_version=policy.version,
        event_time=made,
        paused_until=state.paused_until,
    )


def _words(patient: Patient, alarm: UUID, state: AlarmState, phase: AlarmPhase) -> str:
    given = patient.acknowledgements.get(alarm)
    silence = patient.silences.get(alarm)
    if phase == "escalate" and state.escalated:
        return f"nobody has attended to it: {state.text}"
    if phase == "update" and state.inactivation == "acknowledged" and given:
        return f"acknowledged by {given.actor}: {state.text}"
    if phase == "update" and state.inactivation == "audio-paused" and silence:
        return f"silenced by {silence.actor}: {state.text}"
    if phase == "update" and state.state == "latched":
        return f"does not hold any more, not acknowledged yet: {state.text}"
    return state.text
