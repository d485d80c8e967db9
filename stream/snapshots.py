"""Snapshots of patients on the compacted topic `patients`, and how they are read back.

The last snapshot of a key is not always the newest: a worker that lost its partition may still
write one (a zombie). So all records are read and the newest by version is taken; `stale` tells
where the last record is not it, so that the owner can write the newest again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError

from wire.cluster import Cluster
from wire.patient import Patient
from wire.reading import read
from wire.topics import PATIENTS, Names

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Snapshots:
    """The newest snapshot of each patient in some partitions.

    patients : (partition, PatientID) -> newest snapshot.
    stale : those whose last record is not the newest.
    damaged : partitions in which a snapshot could not be read.
    """

    patients: dict[tuple[int, str], Patient] = field(default_factory=dict)
    stale: set[tuple[int, str]] = field(default_factory=set)
    damaged: set[int] = field(default_factory=set)

    def of(self, partition: int) -> dict[str, Patient]:
        """Return the patients of one partition by PatientID."""
        return {name: state for (place, name), state in self.patients.items() if place == partition}

    def add(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Take one record in, in the order of the log; without a value it forgets a patient."""
        if value is None:
            place = (partition, (key or b"").decode(errors="replace"))
            self.patients.pop(place, None)
            self.stale.discard(place)
            return
        try:
            patient = Patient.model_validate_json(value)
        except ValidationError as error:
            log.warning("snapshot passed over", partition=partition, problems=error.error_count())
            self.damaged.add(partition)
            return
        place = (partition, patient.patient_id)
        known = self.patients.get(place)
        if known is None or newer(patient, known):
            self.patients[place] = patient
            self.stale.discard(place)
        elif patient.version != known.version:
            self.stale.add(place)


def newer(one: Patient, other: Patient) -> bool:
    """Tell whether `one` is at least as far as `other`."""
    return one.edition.replaces(other.edition)


def read_snapshots(cluster: Cluster, names: Names, partitions: Iterable[int]) -> Snapshots:
    """Read some partitions of `patients` from beginning to end. Blocking."""
    found = Snapshots()
    for record in read(cluster, names.of(PATIENTS), partitions=partitions):
        found.add(record.partition, record.key, record.value)
    return found
