"""Alarms as lines of a list, for one role at one moment. Pure.

What stands is shown; who may attend to it depends on the role. A pause of the sound that is over
is over here too, even while nobody has said so on the topic: a worker that stands still must not
keep a page silent.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from monitor.known import Known
from monitor.shapes import AlarmLine, Bar, HistoryLine, Pause, Role, Who
from wire.burned_in import BurnedIn
from wire.patient import AlarmState, Patient
from wire.records import Inactivation, Priority

RANK: Final[Mapping[Priority | None, int]] = {None: 0, "low": 1, "medium": 2, "high": 3}
NAMED_ROLES: Final[frozenset[Role]] = frozenset({"nurse", "clinician"})
"""Those who may know how a patient is called."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def who(known: Known, patient_id: str, role: Role) -> Who:
    """Return how a patient is called for this role, and why not by name."""
    if role not in NAMED_ROLES:
        why = f"names are not shown to the role {role}"
        return Who(patient_id=patient_id, name=None, bed=None, why=why)
    called = known.called.get(patient_id)
    name, bed = (called.name, called.bed) if called else (None, None)
    why = ""
    if name is None:
        why = "no vault of names here" if known.names_from is None else "not in the vault of names"
    return Who(patient_id=patient_id, name=name, bed=bed, why=why)


def may_see(burned_in: BurnedIn, role: Role) -> bool:
    """Tell whether a role may see pixels: a name in them is a name."""
    return burned_in == "no" or role in NAMED_ROLES


def names_in_words(known: Known, role: Role) -> str:
    """Say where names and beds come from."""
    if role not in NAMED_ROLES:
        return f"Pseudonyms: names and beds are not shown to the role {role}."
    names = f"names from {known.names_from}" if known.names_from else "no vault of names"
    beds = f"beds from {known.beds_from}" if known.beds_from else "no list of beds"
    rest = "" if known.names_from else ": pseudonyms are shown"
    return f"{names}, {beds}{rest}.".capitalize()


def of_patient(known: Known, patient: Patient, role: Role, now: datetime) -> tuple[AlarmLine, ...]:
    """Return the alarms of a patient that stand, the foremost first."""
    alarms = {i: a for i, a in patient.alarms.items() if a.state != "inactive"}
    if not alarms:
        return ()
    called = who(known, patient.patient_id, role)
    lines = (_of_patient(patient, called, i, a, role, now) for i, a in alarms.items())
    return tuple(sorted(lines, key=alarm_key))


def technical(known: Known, role: Role, now: datetime) -> tuple[AlarmLine, ...]:
    """Return the technical alarms about no patient, the foremost first.

    To acknowledge one says that somebody attends to it; it ends when its cause does.
    """
    may = role != "viewer"
    lines = (
        AlarmLine(
            alarm_id=alarm_id,
            who=None,
            category=alert.category,
            priority=alert.priority,
            state=alert.state,
            inactivation=_still(alert.inactivation, alert.paused_until, now),
            cause=alert.cause,
            text=alert.text,
            since=alert.event_time,
            paused_until=alert.paused_until,
            by=None,
            may_acknowledge=may and alert.inactivation != "acknowledged",
            may_silence=may and _still(alert.inactivation, alert.paused_until, now) == "none",
        )
        for alarm_id, alert in known.technical.items()
        if alert.state != "inactive"
    )
    return tuple(sorted(lines, key=alarm_key))


def alarm_key(line: AlarmLine) -> tuple[bool, int, bool, datetime, str]:
    """Return what alarms are sorted by: unacknowledged, highest, still true, oldest first.

    What somebody has acknowledged comes after all that nobody has: it is attended to.
    """
    return (
        line.inactivation == "acknowledged",
        -RANK[line.priority],
        line.state == "latched",
        line.since or LONG_AGO,
        str(line.alarm_id),
    )


def bar(known: Known, lines: Iterable[AlarmLine]) -> Bar:
    """Return all alarms in short. `lines` : all that stand."""
    ordered = sorted(lines, key=alarm_key)
    fresh = [line for line in ordered if line.inactivation != "acknowledged"]
    loud = [line.priority for line in fresh if line.inactivation == "none"]
    count = {name: sum(line.priority == name for line in fresh) for name in RANK}
    return Bar(
        high=count["high"],
        medium=count["medium"],
        low=count["low"],
        acknowledged=len(ordered) - len(fresh),
        foremost=fresh[0] if fresh else None,
        loud=max(loud, key=RANK.__getitem__, default=None),
        paused=tuple(
            Pause(until=line.paused_until, priority=line.priority)
            for line in fresh
            if line.inactivation == "audio-paused"
        ),
        blind=tuple(line.text for line in ordered if line.who is None),
        heartbeat=known.heartbeat.time if known.heartbeat else None,
    )


def history(known: Known, role: Role) -> tuple[HistoryLine, ...]:
    """Return the alerts as they were said, newest first."""
    return tuple(
        HistoryLine(
            offset=said.offset,
            id=said.alert.id,
            alarm_id=said.alert.alarm_id,
            who=who(known, said.alert.patient_id, role) if said.alert.patient_id else None,
            time=said.time,
            category=said.alert.category,
            priority=said.alert.priority,
            phase=said.alert.phase,
            text=said.alert.text,
            delay_ms=said.alert.delay_ms,
        )
        for said in reversed(known.history)
    )


def _of_patient(
    patient: Patient, called: Who, alarm_id: UUID, alarm: AlarmState, role: Role, now: datetime
) -> AlarmLine:
    inactivation = _still(alarm.inactivation, alarm.paused_until, now)
    may = role in NAMED_ROLES or (role == "operator" and alarm.category == "technical")
    given = None
    if inactivation == "acknowledged":
        given = patient.acknowledgements.get(alarm_id)
    elif inactivation == "audio-paused":
        given = patient.silences.get(alarm_id)
    return AlarmLine(
        alarm_id=alarm_id,
        who=called,
        category=alarm.category,
        priority=alarm.priority,
        state=alarm.state,
        inactivation=inactivation,
        cause=alarm.cause,
        text=alarm.text,
        since=alarm.since,
        paused_until=alarm.paused_until,
        by=given.actor if given else None,
        may_acknowledge=may and inactivation != "acknowledged",
        may_silence=may and inactivation == "none",
    )


def _still(inactivation: Inactivation, until: datetime | None, now: datetime) -> Inactivation:
    over = inactivation == "audio-paused" and until is not None and until <= now
    return "none" if over else inactivation
