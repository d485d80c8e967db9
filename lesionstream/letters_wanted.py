"""What lies in dead letters and in quarantine as lines of a list, and which of them are wanted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """What has become of a dead letter."""

    WAITING = "waiting"
    """It can be sent, and was not yet."""

    REPLAYED = "replayed"
    """It was sent; what came of it is a finding, or another letter."""

    IN_QUARANTINE = "in-quarantine"
    """A report of a file that lies in the quarantine of this state folder, and is listed, too."""

    NOT_KEPT = "not-kept"
    """There is nothing to send: no payload was kept, or another producer has the file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list. Its fields are those of ``--jsonl``: docs/operations.md.

    reference : what `show` and `replay` take.
    set_aside, received, replayed : times, RFC 3339; when its producer received it.
    bytes : that can be sent; None where nothing was kept.
    patient : Kafka key: the pseudonym, where it was known.
    """

    reference: str
    kind: str
    state: State
    set_aside: str
    received: str | None
    replayed: str | None
    reason: str
    detail: str
    attempts: int
    engine: str | None
    bytes: int | None
    source: str
    topic: str | None
    patient: str | None
    frame_id: str | None
    quarantine: str | None

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset of a dead letter."""
        partition, _, offset = self.reference.partition(":")
        return int(partition), int(offset)

    def named(self, reference: str) -> bool:
        """Tell whether a reference means this line; of a sha256 eight digits are enough."""
        if self.kind == "quarantine":
            return len(reference) >= 8 and self.reference.startswith(reference)
        return self.reference == reference

    def sendable(self, *, again: bool = False) -> bool:
        """Tell whether it can be sent and needs to be; `again`: also what was sent before."""
        return self.state is State.WAITING or (
            again and self.state is State.REPLAYED and self.bytes is not None
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are wanted; what is empty leaves nothing out.

    reasons : one of these.
    since, until : when they were set aside, until is not included.
    topic : they came from, without the prefix of the stack.
    patient : pseudonym.
    engine : name, or name and version.
    """

    references: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    topic: str | None = None
    patient: str | None = None
    engine: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()

    def takes(self, entry: Listed) -> bool:
        """Tell whether a letter is wanted."""
        moment = datetime.fromisoformat(entry.set_aside) if entry.set_aside else None
        return (
            (not self.references or any(map(entry.named, self.references)))
            and (not self.reasons or entry.reason in self.reasons)
            and (self.since is None or (moment is not None and moment >= self.since))
            and (self.until is None or (moment is not None and moment < self.until))
            and self.topic in (None, entry.topic)
            and self.patient in (None, entry.patient)
            and self.engine in (None, entry.engine, (entry.engine or "").partition(" ")[0])
        )

    def missing(self, entries: Iterable[Listed]) -> list[str]:
        """Return the references that mean nothing in the list."""
        listed = list(entries)
        return [r for r in self.references if not any(entry.named(r) for entry in listed)]


def by_reason(entries: Iterable[Listed]) -> list[str]:
    """Return a summary in lines: each reason with how many there are, by state."""
    counted: dict[str, Counter[State]] = {}
    for entry in entries:
        counted.setdefault(entry.reason, Counter())[entry.state] += 1
    lines = []
    for reason, states in sorted(counted.items(), key=lambda item: -item[1].total()):
        parts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        lines.append(f"{reason}: {states.total()} ({parts})")
    return lines
