"""What is done with an object that cannot become a frame: kept in quarantine, and reported."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from producers.messages import Reporter
from producers.quarantine import Quarantine, QuarantineFull
from wire.errors import FrameError
from wire.ids import payload_id_of
from wire.topics import Topic


class DicomObject(Protocol):
    """An object as it came, such as a file of `producers.sources`."""

    @property
    def name(self) -> str:
        """Where people find it again."""

    def sha256(self) -> str:
        """Return the sha256 (hex) of its bytes."""

    def chunks(self) -> Iterable[bytes]:
        """Yield its bytes."""


def set_aside(
    found: DicomObject,
    error: FrameError,
    received: datetime,
    *,
    publisher: Reporter,
    quarantine: Quarantine,
    topic: Topic,
) -> str | None:
    """Keep the object and report it to `frames.dead-letter`.

    Parameters
    ----------
    topic : on which its frames belong.

    Returns
    -------
    In words why it was not kept; None where it was, or could not be read and never will be.

    Raises
    ------
    PublishError   the report is not taken.
    """
    sha256 = found.sha256()
    kept: str | None = None
    why_not: str | None = None
    try:
        kept = quarantine.put(sha256, found.chunks(), error, found.name, topic).sha256
    except FrameError:
        pass  # cannot be read: that is what `error` says, and there is nothing to keep
    except (QuarantineFull, OSError) as problem:
        why_not = f"not kept in quarantine: {problem}"
    number = error.about.frame_number if error.about else None
    frame_id = str(payload_id_of(sha256, number))
    publisher.unusable(frame_id, error, received, quarantine=kept)
    return why_not
