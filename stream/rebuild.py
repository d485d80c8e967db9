"""Patients from the log itself, where the snapshots of a partition cannot be trusted.

Snapshots are confirmed before anything is acknowledged, so normally they hold all up to the
committed offsets. Where a partition has none, or one that cannot be read or belongs to other
topics, its findings and actions are folded again, from each patient's version up to the committed
offsets. Nothing is said: all of it was said before it was acknowledged. (A topic that is deleted
takes its committed offsets with it: of one made anew nothing is acknowledged.)
"""

from datetime import UTC, datetime
from typing import Any

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from stream.inbox import Unfoldable, fold, foldable
from stream.policies import Policy
from wire.envelope import Envelope
from wire.patient import Patient
from wire.reading import read
from wire.records import Action
from wire.topic_admin import BrokerUnavailable
from wire.topics import ACTIONS, FIRST_CONTACT_MS, RESULTS, Names, Topic

log = structlog.get_logger(__name__)


def rebuild(
    bootstrap: str,
    names: Names,
    policy: Policy,
    partition: int,
    patients: dict[str, Patient],
    log_id: str,
) -> dict[str, Patient]:
    """Return the patients of a partition with all that was acknowledged folded in. Blocking.

    Parameters
    ----------
    patients : what is known of them already, by PatientID.
    log_id : of a patient who is new.
    """
    patients = dict(patients)
    folded = 0
    for topic in (RESULTS, ACTIONS):
        committed = _committed(bootstrap, names, topic, partition)
        records = read(bootstrap, names.of(topic), partitions=[partition], until=committed)
        for message in records if committed else ():
            kind = Action.kind if topic is ACTIONS else Envelope.of(message.headers).kind
            try:
                record = foldable(kind, message.value, partition=partition)
            except Unfoldable:
                continue  # it has its dead letter
            if record is not None and record.patient_id is not None:
                known = patients.get(record.patient_id) or Patient.new(record.patient_id, log_id)
                try:
                    patients[record.patient_id], _ = fold(
                        known, record, message.offset, policy, _written(message)
                    )
                except Exception as unexpected:  # the message boundary: it has its dead letter
                    log.error("not folded", error=type(unexpected).__name__)
                folded += 1
    if folded:
        log.warning("rebuilt from the log", partition=partition, records=folded)
    return patients


def _written(message: Any) -> datetime:
    return datetime.fromtimestamp(message.timestamp / 1000, UTC)


def _committed(bootstrap: str, names: Names, topic: Topic, partition: int) -> int:
    """Return the offset up to which the group has acknowledged; 0 where it never has."""
    group = names.group("patients")
    place = TopicPartition(names.of(topic), partition)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=FIRST_CONTACT_MS
        )
        try:
            entry = admin.list_group_offsets({group: [place]})[group].get(place)
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"committed offsets not read ({error})") from error
    return max(0, entry.offset) if entry is not None else 0
