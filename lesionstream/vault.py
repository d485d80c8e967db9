"""`vault backup|check|rotate-key`: the names of patients, kept and kept apart from their key."""

from pathlib import Path

from identity.backup import back_up
from identity.vault import VaultError
from identity.vault_key import VaultKey, rotate
from lesionstream import audit
from lesionstream.console import say
from lesionstream.settings import settings

BACKUP = "vault backup"
ROTATION = "vault rotate-key"


def vault_key() -> VaultKey:
    """Return where the vault of the state folder, and its key, lie."""
    wanted = settings()
    return VaultKey(wanted.names_key_file, wanted.vault)


def backup(to: Path, reason: str) -> int:
    """Copy the vault; return the exit code."""
    counted = back_up(_existing(), to.absolute())
    audit.note(BACKUP, reason, file=str(to.absolute()), names=counted.names)
    say(f"{counted.names} names copied to {to}, and each was opened there")
    if counted.damaged:
        say(f"{counted.damaged} entries are damaged, here as in the vault", style="yellow")
    say(f"without its key nobody can read it: keep {vault_key().path} too, but elsewhere")
    return 1 if counted.damaged else 0


def check(reason: str) -> int:
    """Open every entry; return the exit code."""
    with _existing().open() as vault:
        counted = vault.count()
    audit.note("vault check", reason, names=counted.names, damaged=counted.damaged)
    say(f"{counted.names} names open, {counted.damaged} entries are damaged")
    if counted.damaged:
        say("they heal as images of these patients come again; else restore a backup")
    return 1 if counted.damaged else 0


def rotate_key(reason: str, keep_old: Path | None) -> int:
    """Exchange the key; return the exit code."""
    key = _existing()
    audit.note(ROTATION, reason, state="begun")
    done = rotate(key, keep_old.absolute() if keep_old else None)
    counted = done.counted
    audit.note(ROTATION, reason, state="done", names=counted.names, damaged=counted.damaged)
    if done.finished:
        say("a rotation that was interrupted is finished now; its key is the key")
    say(f"{counted.names} names are encrypted under the key that is in {key.path} now")
    say("backups from before open with the key of their time; make a new one")
    return 1 if counted.damaged else 0


def _existing() -> VaultKey:
    key = vault_key()
    if not key.vault.exists():
        raise VaultError(f"there is no vault at {key.vault}: it comes with the first image")
    return key
