"""The vault: the way back from a pseudonym to a name. The only place that knows one.

A SQLite file whose names are encrypted (AES-256-GCM) under a key of its own: who has the file, a
backup of it or the disk has pseudonyms. Any number of processes may write and read it at once.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from identity.named import Named
from identity.seal import Seal

BUSY_S = 5.0
"""How long to wait for another process that is writing: it takes some milliseconds."""

__all__ = ["Counted", "Named", "Vault", "VaultError"]

ATTEMPTS = 3
"""A key may be exchanged while it is looked for; nobody exchanges it twice in a moment."""

T = TypeVar("T")
Keys = Callable[[], Iterable[bytes]]
"""Returns the keys that may fit now, each at least 32 bytes of randomness."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS proof (one INTEGER PRIMARY KEY CHECK (one = 1), sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS names (pseudonym TEXT PRIMARY KEY, sealed BLOB NOT NULL);
"""


class VaultError(Exception):
    """The vault cannot be opened, read or written, or was written under another key.

    Operator action: restore the vault and its key from one backup. Without a backup move the vault
    file away: names come back as images of each patient come again; nothing else depends on it.
    """


@dataclass(frozen=True, slots=True)
class Counted:
    """What is in a vault: names that open, and entries that do not."""

    names: int
    damaged: int


class Vault:
    """One vault. Thread-safe.

    Its key may be exchanged by another process at any time (`rekey`): whoever has it open goes on
    under the new one.

    Parameters
    ----------
    path : of the file; made, readable by its owner alone, where there is none.
    key : at least 32 bytes of randomness, of the vault alone; or what returns the keys to be
        tried, the one for a new file last.

    Raises
    ------
    VaultError   it cannot be opened, is damaged, or was written under another key.
    """

    def __init__(self, path: Path, key: bytes | Keys) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, Named] = {}
        self._read_at: tuple[int, int] | None = None
        self._keys: Keys = (lambda: (key,)) if isinstance(key, bytes) else key
        self._proof = b""
        self._seal: Seal
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # its WAL gets the same mode
            self._database = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._told():
                self._open()
        except BaseException:
            self._database.close()
            raise

    def put(self, pseudonym: str, named: Named) -> None:
        """Keep who a patient is; cheap where it is known already.

        Raises
        ------
        VaultError   it cannot be written.
        """
        with self._lock, self._told():
            known = self._known.get(pseudonym)
            if known is None or named.over(known) != known:
                known = self._step("IMMEDIATE", lambda: self._merged(pseudonym, named))
            self._known[pseudonym] = known

    def name(self, pseudonym: str) -> Named | None:
        """Return who a patient is; None where that is not known.

        Raises
        ------
        VaultError   it cannot be read.
        """
        with self._lock, self._told():
            return self._step("DEFERRED", lambda: self._read(pseudonym))

    def names(self) -> dict[str, Named]:
        """Return all names by pseudonym; cheap where nothing changed. Damaged ones are left out.

        Raises
        ------
        VaultError   it cannot be read.
        """
        with self._lock, self._told():
            now = self._state()
            if now != self._read_at:
                self._known = dict(self._step("DEFERRED", lambda: list(self._sound())))
                self._read_at = now
            return dict(self._known)

    def count(self) -> Counted:
        """Open every entry, after SQLite has looked at the file itself.

        Raises
        ------
        VaultError   it cannot be read, or the file is damaged.
        """
        with self._lock, self._told():
            (said,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise VaultError(f"vault {self._path}: {said}")

            def look() -> Counted:
                sound = sum(1 for _ in self._sound())
                return Counted(sound, len(self._rows()) - sound)

            return self._step("DEFERRED", look)

    def rekey(self, key: bytes) -> Counted:
        """Encrypt everything under another key, all at once or not at all.

        It is on the disk when this returns. What was damaged stays as it is.

        Raises
        ------
        VaultError   it cannot be written; the old key is good still.
        """
        with self._lock, self._told():
            self._database.execute("PRAGMA synchronous = FULL")
            after = Seal(key)

            def exchange() -> Counted:
                sound = [
                    (after.closed(json.dumps(asdict(named)), pseudonym), pseudonym)
                    for pseudonym, named in self._sound()
                ]
                self._database.executemany("UPDATE names SET sealed = ? WHERE pseudonym = ?", sound)
                self._database.execute("UPDATE proof SET sealed = ?", (after.proof(),))
                return Counted(len(sound), len(self._rows()) - len(sound))

            counted = self._step("IMMEDIATE", exchange)
            # Old pages would lie in the WAL for as long as nobody writes much.
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.execute("PRAGMA synchronous = NORMAL")
            return counted

    def copy(self, path: Path) -> None:
        """Write the vault as it is at one moment to a new file, while others write on.

        Parameters
        ----------
        path : readable by its owner alone; must not be there.

        Raises
        ------
        VaultError   it is there already, or cannot be written.
        """
        with self._lock, self._told():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            copy = sqlite3.connect(path)
            try:
                self._database.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, no WAL beside it
            finally:
                copy.close()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> "Vault":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA secure_delete = ON")  # of what an old key can read
        self._database.executescript(_SCHEMA)
        if self._sealed_proof() is None:
            (*_, key) = self._keys()
            self._database.execute(
                "INSERT OR IGNORE INTO proof VALUES (1, ?)", (Seal(key).proof(),)
            )
        self._unlock()

    def _unlock(self) -> None:
        """Find the key that fits.

        Raises
        ------
        VaultError   none does.
        """
        for _ in range(ATTEMPTS):
            seals = [Seal(key) for key in self._keys()]
            proof = self._sealed_proof()  # after the keys: a key file is changed after the vault
            for seal in seals:
                if proof is not None and seal.fits(proof):
                    self._seal, self._proof = seal, proof
                    return
        raise VaultError(f"vault {self._path} was written under another key")

    def _step(self, kind: str, work: Callable[[], T]) -> T:
        """Run `work` in one transaction, under the key of the vault as it is in that one."""
        for _ in range(ATTEMPTS):
            with self._transaction(kind):
                if self._sealed_proof() == self._proof:
                    return work()
            self._unlock()
        raise VaultError(f"vault {self._path}: its key is exchanged all the time")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        self._database.execute(f"BEGIN {kind}")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite ends some by itself, as on a full disk
                self._database.execute("ROLLBACK")
            raise

    def _sealed_proof(self) -> bytes | None:
        row = self._database.execute("SELECT sealed FROM proof").fetchone()
        return None if row is None else bytes(row[0])

    def _state(self) -> tuple[int, int]:
        """Return numbers that change when another process, or this one, has written."""
        (others,) = self._database.execute("PRAGMA data_version").fetchone()
        return int(others), self._database.total_changes

    def _rows(self) -> list[tuple[str, bytes]]:
        return self._database.execute("SELECT pseudonym, sealed FROM names").fetchall()

    def _sound(self) -> Iterator[tuple[str, Named]]:
        """Yield the names that are not damaged."""
        for pseudonym, sealed in self._rows():
            named = self._opened(sealed, pseudonym)
            if named is not None:
                yield pseudonym, named

    def _merged(self, pseudonym: str, named: Named) -> Named:
        """Write a name over what is known of the patient; return it."""
        known = self._read(pseudonym)
        now = named.over(known)
        if now != known:
            self._database.execute(
                "INSERT OR REPLACE INTO names VALUES (?, ?)",
                (pseudonym, self._seal.closed(json.dumps(asdict(now)), pseudonym)),
            )
        return now

    def _read(self, pseudonym: str) -> Named | None:
        row = self._database.execute(
            "SELECT sealed FROM names WHERE pseudonym = ?", (pseudonym,)
        ).fetchone()
        return None if row is None else self._opened(row[0], pseudonym)

    def _opened(self, sealed: bytes, pseudonym: str) -> Named | None:
        """Decrypt; None where it was damaged: the next image of the patient repairs it."""
        try:
            return Named(**json.loads(self._seal.opened(sealed, pseudonym) or "null"))
        except (ValueError, TypeError):
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the file system and SQLite raise into one error that names the file."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise VaultError(f"vault {self._path}: {error}") from error
