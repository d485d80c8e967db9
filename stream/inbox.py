"""What the patients' fold takes in: a message of `results` or `actions`, checked."""

from datetime import datetime

from pydantic import ValidationError

from stream.fold import Spoken, fold_action, fold_evidence, fold_finding
from stream.policies import Policy
from wire.dead_letters import NOT_A_RECORD, WRONG_PARTITION
from wire.evidence import ModelEvidence
from wire.patient import Patient
from wire.records import Action, Finding
from wire.topics import RESULTS, partition_of

Foldable = Finding | ModelEvidence | Action


class Unfoldable(Exception):
    """A message that cannot be folded; `reason` and `detail` go to its dead letter.

    Operator action: find who wrote it (the dead letter names topic, partition and offset).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def foldable(kind: str | None, value: bytes | None, *, partition: int) -> Foldable | None:
    """Return the finding, evidence or action in a message.

    None for what is nothing to the fold: what was said before, and findings that name nobody.

    Raises
    ------
    Unfoldable   no record, or not in the partition where its patient belongs: the owner of that
        partition keeps another state of the same patient.
    """
    record: Foldable
    try:
        if kind == Action.kind:
            record = Action.model_validate_json(value or b"")
        elif kind == Finding.kind:
            record = Finding.model_validate_json(value or b"")
        elif kind == ModelEvidence.kind:
            record = ModelEvidence.model_validate_json(value or b"")
        else:
            return None
    except ValidationError as error:
        raise Unfoldable(NOT_A_RECORD, f"{error.error_count()} problems") from error
    if record.patient_id is None:
        return None
    if partition_of(record.patient_id, RESULTS.partitions) != partition:
        raise Unfoldable(WRONG_PARTITION, "its PatientID belongs elsewhere")
    return record


def fold(
    patient: Patient, record: Foldable, offset: int, policy: Policy, arrived: datetime | None
) -> tuple[Patient, list[Spoken]]:
    """Fold a record in; see `stream.fold`."""
    if isinstance(record, Finding):
        return fold_finding(patient, record, offset, policy, arrived)
    if isinstance(record, ModelEvidence):
        return fold_evidence(patient, record, offset, policy)
    return fold_action(patient, record, offset, policy)
