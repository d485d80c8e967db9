"""`dead-letters list|show|replay`: what could not be used, on Kafka and in quarantine."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import out, print_json, say
from lesionstream.naming import open_vault
from lesionstream.settings import settings
from producers.naming import NameKeeper
from producers.prepare import prepare_source
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.replay import prepared_frames
from producers.sources import Source
from wire.dead_letters import DeadLetter
from wire.decode_pool import DecodePool
from wire.envelope import rfc3339
from wire.errors import FrameError
from wire.reading import read
from wire.topics import DEAD_LETTERS

SOURCE = "/lesionstream/dead-letters"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list. reference : what `show` and `replay` take."""

    reference: str
    kind: str
    time: str
    reason: str
    detail: str
    attempts: int
    bytes: int | None
    source: str


def show_all(reason: str | None, *, jsonl: bool) -> None:
    """List everything, oldest first within each kind."""
    entries = [entry for entry in _listed() if reason in (None, entry.reason)]
    if jsonl:
        for entry in entries:
            print_json(asdict(entry))
        return
    table = Table(show_lines=False, expand=True)
    for column in ("reference", "time", "reason"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail", ratio=2, overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("from", ratio=2, overflow="fold")
    for entry in entries:
        table.add_row(
            entry.reference[:12],
            entry.time[:19].replace("T", " "),
            escape(entry.reason),
            escape(entry.detail) + (f" ({entry.attempts} tries)" if entry.attempts > 1 else ""),
            "not kept" if entry.bytes is None else f"{entry.bytes:,}",
            escape(entry.source),
        )
    out.print(table)
    say(f"{len(entries)} listed; `dead-letters replay REFERENCE` sends one through again")


def show(reference: str) -> int:
    """Print one letter as JSON."""
    found = [entry for entry in _listed() if _matches(entry, reference)]
    for entry in found:
        print(json.dumps(asdict(entry), indent=2))
    if not found:
        say(f"no dead letter {reference}; `dead-letters list` shows what there is")
    return 0 if found else 1


def replay(references: Sequence[str], reason: str | None) -> int:
    """Publish payloads again, and quarantined files that can be read now."""
    wanted = [
        entry
        for entry in _listed()
        if reason in (None, entry.reason)
        and (not references or any(_matches(entry, r) for r in references))
    ]
    if not wanted:
        say("nothing to replay")
        return 1 if references else 0
    letters = {place: letter for place, letter in _letters()}
    sent = left = 0
    with Publisher(endpoints.kafka(), names=settings().names, source=SOURCE) as publisher:
        for entry in wanted:
            if entry.kind == "quarantine":
                done = _replay_file(entry, publisher)
            else:
                done = _replay_letter(letters[entry.reference], publisher)
            sent += done
            left += not done
        publisher.flush()
    say(f"{sent} sent again, {left} cannot be (no payload kept, or still unusable)")
    return 1 if left else 0


def _replay_letter(letter: DeadLetter, publisher: Publisher) -> bool:
    """Send the payload of a dead letter again; False where none was kept."""
    if letter.value is None:
        return False
    publisher.again(letter)
    return True


def _replay_file(entry: Listed, publisher: Publisher) -> bool:
    """Send a quarantined file again; it leaves quarantine once all its frames are confirmed."""
    quarantine = Quarantine(settings().quarantine)
    key = load_or_make_key(settings().pseudonym_key_file)
    source = Source(quarantine.path(entry.reference))
    with DecodePool(prepare_source) as pool:
        items = list(prepared_frames(pool, source, key))
    if any(isinstance(item, FrameError) for item in items):
        return False
    names = NameKeeper(open_vault)
    for item in items:
        names.keep(item)  # type: ignore[arg-type]
        publisher.frame(item)  # type: ignore[arg-type]
    names.close()
    publisher.flush()
    quarantine.remove(entry.reference)
    return True


def _letters() -> Iterator[tuple[str, DeadLetter]]:
    topic = settings().names.of(DEAD_LETTERS)
    for record in read(endpoints.kafka(), topic):
        place = f"{record.partition}:{record.offset}"
        yield place, DeadLetter.of(record.key, record.value, record.headers)


def _listed() -> list[Listed]:
    letters = [
        Listed(
            reference=place,
            kind="dead letter",
            time=rfc3339(letter.time) if letter.time else "",
            reason=letter.reason,
            detail=letter.detail,
            attempts=letter.attempts,
            bytes=None if letter.value is None else len(letter.value),
            source=_origin(letter),
        )
        for place, letter in _letters()
    ]
    files = [
        Listed(
            reference=entry.sha256,
            kind="quarantine",
            time=entry.time,
            reason=entry.reason,
            detail=entry.detail,
            attempts=1,
            bytes=entry.size_bytes,
            source=entry.source,
        )
        for entry in Quarantine(settings().quarantine).entries()
    ]
    return sorted(letters, key=lambda entry: entry.time) + files


def _origin(letter: DeadLetter) -> str:
    where: Any = letter.where
    if where is not None:
        return f"{where.topic} {where.partition}:{where.offset}"
    return f"quarantine {letter.quarantine[:12]}" if letter.quarantine else "a producer"


def _matches(entry: Listed, reference: str) -> bool:
    if entry.kind == "quarantine":
        return len(reference) >= 8 and entry.reference.startswith(reference)
    return entry.reference == reference
