"""A copy of the vault, checked before it is called a backup."""

import contextlib
import os
from pathlib import Path

from identity.vault import Counted, Vault, VaultError
from identity.vault_key import VaultKey


def back_up(key: VaultKey, to: Path) -> Counted:
    """Copy the vault as it is at one moment to a new file, and open every entry of the copy.

    The key is not in it, and must be kept elsewhere.

    Raises
    ------
    VaultError     `to` is there already, or cannot be written; the vault cannot be read.
    KeyFileError   the key cannot be read.
    """
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        if to.exists():
            raise FileExistsError
        with key.open() as vault:
            vault.copy(draft)
        with Vault(draft, key) as copy:
            counted = copy.count()
        _on_disk(draft)
        _named(draft, to)
        _on_disk(to.parent)
    except FileExistsError as error:
        raise VaultError(
            f"{to} is there already: a backup is never written over another"
        ) from error
    except OSError as error:
        raise VaultError(f"{to}: {error.strerror}") from error
    finally:
        for rest in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                draft.with_name(draft.name + rest).unlink(missing_ok=True)
    return counted


def _named(draft: Path, to: Path) -> None:
    """Give the copy its name, unless something has it meanwhile."""
    try:
        os.link(draft, to)
    except FileExistsError:
        raise
    except OSError:  # file systems of sticks and shares have no links
        if to.exists():
            raise FileExistsError from None
        draft.rename(to)


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
