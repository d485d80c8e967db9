"""Pseudonyms: who a patient is, without saying it.

HMAC-SHA256 with a key that never leaves the hospital. The same patient gets the same pseudonym
from every producer that has the key; without the key nobody can try names out.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

KEY_BYTES = 32
MAX_SHIFT_DAYS = 3650
"""Dates move back by 1 to 3650 days: enough to hide the year, and never into the future."""


class KeyFileError(Exception):
    """A key file, of the pseudonyms or of the vault, cannot be read or is not a key.

    Operator action: restore the key file from backup. A new key gives every patient a new
    pseudonym: old and new results of a patient no longer meet; names in the vault are lost.
    """


class Pseudonyms:
    """Pseudonyms and date shifts under one key.

    Parameters
    ----------
    key : at least 32 bytes of randomness.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise KeyFileError(f"a pseudonym key has at least {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def patient(self, issuer: str | None, patient_id: str) -> str:
        """Return the pseudonym of a patient: ``p-`` and 32 hexadecimal digits."""
        return "p-" + self._mac("pseudonym", f"{issuer or ''}|{patient_id}")

    def study(self, study_instance_uid: str) -> str:
        """Return a pseudonym for a study without PatientID: ``s-...``; never merged with others."""
        return "s-" + self._mac("study", study_instance_uid)

    def nameless(self, sha256: str) -> str:
        """Return a pseudonym for an object that names neither patient nor study: ``h-...``."""
        return "h-" + self._mac("hash", sha256)

    def shift_days(self, pseudonym: str) -> int:
        """Return by how many days the dates of this patient move back, 1 to `MAX_SHIFT_DAYS`."""
        return 1 + int(self._mac("date-shift", pseudonym), 16) % MAX_SHIFT_DAYS

    def _mac(self, purpose: str, value: str) -> str:
        return hmac.new(self._key, f"{purpose}|{value}".encode(), hashlib.sha256).hexdigest()[:32]


def load_or_make_key(path: Path, what: str = "pseudonym key") -> bytes:
    """Return the key in `path`; made once, readable by its owner alone, where there is none.

    `what` it is says the error. Two processes that start at the same moment get the same key.

    Raises
    ------
    KeyFileError   the file is there and is not a key, or cannot be read or made.
    """
    if not path.exists():
        try:
            _make_key(path)
        except OSError as error:
            raise KeyFileError(f"{what} {path}: {error.strerror}") from error
    return load_key(path, what)


def load_key(path: Path, what: str = "pseudonym key") -> bytes:
    """Return the key in `path`.

    Raises
    ------
    KeyFileError   the file is not there, is not a key, or cannot be read.
    """
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise KeyFileError(f"{what} {path}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{what} {path} is not hexadecimal") from error
    if len(key) < KEY_BYTES:
        raise KeyFileError(f"{what} {path} is shorter than {KEY_BYTES} bytes")
    return key


def _make_key(path: Path) -> None:
    """Write a new key beside `path` and link it there, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_bytes(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
