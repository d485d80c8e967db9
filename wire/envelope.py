"""The envelope: CloudEvents 1.0 in Kafka's binary mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from wire.moments import in_utc

SPEC_VERSION = "1.0"
JSON = "application/json"
DICOM = "application/dicom"
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of one event. All that a foreign message lacks is None.

    kind : frame, finding, comparison, assessment, model-evidence, recommendation, alert, action,
        patient, dead-letter.
    source : a constant path per agent, such as ``/lesionstream/scoring``.
    frame_number : of the extension ``ce_framenumber``, from 1.
    """

    kind: str | None
    id: str | None
    source: str | None
    subject: str | None = None
    time: datetime | None = None
    content_type: str = JSON
    frame_number: int | None = None

    def headers(self) -> Headers:
        """Return the Kafka headers; attributes that are None are left out."""
        values = {
            "ce_specversion": SPEC_VERSION,
            "ce_id": self.id,
            "ce_source": self.source,
            "ce_type": f"lesionstream.{self.kind}.v1",
            "ce_subject": self.subject,
            "ce_time": None if self.time is None else rfc3339(self.time),
            "ce_framenumber": None if self.frame_number is None else str(self.frame_number),
            "content-type": self.content_type,
        }
        return [(name, value.encode()) for name, value in values.items() if value is not None]

    @classmethod
    def of(cls, headers: Iterable[tuple[str, bytes | None]] | None) -> "Envelope":
        """Read the headers of any message, however strange: what cannot be read is None."""
        values = {name: _text(value) for name, value in headers or ()}
        return cls(
            kind=_kind(values.get("ce_type")),
            id=values.get("ce_id"),
            source=values.get("ce_source"),
            subject=values.get("ce_subject"),
            time=_time(values.get("ce_time")),
            content_type=values.get("content-type") or "",
            frame_number=_frame_number(values.get("ce_framenumber") or ""),
        )


def rfc3339(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _frame_number(digits: str) -> int | None:
    """Read a frame number; DICOM's is an IS, at most 2**31 - 1."""
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11):
        return None
    return int(digits) if 0 < int(digits) < 1 << 31 else None


def _kind(ce_type: str | None) -> str | None:
    parts = (ce_type or "").split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "lesionstream" and parts[2] == "v1" else None


def _time(value: str | None) -> datetime | None:
    try:
        return in_utc(datetime.fromisoformat(value or ""))
    except ValueError:  # no time, or the year 0 in UTC
        return None
