"""The spool: messages on the disk of a listener while no broker takes them.

One SQLite file, written through to the disk at each `put`. Everything in it lies in its
write-ahead log: a copy taken at any moment opens and holds what was put until then, and a file
that lost its end has lost only what stood there. Once all of it has been sent the file is deleted,
and so are the images in it.
"""

import contextlib
import errno
import fcntl
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from producers.messages import Message
from wire.topics import TOPICS

log = structlog.get_logger(__name__)

MAX_BYTES = 10 << 30
"""Of a spool: 20,000 CT slices. Above it, and on a full disk, nothing more is taken."""

PAGE_BYTES = 32 << 10
"""The log holds whole pages: a frame of 0.5 MB takes 17 of them and half a page is lost."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = """
CREATE TABLE messages (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    key BLOB,
    value BLOB,
    headers TEXT NOT NULL
)
"""
_TOPICS = {topic.name: topic for topic in TOPICS}


class SpoolError(Exception):
    """The spool cannot be read or written.

    Operator action: see that the user of the listener owns the folder and that the disk is well.
    """


class SpoolFull(SpoolError):
    """The spool has reached its bound, or the disk is full: nothing was kept.

    Operator action: bring the broker back, or make room on the disk of the state folder.
    """


class Spool:
    """One listener's spool. Thread-safe.

    Parameters
    ----------
    folder : of all spools of this state folder; the first one that no other process has is taken,
        so that a listener that starts again goes on with what it left.
    max_bytes : bound of the file.

    Raises
    ------
    SpoolError   the folder cannot be used.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._count = 0
        self._gone: set[int] = set()  # sent, and still in the file
        with _told(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owned, self.path = _first_free(folder)
            try:
                if _holds_something(self.path):
                    self._open_what_was_left()
            except BaseException:
                os.close(self._owned)
                raise

    def __len__(self) -> int:
        """Return how many messages wait."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Return what the spool takes on the disk."""
        with contextlib.suppress(FileNotFoundError):
            return _log_of(self.path).stat().st_size
        return 0

    def put(self, messages: Sequence[Message]) -> None:
        """Keep messages; they are on the disk when this returns, all of them or none.

        Raises
        ------
        SpoolFull    there is no room.
        SpoolError   the file cannot be written.
        """
        rows = [_row(message) for message in messages]
        with self._lock, _told(self.path):
            if self._closed:
                raise SpoolError(f"spool {self.path} is closed")
            if self.size_bytes + sum(message.size_bytes for message in messages) > self._max_bytes:
                raise SpoolFull(f"the spool has reached its {self._max_bytes:,} bytes")
            writer = self._writer or self._open()
            with _transaction(writer):
                writer.executemany(
                    "INSERT INTO messages (topic, key, value, headers) VALUES (?, ?, ?, ?)", rows
                )
            self._count += len(rows)

    def first(self, max_bytes: int, skip: Container[int] = ()) -> list[tuple[int, Message]]:
        """Return the oldest messages with their numbers: at least one, up to `max_bytes` of them.

        Parameters
        ----------
        skip : numbers to leave out.
        """
        with self._lock, _told(self.path):
            if self._reader is None:
                return []
            found: list[tuple[int, Message]] = []
            total = 0
            rows = self._reader.execute(
                "SELECT number, topic, key, value, headers FROM messages ORDER BY number"
            )
            for number, *rest in rows:
                if number in skip or number in self._gone:
                    continue
                message = _message(*rest)
                total += message.size_bytes
                if found and total > max_bytes:
                    break
                found.append((number, message))
            rows.close()
            return found

    def remove(self, numbers: Iterable[int]) -> None:
        """Take messages out that were sent; after the last one the file is deleted.

        On a full disk they are only remembered as sent: a process that is killed then sends them
        once more.
        """
        with self._lock, _told(self.path):
            gone = set(numbers) - self._gone
            self._gone |= gone
            self._count -= len(gone)
            if self._writer is None:
                return
            if self._count == 0:
                self._close()
                _delete(self.path)
                return
            with contextlib.suppress(sqlite3.OperationalError):
                with _transaction(self._writer):
                    self._writer.executemany(
                        "DELETE FROM messages WHERE number = ?", [(n,) for n in self._gone]
                    )
                self._gone.clear()

    def close(self) -> None:
        """Let another process have the file; what is in it stays."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close()
                os.close(self._owned)

    def _open(self) -> sqlite3.Connection:
        """Open the file; made where there is none."""
        writer = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        reader: sqlite3.Connection | None = None
        try:
            os.chmod(self.path, 0o600)  # its log gets the same mode
            writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            writer.execute("PRAGMA journal_mode = WAL")
            # Never copied back into the file: a copy taken at that moment would be torn.
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            reader = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False
            )
            reader.execute("SELECT name FROM sqlite_master").fetchall()
            writer.execute("PRAGMA synchronous = FULL")
            writer.execute("PRAGMA secure_delete = OFF")  # the file is deleted as a whole
            if not writer.execute("SELECT name FROM sqlite_master").fetchall():
                writer.execute(_SCHEMA)
            (self._count,) = writer.execute("SELECT count(*) FROM messages").fetchone()
        except BaseException:
            writer.close()
            if reader is not None:
                reader.close()  # last, see `_close`
            raise
        self._writer, self._reader = writer, reader
        return writer

    def _close(self) -> None:
        """Close; the reader last: the last one to close would copy the log back, and may not."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None
        self._gone.clear()

    def _open_what_was_left(self) -> None:
        """Open a spool that a process left, however it ended."""
        _mend(self.path)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode not in DAMAGED:
                raise  # it may pass: what is in the file is not given up for it
            self._count = 0
            aside = self.path.with_suffix(f".broken-{datetime.now(UTC):%Y%m%dT%H%M%S}")
            log.error("the spool cannot be read", why=str(error), moved_to=str(aside))
            for part in (self.path, _log_of(self.path)):
                with contextlib.suppress(FileNotFoundError):
                    part.rename(part.with_name(part.name.replace(self.path.name, aside.name)))
            return
        if self._count:
            log.warning("messages of an earlier run wait in the spool", messages=self._count)
        else:
            self._close()
            _delete(self.path)


def _first_free(folder: Path) -> tuple[int, Path]:
    """Return the first spool that no process has: the lock that holds it, and its path."""
    number = 0
    while True:
        path = folder / f"spool-{number}.sqlite"
        owned = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(owned)
            number += 1
            continue
        return owned, path


def left_alone(folder: Path) -> list[Path]:
    """Return the spools that hold something and that no process sends; damaged ones, too."""
    found = sorted(folder.glob("spool-*.broken-*[0-9]"))
    for path in sorted(folder.glob("spool-*.sqlite")):
        owned = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _holds_something(path):
                found.append(path)
        except BlockingIOError:
            continue  # a listener has it
        finally:
            os.close(owned)
    return found


def _holds_something(path: Path) -> bool:
    """Tell whether a spool was left there: a log, or what somebody's SQLite made of it."""
    return _log_of(path).exists() or (path.exists() and path.stat().st_size > PAGE_BYTES)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _delete(path: Path) -> None:
    """Delete a spool; its log first: a log without its file would be read again."""
    for part in (_log_of(path), path.with_name(f"{path.name}-shm"), path):
        part.unlink(missing_ok=True)


def _mend(path: Path) -> None:
    """Write the first page anew where it is damaged: the log has all the others, and this one too.

    SQLite takes a log as left over from another time where the file beside it is empty. A file of
    more pages has a log copied back by somebody's SQLite: it is left as it is.
    """
    if path.exists() and path.stat().st_size > PAGE_BYTES:
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fresh = Path(folder) / "fresh"
        with contextlib.closing(sqlite3.connect(fresh)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
        page = fresh.read_bytes()
    if not path.exists() or not _alike(path.read_bytes(), page):
        log.warning("the spool's first page was damaged, and is written anew")
        path.write_bytes(page)


def _alike(page: bytes, other: bytes) -> bool:
    """Compare two first pages but for their change counter and the version of SQLite."""
    return page[:24] == other[:24] and page[28:92] == other[28:92] and page[100:] == other[100:]


def _row(message: Message) -> tuple[str, bytes | None, bytes | None, str]:
    headers = [[name, value.decode("latin-1")] for name, value in message.headers]
    return message.topic.name, message.key, message.value, json.dumps(headers)


def _message(topic: str, key: bytes | None, value: bytes | None, headers: str) -> Message:
    pairs = [(name, text.encode("latin-1")) for name, text in json.loads(headers)]
    return Message(_TOPICS[topic], key, value, pairs)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one error that names the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise SpoolFull(f"the disk of {path} is full") from error
        raise SpoolError(f"spool {path}: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolFull(f"the disk of {path} is full") from error
        raise SpoolError(f"spool {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise SpoolError(f"spool {path}: {error}") from error
