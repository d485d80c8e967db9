"""The vault: the way back from a pseudonym to a name. The only place that knows one.

A SQLite file whose names are encrypted (AES-256-GCM) under a key of its own: who has the file, a
backup of it or the disk has pseudonyms. Any number of processes may write and read it at once.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = b"lesionstream vault 1"
"""What the key is derived for; also sealed in the file, to tell a wrong key at once."""

NONCE_BYTES = 12
BUSY_S = 5.0
"""How long to wait for another process that is writing: it takes some milliseconds."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS proof (one INTEGER PRIMARY KEY CHECK (one = 1), sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS names (pseudonym TEXT PRIMARY KEY, sealed BLOB NOT NULL);
"""


class VaultError(Exception):
    """The vault cannot be opened, read or written, or was written under another key.

    Operator action: restore the vault and its key from one backup. Without a backup move the vault
    file away: names come back as images of each patient come again; nothing else depends on it.
    """


@dataclass(frozen=True, slots=True, repr=False)
class Named:
    """Who a patient is. Never shown by `repr`: it must not get into a log.

    patient_name : as DICOM has it, ``family^given^middle^prefix^suffix``; "" where not known.
    patient_id, issuer : as the device sent them; "" where it did not.
    birth_date : YYYYMMDD, or "".
    """

    patient_name: str
    patient_id: str = ""
    issuer: str = ""
    birth_date: str = ""

    def __repr__(self) -> str:
        return "Named(...)"

    @property
    def shown(self) -> str:
        """Return the name as people write it: ``Family, Given Middle``; "" where not known."""
        family, *given = self.patient_name.split("=")[0].split("^")[:3]
        return ", ".join(filter(None, (family.strip(), " ".join(" ".join(given).split()))))

    def over(self, before: "Named | None") -> "Named":
        """Return what is known now: what a device left out stays as it was."""
        if before is None:
            return self
        new, old = asdict(self), asdict(before)
        return Named(**{field: new[field] or old[field] for field in new})


class Vault:
    """One vault. Thread-safe.

    Parameters
    ----------
    path : of the file; made, readable by its owner alone, where there is none.
    key : at least 32 bytes of randomness, of the vault alone.

    Raises
    ------
    VaultError   it cannot be opened, is damaged, or was written under another key.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, Named] = {}
        self._read_at: tuple[int, int] | None = None
        derived = HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(key)
        self._cipher = AESGCM(derived)
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # its WAL gets the same mode
            self._database = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._told():
                self._open()
        except VaultError:
            self._database.close()
            raise

    def put(self, pseudonym: str, named: Named) -> None:
        """Keep who a patient is; cheap where it is known already.

        Raises
        ------
        VaultError   it cannot be written.
        """
        with self._lock, self._told():
            known = self._known.get(pseudonym) or self._read(pseudonym)
            now = named.over(known)
            if now != known:
                self._database.execute(
                    "INSERT OR REPLACE INTO names VALUES (?, ?)",
                    (pseudonym, self._sealed(json.dumps(asdict(now)), pseudonym)),
                )
            self._known[pseudonym] = now

    def name(self, pseudonym: str) -> Named | None:
        """Return who a patient is; None where that is not known.

        Raises
        ------
        VaultError   it cannot be read.
        """
        with self._lock, self._told():
            return self._read(pseudonym)

    def names(self) -> dict[str, Named]:
        """Return all names by pseudonym; cheap where nothing changed. Damaged ones are left out.

        Raises
        ------
        VaultError   it cannot be read.
        """
        with self._lock, self._told():
            now = self._state()
            if now != self._read_at:
                rows = self._database.execute("SELECT pseudonym, sealed FROM names").fetchall()
                found = {name: self._opened(sealed, name) for name, sealed in rows}
                self._known = {name: named for name, named in found.items() if named is not None}
                self._read_at = now
            return dict(self._known)

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
        self._database.executescript(_SCHEMA)
        proof = self._sealed(PURPOSE.decode(), "")
        self._database.execute("INSERT OR IGNORE INTO proof VALUES (1, ?)", (proof,))
        (sealed,) = self._database.execute("SELECT sealed FROM proof").fetchone()
        try:
            self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"")
        except (InvalidTag, ValueError, TypeError) as error:
            raise VaultError(f"vault {self._path} was written under another key") from error

    def _state(self) -> tuple[int, int]:
        """Return numbers that change when another process, or this one, has written."""
        (others,) = self._database.execute("PRAGMA data_version").fetchone()
        return int(others), self._database.total_changes

    def _read(self, pseudonym: str) -> Named | None:
        row = self._database.execute(
            "SELECT sealed FROM names WHERE pseudonym = ?", (pseudonym,)
        ).fetchone()
        return None if row is None else self._opened(row[0], pseudonym)

    def _sealed(self, words: str, pseudonym: str) -> bytes:
        """Encrypt; the pseudonym is sealed in, so that nobody can exchange two names."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, words.encode(), pseudonym.encode())

    def _opened(self, sealed: bytes, pseudonym: str) -> Named | None:
        """Decrypt; None where it was damaged: the next image of the patient repairs it."""
        try:
            nonce, words = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return Named(**json.loads(self._cipher.decrypt(nonce, words, pseudonym.encode())))
        except (InvalidTag, ValueError, TypeError):
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the file system and SQLite raise into one error that names the file."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise VaultError(f"vault {self._path}: {error}") from error
