"""A dead letter: what could not be used, why, and the way back to it. One form for all writers.

Its facts stand in headers, so that an operator can filter without opening payloads. The payload is
there only where it is known to be de-identified.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from wire.envelope import DICOM, Envelope, Headers
from wire.records import FrameAddress

KIND = "dead-letter"
NOT_A_RECORD = "not-a-record"
"""Reason for a message of `results` or `actions` that is no record; frames have `Reason`."""

WRONG_PARTITION = "wrong-partition"
"""Reason for a record that is not where its PatientID belongs: another worker owns that patient."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter.

    id : the frame id, or where the message lies.
    value : de-identified bytes, or None.
    attempts : how often it was tried.
    time : when the producer received it.
    where : the message it came from; None where it never reached Kafka.
    quarantine : sha256 under which a producer keeps it, None where it does not.
    frame_number : from 1, as in the message it came from.
    engine : that was asked, ``name version``; None where none was.
    key : Kafka key of the letter, that of the finding.
    """

    id: str
    value: bytes | None
    reason: str
    detail: str
    attempts: int = 1
    time: datetime | None = None
    where: FrameAddress | None = None
    quarantine: str | None = None
    frame_number: int | None = None
    engine: str | None = None
    key: bytes | None = None

    def headers(self, source: str) -> Headers:
        """Return the Kafka headers; `source` is the CloudEvents source of the writer."""
        envelope = Envelope(
            kind=KIND,
            id=self.id,
            source=source,
            time=self.time,
            content_type=DICOM,
            frame_number=self.frame_number,
        )
        facts = {
            "topic": self.where.topic if self.where else None,
            "partition": str(self.where.partition) if self.where else None,
            "offset": str(self.where.offset) if self.where else None,
            "reason": self.reason,
            "detail": self.detail,
            "attempts": str(self.attempts),
            "quarantine": self.quarantine,
            "engine": self.engine,
        }
        return envelope.headers() + [(k, v.encode()) for k, v in facts.items() if v is not None]

    @classmethod
    def of(
        cls,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]],
    ) -> "DeadLetter":
        """Read a message of `frames.dead-letter`, however strange."""
        pairs = list(headers)
        envelope = Envelope.of(pairs)
        facts = {name: (raw or b"").decode("utf-8", "replace") for name, raw in pairs}
        where = None
        if facts.get("topic") and _number(facts, "offset") is not None:
            where = FrameAddress(
                topic=facts["topic"],
                partition=_number(facts, "partition") or 0,
                offset=_number(facts, "offset") or 0,
            )
        return cls(
            id=envelope.id or "",
            value=value,
            reason=facts.get("reason", "unknown"),
            detail=facts.get("detail", ""),
            attempts=_number(facts, "attempts") or 1,
            time=envelope.time,
            where=where,
            quarantine=facts.get("quarantine") or None,
            frame_number=envelope.frame_number,
            engine=facts.get("engine") or None,
            key=key,
        )


def _number(facts: dict[str, str], name: str) -> int | None:
    digits = facts.get(name, "")
    return int(digits) if digits.isascii() and digits.isdigit() else None
