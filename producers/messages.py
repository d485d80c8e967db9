"""The messages of producers: a frame, and the report of what could not become one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from producers.prepare import Prepared
from wire.dead_letters import DeadLetter
from wire.envelope import DICOM, Envelope, Headers
from wire.errors import FrameError
from wire.replayed import Replayed
from wire.topics import DEAD_LETTERS, FRAMES, REPLAYED, STAT, Names, Topic


@dataclass(frozen=True, slots=True)
class Message:
    """One message, to whatever cluster.

    topic : its name on the cluster is that of the stack's `wire.topics.Names`.
    """

    topic: Topic
    key: bytes | None
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Return the size of the value."""
        return len(self.value or b"")


class Reporter(Protocol):
    """Takes the report of an object that could not become a frame."""

    def unusable(
        self, payload_id: str, error: FrameError, received: datetime, *, quarantine: str | None
    ) -> None:
        """Report it; `quarantine` is the sha256 under which it is kept, None where it is not."""


def frame(prepared: Prepared, received: datetime, source: str, topic: Topic = FRAMES) -> Message:
    """Return the message of a frame.

    Parameters
    ----------
    received : when its last byte came.
    source : CloudEvents source of the producer, such as ``/lesionstream/replay``.
    topic : `STAT` for one of an urgent series.
    """
    envelope = Envelope(
        kind="frame",
        id=prepared.frame_id,
        source=source,
        subject=prepared.subject,
        time=received,
        content_type=DICOM,
        frame_number=prepared.frame_number,
    )
    return Message(topic, prepared.patient_id.encode(), prepared.payload, envelope.headers())


def again(letter: DeadLetter, source: str, names: Names) -> Message:
    """Return the message that a dead letter was, as it came: what was urgent still is."""
    urgent = letter.where is not None and names.topic(letter.where.topic) is STAT
    envelope = Envelope(
        kind="frame",
        id=letter.id,
        source=source,
        time=letter.time,
        content_type=DICOM,
        frame_number=letter.frame_number,
    )
    return Message(STAT if urgent else FRAMES, letter.key, letter.value, envelope.headers())


def note(replayed: Replayed, source: str) -> Message:
    """Return the note that a dead letter was sent through once more."""
    envelope = Envelope(kind=replayed.kind, id=replayed.place, source=source, time=replayed.time)
    return Message(REPLAYED, replayed.place.encode(), replayed.to_json(), envelope.headers())


def unusable(
    payload_id: str, error: FrameError, received: datetime, quarantine: str | None, source: str
) -> Message:
    """Return the report of an object that could not become a frame: an event without payload."""
    letter = DeadLetter(
        id=payload_id,
        value=None,
        reason=error.reason.value,
        detail=error.detail,
        time=received,
        quarantine=quarantine,
    )
    return Message(DEAD_LETTERS, payload_id.encode(), None, letter.headers(source))
