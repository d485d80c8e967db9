"""Patients from the log itself, where the snapshots of a partition cannot be trusted.

Snapshots are confirmed before anything is acknowledged, so normally they hold all up to the
committed offsets. Where a partition has none, or one that cannot be read or belongs to other
topics, its findings and actions are folded again, from each patient's version up to the committed
offsets. Nothing is said: all of it was said before it was acknowledged. (A topic that is deleted
takes its committed offsets with it: of one made anew nothing is acknowledged.)
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from stream.inbox import Unfoldable, fold, foldable
from stream.policies import Policy
from wire.clients import made
from wire.cluster import Cluster
from wire.contact import unreachable
from wire.envelope import Envelope
from wire.patient import Patient
from wire.reading import read
from wire.records import Action
from wire.topics import ACTIONS, FIRST_CONTACT_MS, RESULTS, Names, Topic

log = structlog.get_logger(__name__)


def rebuild(
    cluster: Cluster,
    names: Names,
    policy: Policy,
    known: Mapping[int, Mapping[str, Patient]],
    log_id: str,
) -> dict[int, dict[str, Patient]]:
    """Return the patients of some partitions with all that was acknowledged folded in. Blocking.

    Parameters
    ----------
    known : partition -> what is known of its patients already, by PatientID.
    log_id : of a patient who is new.
    """
    patients = {partition: dict(those) for partition, those in known.items()}
    folded = 0
    for topic in (RESULTS, ACTIONS):
        until = _committed(cluster, names, topic, patients)
        records = read(cluster, names.of(topic), partitions=until, until=until)
        for message in records if until else ():
            kind = Action.kind if topic is ACTIONS else Envelope.of(message.headers).kind
            folded += _fold(patients[message.partition], kind, message, policy, log_id)
    if folded:
        log.warning("rebuilt from the log", partitions=sorted(patients), records=folded)
    return patients


def _fold(
    patients: dict[str, Patient], kind: str | None, message: Any, policy: Policy, log_id: str
) -> bool:
    """Fold one message into the patients of its partition; what cannot be has its dead letter."""
    try:
        record = foldable(kind, message.value, partition=message.partition)
    except Unfoldable:
        return False
    if record is None or record.patient_id is None:
        return False
    known = patients.get(record.patient_id) or Patient.new(record.patient_id, log_id)
    arrived = datetime.fromtimestamp(message.timestamp / 1000, UTC)
    try:
        patients[record.patient_id], _ = fold(known, record, message.offset, policy, arrived)
    except Exception as unexpected:  # the message boundary
        log.error("not folded", error=type(unexpected).__name__)
    return True


def _committed(
    cluster: Cluster, names: Names, topic: Topic, partitions: Iterable[int]
) -> dict[int, int]:
    """Return the offsets up to which the group has acknowledged, where it has."""
    group = names.group("patients")
    places = [TopicPartition(names.of(topic), partition) for partition in partitions]
    try:
        admin = made(KafkaAdminClient, cluster, bootstrap_timeout_ms=FIRST_CONTACT_MS)
        try:
            found = admin.list_group_offsets({group: places})[group]
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise unreachable(cluster, error, "to read committed offsets") from error
    return {place.partition: entry.offset for place, entry in found.items() if entry.offset > 0}
