"""The file of the vault's key, and how one key takes the place of another. Safe to kill anywhere.

1. The new key is written beside the old one, and is on the disk.
2. The vault is encrypted anew, in one transaction, and is on the disk.
3. The new key takes the old one's name.

Whoever opens the vault tries both: the one that is beside first, then the one in use.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from identity.pseudonyms import KeyFileError, load_key, load_or_make_key
from identity.vault import Counted, Vault, VaultError

WHAT = "vault key"


@dataclass(frozen=True, slots=True)
class VaultKey:
    """Where the key of a vault lies. Called, it returns the keys that may fit now."""

    path: Path
    vault: Path

    def __call__(self) -> list[bytes]:
        """Return the key that is about to take the place, if there is one, and the key.

        Raises
        ------
        KeyFileError   a file cannot be read, or is no key.
        """
        try:
            new = [load_key(self.next, WHAT)]
        except KeyFileError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            new = []  # there is none, or it took its place in this moment
        return [*new, load_key(self.path, WHAT)]

    @property
    def next(self) -> Path:
        """Return where a new key lies until it takes the place of the old one."""
        return self.path.with_name(self.path.name + ".next")

    def open(self) -> Vault:
        """Open the vault; it and its key are made, where there are none.

        Raises
        ------
        VaultError     it cannot be opened.
        KeyFileError   the key is missing though there is a vault, or cannot be read or made.
        """
        # In this order: another process may make the key, and then the vault, meanwhile.
        if not self.path.exists() and self.vault.exists() and not self.path.exists():
            raise KeyFileError(f"{WHAT} {self.path} is missing, and {self.vault.name} is there")
        load_or_make_key(self.path, WHAT)
        return Vault(self.vault, self)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. finished : one that was interrupted before, and nothing else."""

    counted: Counted
    finished: bool = False


def rotate(key: VaultKey, keep_old: Path | None = None) -> Rotated:
    """Exchange the key of a vault; processes that have it open go on.

    One that was interrupted is finished instead, where the vault had its new key already.

    Parameters
    ----------
    keep_old : the old key is kept here: backups from before need it. Must not be there.

    Raises
    ------
    VaultError     it cannot be written, or somebody else exchanges the key now.
    KeyFileError   a key cannot be read or written.
    """
    with _alone(key), _told(key.path):
        with key.open() as vault:
            if key.next.exists() and not _fits(key.path, key):  # interrupted when the vault had it
                _take_place(key)
                return Rotated(vault.count(), finished=True)
            _writable(key.path)
            if keep_old is not None:
                _keep(load_key(key.path, WHAT), keep_old)
            key.next.unlink(missing_ok=True)  # of one interrupted before the vault had it
            new = load_or_make_key(key.next, WHAT)
            _on_disk(key.next.parent)
            counted = vault.rekey(new)
            _take_place(key)
            return Rotated(counted)


def _fits(path: Path, key: VaultKey) -> bool:
    """Tell whether the key in a file opens the vault."""
    try:
        Vault(key.vault, load_key(path, WHAT)).close()
    except VaultError:
        return False
    return True


def _keep(old: bytes, path: Path) -> None:
    """Write a key to a file of its own, unless it is there already."""
    if path.exists() and load_key(path, WHAT) == old:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(old.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    _on_disk(path.parent)


def _take_place(key: VaultKey) -> None:
    key.next.replace(key.path)
    _on_disk(key.path.parent)


def _on_disk(folder: Path) -> None:
    """Wait until the names of files in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _writable(path: Path) -> None:
    """Check that a new key can take the place of the old one, before anything is done."""
    if not os.access(path.parent, os.W_OK):
        raise VaultError(
            f"vault key {path}: its folder may not be written, so that no new key can lie there"
        )


@contextmanager
def _alone(key: VaultKey) -> Iterator[None]:
    """Let one process at a time exchange the key; the lock ends with the process."""
    path = key.vault.with_name(key.vault.name + ".rotating")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise VaultError("another process exchanges the key of the vault now") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VaultError(f"{error.filename or path}: {error.strerror}") from error
