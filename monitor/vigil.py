"""From symptoms to technical alarms: what starts, what goes on, what is over. Pure.

An alarm starts when enough of the last looks saw its cause, and ends when enough looks in a row did
not: it does not flap. Looks that cannot be judged count for neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_OID, UUID, uuid5

from monitor.causes import CAUSES, Cause
from monitor.symptoms import WORKERS, Memory, Seen, Symptom, age_s, engines, remember, symptoms
from wire.groups import GroupState
from wire.records import Action, AlarmPhase, Alert, Heartbeat
from wire.topics import INPUT

NAME: Final = "watchdog"
"""Policy name of its alerts; its heartbeats need none."""

VERSION: Final = "1"

PAUSE: Final = timedelta(minutes=2)
"""How long a silence lasts that does not say."""


@dataclass(frozen=True, slots=True)
class Vigil:
    """What the watchdog keeps in mind.

    standing : alarms that stand, by cause, as they were last said.
    about : by cause, whom the alarm was said about.
    looks : by cause, whether each of the last looks saw it, oldest first.
    """

    standing: Mapping[str, Alert] = field(default_factory=dict)
    about: Mapping[str, frozenset[str]] = field(default_factory=dict)
    looks: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)


def resumed(said: Iterable[Heartbeat | Alert]) -> Vigil:
    """Return the vigil of a watchdog that was started again.

    Parameters
    ----------
    said : what stands on `alerts`, in order: the last heartbeat and the alerts after it, or more.
    """
    standing: dict[str, Alert] = {}
    for record in said:
        if isinstance(record, Heartbeat):
            standing = {alarm.cause: alarm for alarm in record.alarms}
        elif record.policy_name == NAME:
            if record.state == "inactive":
                standing.pop(record.cause, None)
            else:
                standing[record.cause] = record
    return Vigil(standing=standing)


def look(vigil: Vigil, seen: Seen) -> tuple[Vigil, tuple[Alert, ...]]:
    """Take one look, a second after the last; return what is to be said."""
    memory = remember(vigil.memory, seen)
    found = symptoms(memory, seen)
    standing, about, looks = dict(vigil.standing), dict(vigil.about), dict(vigil.looks)
    alerts: list[Alert] = []
    for name, cause in CAUSES.items():
        if name not in found:
            continue
        symptom = found[name]
        looks[name] = (*looks.get(name, ()), symptom is not None)[-max(cause.among, cause.over) :]
        alarm = standing.get(name)
        if alarm is None and symptom is not None and _begins(cause, looks[name]):
            standing[name] = _started(name, cause, symptom, seen.now)
            about[name] = symptom.about
            alerts.append(standing[name])
        elif alarm is not None and _is_over(cause, looks[name]):
            alerts.append(_ended(standing.pop(name), seen.now))
        elif alarm is not None and symptom is not None:
            known = about.setdefault(name, symptom.about)  # not known after a restart
            if not symptom.about <= known:
                standing[name] = _told_more(alarm, cause, symptom)
                about[name] = known | symptom.about
                alerts.append(standing[name])
    for name in standing.keys() - CAUSES.keys():  # said by another version
        alerts.append(_ended(standing.pop(name), seen.now))
    alerts += _sounds_again(standing, seen.now)
    return Vigil(standing, about, looks, memory), tuple(alerts)


def heartbeat(vigil: Vigil, seen: Seen) -> Heartbeat:
    """Return the heartbeat after this look."""
    groups = seen.groups
    workers = sorted({*WORKERS, *vigil.memory.tracks}, key=list(INPUT).index)
    return Heartbeat(
        id=uuid5(NAMESPACE_OID, f"{NAME}|heartbeat|{seen.now.isoformat()}"),
        time=seen.now,
        newest_frame_time=seen.newest_frame,
        lag={w: groups[w].behind if w in groups else None for w in workers},
        members={w: groups[w].members if w in groups else None for w in workers},
        oldest_waiting_s={w: _rounded_age(groups.get(w), seen.now) for w in workers},
        broker=seen.broker,
        cache=seen.cache,
        engines=engines(vigil.memory, seen),
        alarms=tuple(vigil.standing.values()),
    )


def _rounded_age(group: GroupState | None, now: datetime) -> float | None:
    waited_s = None if group is None else age_s(group, now)
    return None if waited_s is None else round(waited_s, 1)


def _begins(cause: Cause, looks: tuple[bool, ...]) -> bool:
    return sum(looks[-cause.among :]) >= cause.needed


def _is_over(cause: Cause, looks: tuple[bool, ...]) -> bool:
    return len(looks) >= cause.over and not any(looks[-cause.over :])


def _started(name: str, cause: Cause, symptom: Symptom, now: datetime) -> Alert:
    alarm = uuid5(NAMESPACE_OID, f"{NAME}|{name}|{now.isoformat()}")
    return Alert(
        id=alarm,
        alarm_id=alarm,
        patient_id=None,
        study_instance_uid=None,
        series_instance_uid=None,
        category="technical",
        priority=cause.priority,
        phase="start",
        state="active",
        inactivation="none",
        cause=name,
        text=f"{symptom.words} {symptom.remedy or cause.remedy}",
        evidence=(),
        lesion_probability=None,
        policy_name=NAME,
        policy_version=VERSION,
        event_time=now,
    )


def _ended(alarm: Alert, now: datetime) -> Alert:
    lasted_s = (now - alarm.event_time).total_seconds() if alarm.event_time else 0.0
    return _said(
        alarm, "end", "", state="inactive", text=f"Over after {lasted_s:.0f} s: {alarm.text}"
    )


def _told_more(alarm: Alert, cause: Cause, symptom: Symptom) -> Alert:
    whom = "|".join(sorted(symptom.about))
    return _said(alarm, "update", whom, text=f"{symptom.words} {symptom.remedy or cause.remedy}")


def answered(vigil: Vigil, action: Action, now: datetime) -> tuple[Vigil, tuple[Alert, ...]]:
    """Take in what a person did about an alarm of ours; anything else changes nothing."""
    name = next((n for n, a in vigil.standing.items() if a.alarm_id == action.about), None)
    if name is None:
        return vigil, ()
    alarm = vigil.standing[name]
    until = action.until or action.event_time + PAUSE
    if action.action == "acknowledge" and alarm.inactivation != "acknowledged":
        words: dict[str, object] = {"inactivation": "acknowledged", "paused_until": None}
    elif action.action == "silence" and alarm.inactivation == "none" and until > now:
        words = {"inactivation": "audio-paused", "paused_until": until}
    else:
        return vigil, ()
    changed = _said(alarm, "update", str(action.id), **words)
    return replace(vigil, standing={**vigil.standing, name: changed}), (changed,)


def _sounds_again(standing: dict[str, Alert], now: datetime) -> list[Alert]:
    """End pauses of sound that are over."""
    over = {
        name: _said(
            alarm, "update", alarm.paused_until.isoformat(), inactivation="none", paused_until=None
        )
        for name, alarm in standing.items()
        if alarm.paused_until is not None and alarm.paused_until <= now
    }
    standing.update(over)
    return list(over.values())


def _said(alarm: Alert, phase: AlarmPhase, about: str, **changes: object) -> Alert:
    """Return a later phase of an alarm; its id says which alarm, which phase, and about what."""
    said: UUID = uuid5(alarm.alarm_id, f"{phase}|{about}")
    return alarm.model_copy(update={"id": said, "phase": phase, **changes})
