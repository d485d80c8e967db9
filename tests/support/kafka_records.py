"""Records as kafka-python gives them, without a broker."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from support.records import SPACE, START

from wire.envelope import Envelope
from wire.patient import Patient, Version
from wire.records import Alert, Heartbeat, Record

NOW = START.timestamp() + 60.0


@dataclass
class KafkaRecord:
    """A record as kafka-python gives it."""

    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    key: bytes | None = b"p-1"
    partition: int = 0
    offset: int = 0
    timestamp: int = int(NOW * 1000)


def said(record: Record, *, offset: int = 0, at: float = NOW, partition: int = 0) -> KafkaRecord:
    """Return a record of ours as it comes from a topic."""
    headers = envelope_of(record)
    return KafkaRecord(
        record.to_json(), headers, offset=offset, timestamp=int(at * 1000), partition=partition
    )


def envelope_of(record: Any) -> list[tuple[str, bytes]]:
    """Return the headers of a record."""
    return Envelope(record.kind, str(record.id), "/test", time=START).headers()


def snapshot(
    results: int, *, actions: int = -1, generation: int = 1, name: str = "p-1"
) -> KafkaRecord:
    """Return a snapshot of a patient."""
    version = Version(log="log", results=results, actions=actions)
    patient = Patient(patient_id=name, version=version, generation=generation)
    return KafkaRecord(patient.to_json(), key=name.encode())


def alert(number: int, **changes: Any) -> Alert:
    """Return a technical alert about no patient, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "id": uuid5(SPACE, f"alert {number}"),
        "alarm_id": uuid5(SPACE, f"alarm {number}"),
        "patient_id": None,
        "study_instance_uid": None,
        "series_instance_uid": None,
        "category": "technical",
        "priority": "medium",
        "phase": "start",
        "state": "active",
        "inactivation": "none",
        "cause": "cache",
        "text": "Redis does not answer",
        "evidence": (),
        "lesion_probability": None,
        "policy_name": "watchdog",
        "policy_version": "1",
        "event_time": START,
    }
    return Alert(**values | changes)


def heartbeat(number: int, *alarms: Alert) -> Heartbeat:
    """Return a heartbeat."""
    return Heartbeat(
        id=UUID(int=number + 1000),
        time=START,
        newest_frame_time=None,
        lag={"scoring": 0, "patients": None},
        members={"scoring": 1, "patients": 1},
        broker="ok",
        cache="ok",
        engines=(),
        alarms=alarms,
    )
