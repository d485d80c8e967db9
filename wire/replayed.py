"""The note that a dead letter was sent through once more.

Notes have a topic of their own, compacted by letter: who counts letters by offsets counts no notes,
and who asks which letters wait reads no payloads for it.
"""

from typing import ClassVar

from pydantic import Field

from wire.records import Moment, Record


class Replayed(Record):
    """A dead letter was sent through once more, and the broker has what was sent."""

    kind: ClassVar[str] = "replayed"

    partition: int = Field(ge=0, description="of `frames.dead-letter`")
    offset: int = Field(ge=0, description="of the letter in that partition")
    letter_id: str = Field(
        description="ce_id of the letter: a topic that was made anew has others at these places"
    )
    time: Moment = Field(description="when it was sent")

    @property
    def place(self) -> str:
        """Return where the letter lies, as operators name it; the key of the note."""
        return place_of(self.partition, self.offset)


def place_of(partition: int, offset: int) -> str:
    """Return how operators name a dead letter: ``PARTITION:OFFSET``."""
    return f"{partition}:{offset}"
