"""The ledger: the state of every patient in the partitions this worker owns.

Kept in memory; read from the snapshots when a partition is first touched after a rebalance.
"""

from collections.abc import Callable, Iterable, Mapping

import structlog

from stream.snapshots import Snapshots
from wire.patient import Patient, Version

log = structlog.get_logger(__name__)


Rebuild = Callable[[Mapping[int, Mapping[str, Patient]], str], dict[int, dict[str, Patient]]]


class Ledger:
    """Patients by partition.

    Parameters
    ----------
    read : partitions -> their snapshots; blocking.
    rebuild : (partition -> its patients, log id) -> the same by the log itself; asked for those
        partitions whose snapshots cannot be trusted; blocking.
    log_id : of the topics as they are now. A snapshot of other topics keeps its facts and starts
        anew with its offsets: they mean nothing here, and folding a finding twice is harmless.
    """

    def __init__(
        self, read: Callable[[Iterable[int]], Snapshots], *, rebuild: Rebuild, log_id: str
    ) -> None:
        self._read = read
        self._rebuild = rebuild
        self._log_id = log_id
        self._patients: dict[tuple[int, str], Patient] = {}
        self._loaded: set[int] = set()
        self._to_republish: set[tuple[int, str]] = set()

    def load(self, partitions: Iterable[int]) -> None:
        """Read the partitions that are not loaded yet."""
        missing = set(partitions) - self._loaded
        if not missing:
            return
        snapshots = self._read(missing)
        before = {partition: snapshots.of(partition) for partition in missing}
        now = {
            partition: {name: self._of_this_log(patient) for name, patient in those.items()}
            for partition, those in before.items()
        }
        doubtful = {
            partition: those
            for partition, those in now.items()
            if not those or partition in snapshots.damaged or those != before[partition]
        }
        if doubtful:
            now |= self._rebuild(doubtful, self._log_id)
        loaded = {(at, name): patient for at in missing for name, patient in now[at].items()}
        self._to_republish |= {
            (at, name) for at, name in loaded if loaded[at, name] != before[at].get(name)
        }
        self._patients |= loaded
        self._to_republish |= snapshots.stale
        self._loaded |= missing
        log.info("partitions loaded", partitions=sorted(missing), patients=len(loaded))

    def forget(self) -> None:
        """Drop everything: partitions come and go, and another worker may have moved on."""
        self._patients.clear()
        self._loaded.clear()
        self._to_republish.clear()

    def known(self, partition: int, patient_id: str) -> Patient | None:
        """Return a patient of a loaded partition; None where it was never seen."""
        return self._patients.get((partition, patient_id))

    def get(self, partition: int, patient_id: str) -> Patient:
        """Return a patient of a loaded partition; a new one where it was never seen."""
        return self.known(partition, patient_id) or Patient.new(patient_id, self._log_id)

    def put(self, partition: int, patient: Patient) -> None:
        """Keep a state whose alerts, recommendations and snapshot are confirmed."""
        self._patients[partition, patient.patient_id] = patient
        self._to_republish.discard((partition, patient.patient_id))

    def drop(self, partition: int, patient_id: str) -> None:
        """Forget a patient whose snapshot was taken back."""
        self._patients.pop((partition, patient_id), None)
        self._to_republish.discard((partition, patient_id))

    def all(self) -> list[Patient]:
        """Return every patient of the loaded partitions."""
        return list(self._patients.values())

    def items(self) -> list[tuple[tuple[int, str], Patient]]:
        """Return (partition, PatientID) and patient of the loaded partitions."""
        return list(self._patients.items())

    def hidden(self) -> list[tuple[int, Patient]]:
        """Return patients whose newest state is not the last snapshot: hidden, or rebuilt."""
        return [(place[0], self._patients[place]) for place in sorted(self._to_republish)]

    def _of_this_log(self, patient: Patient) -> Patient:
        if patient.version.log == self._log_id:
            return patient
        return patient.model_copy(update={"version": Version(log=self._log_id)})
