"""Every file of a folder by C-STORE and by replay: what becomes of each.

``python -m benchmarks.conformance FOLDER`` sends each file to a listener over a real association,
byte for byte and in its own transfer syntax, and replays it, both onto a real Kafka. It writes
docs/conformance-files.md and fails if anything was lost: each file must end as frames, as "not an
image", or refused with a reason, and `frames` must hold exactly the frames that were confirmed.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kafka import KafkaAdminClient
from pynetdicom import AE

import local
from benchmarks.conformance_page import page
from benchmarks.sending import TITLE, Stored, header_of, send
from lesionstream.console import progress_bar, say
from producers import listener, replay
from producers.listener import AE_TITLE, Listener
from producers.outbox import Outbox
from producers.prepare import Prepared
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.sources import Source
from producers.spool import Spool
from producers.storage_classes import VERIFICATION
from wire import topic_admin
from wire.cluster import Cluster
from wire.dead_letters import DeadLetter
from wire.envelope import Envelope
from wire.reading import read
from wire.topics import DEAD_LETTERS, FRAMES, Names

PAGE = Path("docs/conformance-files.md")
NO_DICOM = ("MANIFEST.csv", "SHA256SUMS")
"""Lists that lie beside the files."""

KEY = b"conformance".ljust(32, b".")
KEPT = frozenset({0x0000, 0xB006})
"""Statuses after which a sender deletes its image: frames must be there."""

SPOOL_BYTES = 1 << 30
SENT_S = 60.0
"""How long what was spooled before the broker was found may take to get there."""

REFUSED = range(0xB000, 0xD000)
"""Statuses of an object of which something is in quarantine."""


@dataclass(frozen=True, slots=True)
class Row:
    """One file.

    sop_class, syntax : UIDs; "" where the file does not say.
    frame_ids : of the frames by replay.
    refused : why the file, or a frame of it, is no frame; as replay says it.
    """

    file: str
    sop_class: str
    syntax: str
    stored: Stored
    frame_ids: tuple[str, ...]
    refused: tuple[str, ...]


class Bench:
    """A listener and a publisher of replays on one Kafka, with topics of their own.

    Parameters
    ----------
    folder : where quarantines and the spool lie.
    """

    def __init__(self, kafka: str, names: Names, folder: Path) -> None:
        self._kafka, self._names = kafka, names
        self._quarantine = Quarantine(folder / "quarantine")
        self._publisher = Publisher(Cluster.plain(kafka), names=names, source=replay.SOURCE)
        self._outbox = Outbox(
            lambda: Publisher(Cluster.plain(kafka), names=names, source=listener.SOURCE),
            Spool(folder / "spool", SPOOL_BYTES),
            listener.SOURCE,
        )
        self._listener = Listener(
            self._outbox,
            receiving=folder / "receiving",
            quarantine=Quarantine(folder / "received"),
            key=KEY,
            allow=frozenset({TITLE}),
        )
        self.address = ("127.0.0.1", self._listener.start("127.0.0.1", 0))

    def close(self) -> None:
        """Release everything."""
        self._listener.close()
        self._publisher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(
        self, paths: Sequence[Path], progress: Callable[[], object] = lambda: None
    ) -> list[Row]:
        """Replay all files, then send each; `progress` is called after each file sent."""
        replayed = self._replayed(paths)
        rows = []
        for path, (frame_ids, refused) in zip(paths, replayed, strict=True):
            header = header_of(path)
            stored = send(path, header, self.address, AE_TITLE)
            rows.append(Row(path.name, header.sop_class, header.syntax, stored, frame_ids, refused))
            progress()
        return rows

    def _replayed(self, paths: Sequence[Path]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Replay all files; return (frame ids, why something was refused) of each."""
        found: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        frame_ids: list[str] = []
        told = 0

        def keep(frame: Prepared) -> None:
            frame_ids.append(frame.frame_id)

        def after(tally: replay.Tally) -> None:
            nonlocal told
            if tally.files > len(found):
                refused = tuple(words for _, words in tally.failed[told:])
                found.append((tuple(frame_ids), refused))
                frame_ids.clear()
                told = len(tally.failed)

        replay.replay(
            [Source(path) for path in paths],
            publisher=self._publisher,
            quarantine=self._quarantine,
            key=KEY,
            keep=keep,
            progress=after,
        )
        return found

    def alive(self) -> bool:
        """Tell whether the listener answers a C-ECHO."""
        ae = AE(TITLE)
        ae.add_requested_context(VERIFICATION)
        association = ae.associate(*self.address, ae_title=AE_TITLE)
        if not association.is_established:
            return False
        answer = association.send_c_echo()
        association.release()
        return bool(answer.get("Status") == 0)

    def lost(self, rows: Sequence[Row]) -> list[str]:
        """Return in words what was said of the files and is not so on the topics."""
        deadline = time.monotonic() + SENT_S
        while self._outbox.waiting and time.monotonic() < deadline:
            time.sleep(0.1)
        taken = [row for row in rows if row.stored.status in KEPT]
        answered = [row for row in rows if row.stored.status is not None]
        frames = {replay.SOURCE: Counter[str](), listener.SOURCE: Counter[str]()}
        for record in read(Cluster.plain(self._kafka), self._names.of(FRAMES)):
            envelope = Envelope.of(record.headers)
            frames[str(envelope.source)][str(envelope.id)] += 1
        letters: Counter[str] = Counter()
        kept_nowhere = 0
        for record in read(Cluster.plain(self._kafka), self._names.of(DEAD_LETTERS)):
            letters[str(Envelope.of(record.headers).source)] += 1
            letter = DeadLetter.of(record.key, record.value, record.headers)
            kept_nowhere += letter.quarantine is None
        checks = {
            "frames by replay": frames[replay.SOURCE] == _ids(rows),
            "frames by C-STORE": frames[listener.SOURCE] == _ids(taken),
            "dead letters by replay": letters[replay.SOURCE] == _refused(rows),
            "dead letters by C-STORE": letters[listener.SOURCE] == _refused(answered),
            "objects in quarantine": kept_nowhere == 0,
            "an end for each file": all(row.frame_ids or row.refused for row in rows),
            "statuses": all(_true(row) for row in answered),
            "an empty spool": self._outbox.waiting == 0,
            "an answer to C-ECHO": self.alive(),
        }
        return [what for what, holds in checks.items() if not holds]


def _ids(rows: Iterable[Row]) -> Counter[str]:
    return Counter(frame_id for row in rows for frame_id in row.frame_ids)


def _refused(rows: Iterable[Row]) -> int:
    return sum(len(row.refused) for row in rows)


def _true(row: Row) -> bool:
    """Tell whether the status of a C-STORE fits what the same file becomes by replay."""
    if row.stored.status == 0x0000:
        return bool(row.frame_ids) and not row.refused
    if row.stored.status == 0xB006:
        return bool(row.frame_ids and row.refused)
    return row.stored.status in REFUSED and bool(row.refused) and not row.frame_ids


@contextmanager
def _topics(kafka: str) -> Iterator[Names]:
    """Yield names of topics that exist until the end."""
    names = Names(f"conformance-{secrets.token_hex(4)}-")
    made = topic_admin.create(Cluster.plain(kafka), names)
    try:
        yield names
    finally:
        admin = KafkaAdminClient(bootstrap_servers=kafka.split(","))
        admin.delete_topics(made)
        admin.close()


@contextmanager
def _local_kafka() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield str(local.up(Path(folder)).kafka)
        finally:
            local.down(Path(folder))


def files_in(folder: Path) -> list[Path]:
    """Return the files, by name."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name not in NO_DICOM)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the page; return 1 if something was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conformance", description=__doc__)
    parser.add_argument("folder", type=Path, help="of DICOM files")
    parser.add_argument("--kafka", help="host:port; else one is started for this run")
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    paths = files_in(args.folder)
    with ExitStack() as stack:
        kafka = args.kafka or stack.enter_context(_local_kafka())
        names = stack.enter_context(_topics(kafka))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        at_work = stack.enter_context(Bench(kafka, names, Path(folder)))
        progress = stack.enter_context(progress_bar("files"))
        task = progress.add_task("conformance", total=len(paths), note="")
        rows = at_work.rows(paths, lambda: progress.advance(task))
        lost = at_work.lost(rows)
    args.out.write_text(page(rows))
    for what in lost:
        say(f"not so: {what}", style="red")
    say(f"{len(rows)} files: {args.out}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
