"""`dead-letters list|show`: what could not be used, on Kafka and in quarantine.

Payloads are read and let go of one by one: thousands of them do not fit into memory.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, print_json, say
from lesionstream.letters_wanted import Listed, State, Wanted, by_reason
from lesionstream.settings import settings
from producers.quarantine import Quarantine, Quarantined
from wire.dead_letters import DeadLetter
from wire.envelope import rfc3339
from wire.reading import read, read_one
from wire.replayed import Replayed, place_of
from wire.topics import DEAD_LETTERS, REPLAYED

MOST_SHOWN = 500
"""Rows of a table: more take long to lay out, and nobody reads them."""

QUARANTINE = "quarantine"
LETTER = "dead letter"


def show_all(wanted: Wanted, *, waiting: bool, limit: int | None, jsonl: bool) -> None:
    """List what is wanted, oldest first; `waiting`: only what `replay` would send."""
    entries = [
        entry
        for entry in listed(wanted.since)
        if wanted.takes(entry) and (entry.sendable() or not waiting)
    ][:limit]
    if jsonl:
        for entry in entries:
            print_json(asdict(entry))
        return
    show_table(entries)
    for line in by_reason(entries):
        say(line)
    say(f"{len(entries)} listed; `dead-letters replay` sends those through again that wait")


def show_table(entries: list[Listed]) -> None:
    """Print letters as a table, of many the newest."""
    table = Table(show_lines=False, expand=True)
    for column in ("reference", "set aside", "reason", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail", ratio=2, overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("from", ratio=2, overflow="fold")
    for entry in entries[-MOST_SHOWN:]:
        table.add_row(
            entry.reference[:12],
            entry.set_aside[:19].replace("T", " "),
            escape(entry.reason),
            entry.state,
            escape(entry.detail) + (f" ({entry.attempts} tries)" if entry.attempts > 1 else ""),
            "" if entry.bytes is None else f"{entry.bytes:,}",
            escape(entry.source),
        )
    out.print(table)
    if len(entries) > MOST_SHOWN:
        say(f"the newest {MOST_SHOWN} of {len(entries)}; filters show others, --jsonl all")


def show(reference: str) -> int:
    """Print one letter as JSON."""
    found = [entry for entry in _looked_up(reference) if entry.named(reference)]
    for entry in found:
        print(json.dumps(asdict(entry), indent=2))
    if not found:
        say(f"no dead letter {reference}; `dead-letters list` shows what there is")
    return 0 if found else 1


def listed(since: datetime | None = None) -> list[Listed]:
    """Return all letters that were set aside since then, oldest first, and all of quarantine."""
    notes, files = _notes(), Quarantine(settings().quarantine).entries()
    kept = {file.sha256 for file in files}
    topic = settings().names.of(DEAD_LETTERS)
    letters = [
        _letter_line(record, notes, kept) for record in read(endpoints.kafka(), topic, since=since)
    ]
    return sorted([*letters, *map(_file_line, files)], key=lambda entry: entry.set_aside)


def _looked_up(reference: str) -> Iterator[Listed]:
    """Yield what a reference may mean, without reading the whole topic."""
    files = Quarantine(settings().quarantine).entries()
    partition, colon, offset = reference.partition(":")
    if colon and partition.isdecimal() and offset.isdecimal():
        topic = settings().names.of(DEAD_LETTERS)
        record = read_one(endpoints.kafka(), topic, int(partition), int(offset))
        if record is not None:
            yield _letter_line(record, _notes(), {file.sha256 for file in files})
    yield from map(_file_line, files)


def _notes() -> dict[str, Replayed]:
    """Return the newest note on each letter that was sent before, by its place."""
    topic = settings().names.of(REPLAYED)
    found = (read_note(record.value) for record in read(endpoints.kafka(), topic))
    return {note.place: note for note in found if note is not None}


def read_note(value: bytes | None) -> Replayed | None:
    """Read a message of the notes' topic; None for one that is none."""
    try:
        return Replayed.model_validate_json(value or b"")
    except ValueError:
        return None


def _letter_line(record: Any, notes: dict[str, Replayed], kept: set[str]) -> Listed:
    letter = DeadLetter.of(record.key, record.value, record.headers)
    place = place_of(record.partition, record.offset)
    note = notes.get(place)
    if note is not None and note.letter_id != letter.id:
        note = None  # of a topic that was made anew since
    return Listed(
        reference=place,
        kind=LETTER,
        state=_state(letter, note, kept),
        set_aside=rfc3339(datetime.fromtimestamp(record.timestamp / 1000, UTC)),
        received=rfc3339(letter.time) if letter.time else None,
        replayed=rfc3339(note.time) if note else None,
        reason=letter.reason,
        detail=letter.detail,
        attempts=letter.attempts,
        engine=letter.engine,
        bytes=None if letter.value is None else len(letter.value),
        source=_origin(letter),
        topic=letter.where.topic.removeprefix(settings().names.prefix) if letter.where else None,
        patient=None if letter.key is None else letter.key.decode(errors="replace"),
        frame_id=letter.id,
        quarantine=letter.quarantine,
    )


def _state(letter: DeadLetter, note: Replayed | None, kept: set[str]) -> State:
    if note is not None:
        return State.REPLAYED
    if letter.value is not None:
        return State.WAITING
    return State.IN_QUARANTINE if letter.quarantine in kept else State.NOT_KEPT


def _file_line(file: Quarantined) -> Listed:
    return Listed(
        reference=file.sha256,
        kind=QUARANTINE,
        state=State.WAITING,
        set_aside=file.time,
        received=None,
        replayed=None,
        reason=file.reason,
        detail=file.detail,
        attempts=1,
        engine=None,
        bytes=file.size_bytes,
        source=file.source,
        topic=file.topic,
        patient=None,
        frame_id=None,
        quarantine=file.sha256,
    )


def _origin(letter: DeadLetter) -> str:
    where: Any = letter.where
    if where is not None:
        return f"{where.topic} {where.partition}:{where.offset}"
    return f"quarantine {letter.quarantine[:12]}" if letter.quarantine else "a producer"
