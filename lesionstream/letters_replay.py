"""`dead-letters replay`: through the pipeline once more what could not be used, once each.

A letter is noted as sent once the broker has what was sent. Killed in between, it is sent again,
under the same ids.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from rich.progress import Progress, TaskID

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import err, progress_bar, say
from lesionstream.letters import LETTER, QUARANTINE, listed, show_table
from lesionstream.letters_wanted import Listed, State, Wanted, by_reason
from lesionstream.naming import open_vault
from lesionstream.settings import settings
from producers.dropped import objects_in, take_apart
from producers.naming import NameKeeper
from producers.publisher import Confirmation, Publisher
from producers.quarantine import Quarantine
from wire.dead_letters import DeadLetter
from wire.decode_pool import DecodePool
from wire.errors import FrameError
from wire.reading import read
from wire.replayed import Replayed
from wire.topics import DEAD_LETTERS, FRAMES, STAT

SOURCE = "/lesionstream/dead-letters"

CLOSE_BY = 50
"""Letters of one partition with fewer offsets between them are read in one go: to begin anew costs
more than to read some that are not wanted."""


def replay(wanted: Wanted, *, again: bool, dry_run: bool, limit: int | None) -> int:
    """Send what is wanted and was not sent before, oldest first; return the exit code.

    Parameters
    ----------
    again : send also what was sent before.
    dry_run : only say what would be sent.
    limit : at most so many.
    """
    entries = listed(wanted.since)
    chosen = [entry for entry in entries if wanted.takes(entry)]
    unknown = wanted.missing(entries)
    for reference in unknown:
        say(f"no dead letter {reference}; `dead-letters list` shows what there is", "yellow")
    sends = [entry for entry in chosen if entry.sendable(again=again)][:limit]
    _tell_left_out([entry for entry in chosen if not entry.sendable(again=again)])
    if dry_run:
        show_table(sends)
        for line in by_reason(sends):
            say(line)
        say(f"{len(sends)} would be sent; nothing was")
        return 1 if unknown else 0
    if not sends:
        say("nothing to send")
    failed = _send(sends, entries) if sends else 0
    nothing_kept = wanted.references and any(entry.state is State.NOT_KEPT for entry in chosen)
    return 1 if unknown or failed or nothing_kept else 0


def _tell_left_out(entries: list[Listed]) -> None:
    words = {
        State.REPLAYED: "were sent before (--again sends them again)",
        State.IN_QUARANTINE: "are reports of files in quarantine, which are listed themselves",
        State.NOT_KEPT: "cannot be sent: nothing was kept",
    }
    for state, count in Counter(entry.state for entry in entries).items():
        say(f"{count} {words[state]}")


def _send(sends: list[Listed], entries: list[Listed]) -> int:
    """Send letters and files; return how many could not be."""
    sent: list[Listed] = []
    with (
        Publisher(endpoints.kafka(), names=settings().names, source=SOURCE) as publisher,
        progress_bar("letters") as bar,
    ):
        task = bar.add_task("replaying", total=len(sends), note="")
        notes = Notes(publisher)
        for entry in _sent_letters([e for e in sends if e.kind == LETTER], publisher, notes):
            sent.append(entry)
            bar.advance(task)
        files = [entry for entry in sends if entry.kind == QUARANTINE]
        if files:
            sent += _sent_files(files, publisher, notes, entries, (bar, task))
        notes.write()
    for reason, count in Counter(entry.reason for entry in sent).most_common():
        say(f"{reason}: {count} sent")
    left = len(sends) - len(sent)
    say(f"{len(sent)} sent again" + (f", {left} still cannot be used" if left else ""))
    return left


class Notes:
    """Writes down what was sent, after the broker has confirmed it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[tuple[Confirmation | None, Replayed]] = deque()

    def later(self, entry: Listed, confirmation: Confirmation | None) -> None:
        """Note a letter once what was sent is confirmed; None: it is already."""
        partition, offset = entry.place
        note = Replayed(
            partition=partition,
            offset=offset,
            letter_id=entry.frame_id or "",
            time=datetime.now(UTC),
        )
        self._waiting.append((confirmation, note))
        while self._waiting and (self._waiting[0][0] is None or self._waiting[0][0].arrived):
            self._publisher.note(self._waiting.popleft()[1])

    def write(self) -> None:
        """Wait until all that was sent is confirmed, then until all notes are."""
        self._publisher.flush()
        while self._waiting:
            self._publisher.note(self._waiting.popleft()[1])
        self._publisher.flush()


def _sent_letters(entries: list[Listed], publisher: Publisher, notes: Notes) -> Iterator[Listed]:
    """Send the payloads of letters and yield those; one that retention took meanwhile is left."""
    wanted = {entry.place: entry for entry in entries}
    for record in _records(wanted):
        entry = wanted.get((record.partition, record.offset))
        if entry is None or record.value is None:
            continue
        letter = DeadLetter.of(record.key, record.value, record.headers)
        notes.later(entry, publisher.again(letter))
        yield entry


def _records(places: Iterable[tuple[int, int]]) -> Iterator[Any]:
    """Read letters from Kafka, those close by in one go."""
    kafka, topic = endpoints.kafka(), settings().names.of(DEAD_LETTERS)
    offsets: dict[int, list[int]] = {}
    for partition, offset in places:
        offsets.setdefault(partition, []).append(offset)
    for partition, mine in offsets.items():
        for first, last in stretches(sorted(mine)):
            until = {partition: last + 1}
            yield from read(kafka, topic, partitions=[partition], begin=first, until=until)


def stretches(offsets: list[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of ascending offsets that lie close by."""
    if not offsets:
        return []
    gaps = [(a, b) for a, b in pairwise(offsets) if b - a > CLOSE_BY]
    firsts = [offsets[0], *(b for _, b in gaps)]
    lasts = [*(a for a, _ in gaps), offsets[-1]]
    return list(zip(firsts, lasts, strict=True))


def _sent_files(
    files: list[Listed],
    publisher: Publisher,
    notes: Notes,
    entries: list[Listed],
    shown: tuple[Progress, TaskID],
) -> Iterator[Listed]:
    """Send quarantined files and yield those that are frames by now, which leave quarantine."""
    quarantine = Quarantine(settings().quarantine)
    key = load_or_make_key(settings().pseudonym_key_file)
    names = NameKeeper(open_vault)
    bar, task = shown
    with DecodePool(take_apart) as pool:
        for file in files:
            why = ""
            for _, item in objects_in(pool, quarantine.path(file.reference), key):
                if isinstance(item, FrameError):
                    why = why or str(item)
                else:
                    names.keep(item)
                    publisher.frame(item, topic=STAT if file.topic == STAT.name else FRAMES)
            bar.advance(task)
            if why:
                # Names of files may be names of patients: a person sees them, a log does not.
                say(f"{file.source if err.is_terminal else file.reference[:12]}: {why}", "yellow")
                continue
            publisher.flush()
            for report in entries:
                if report.kind == LETTER and report.quarantine == file.reference:
                    notes.later(report, None)
            quarantine.remove(file.reference)
            yield file
    names.close()
    if names.trouble:
        say(f"names are not kept: {names.trouble}", "yellow")
