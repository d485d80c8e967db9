"""Which files of a watched folder are done, on disk: a restart begins where it was.

A row is written after Kafka confirmed every frame of the file, never before. A row that is lost
makes a file be published once more, under the same ids. Paths may hold names of patients: what
lies here is a keyed hash of them.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Self

import structlog

from producers.folder import Done, Stamp

log = structlog.get_logger(__name__)

KEEP_DAYS = 30
"""Files not seen for so long are forgotten: a share may be away for a while."""

BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS done (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    safe INTEGER NOT NULL, seen_day INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Ledger:
    """The ledger of one state folder; any number of watched folders share it.

    Parameters
    ----------
    path : of the SQLite file; made, readable by its owner alone, where there is none. A damaged
        one is put beside and begun anew.
    key : of the hashes of paths.

    Notes
    -----
    Not thread-safe. Every method may raise `sqlite3.Error`; nothing is lost then but time.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._key = key[: blake2b.MAX_KEY_SIZE]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._database = _opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, no room: not damaged
            log.warning("ledger damaged", why=str(error), remedy="begun anew: files are sent again")
            path.replace(path.with_name(f"{path.name}.damaged"))
            for rest in ("-wal", "-shm"):
                path.with_name(path.name + rest).unlink(missing_ok=True)
            self._database = _opened(path)

    def recall(self, path: str) -> Done | None:
        """Return what is remembered of a file."""
        row = self._database.execute(
            "SELECT size, mtime_ns, safe FROM done WHERE path = ?", (self._hash(path),)
        ).fetchone()
        return None if row is None else Done(Stamp(row[0], row[1]), bool(row[2]))

    def record(self, files: Iterable[tuple[str, Done]], day: int) -> None:
        """Remember these files, all or none.

        Parameters
        ----------
        day : of today, counted from any day.
        """
        rows = [(self._hash(path), *done.stamp, done.safe, day) for path, done in files]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?)", rows)

    def forget(self, path: str) -> None:
        """Forget a file that was moved or deleted: the next one of that name is another one."""
        self._database.execute("DELETE FROM done WHERE path = ?", (self._hash(path),))

    def name_of(self, path: str) -> str:
        """Return a name for a file, as hex, that tells nobody without the key what its path is."""
        return self._hash(path).hex()

    def tidy(self, present: Iterable[str], day: int) -> None:
        """Note which files are there, and forget those that were not for `KEEP_DAYS`."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany(
                "UPDATE done SET seen_day = ? WHERE path = ?",
                ((day, self._hash(path)) for path in present),
            )
            self._database.execute("DELETE FROM done WHERE seen_day < ?", (day - KEEP_DAYS,))

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hash(self, path: str) -> bytes:
        person = b"watched path"
        return blake2b(os.fsencode(path), digest_size=16, key=self._key, person=person).digest()


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # its WAL gets the same mode
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # a row lost with the power is sent again
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            database.close()
        raise
    return database
