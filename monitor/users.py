"""The file of users: who has a password, which program has a token; as hashes alone."""

import hashlib
import os
import re
import secrets
import stat
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from argon2 import PasswordHasher

from monitor.shapes import Role

ROLES: tuple[Role, ...] = get_args(Role)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class UsersFileError(Exception):
    """The file of users cannot be used.

    Operator action: correct what is named; ``lesionstream users`` writes the file as it must be,
    and only its owner may read it (``chmod 600``).
    """


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the file: what somebody may do, and the hash of what proves it is they."""

    role: Role
    secret: str


class Users:
    """The file of users, read again when it changes. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._people: dict[str, Entry] = {}
        self._tokens: dict[str, Entry] = {}

    def people(self) -> dict[str, Entry]:
        """Return who has a password, by name."""
        self._refresh()
        return self._people

    def tokens(self) -> dict[str, Entry]:
        """Return who has a token, by name."""
        self._refresh()
        return self._tokens

    def add(self, name: str, role: Role, password: str) -> None:
        """Let a person in, or change role and password."""
        self._write(name, people={name: Entry(role, PasswordHasher().hash(password))})

    def add_token(self, name: str, role: Role) -> str:
        """Let a program in; return its token, which is kept nowhere."""
        token = secrets.token_urlsafe(32)
        self._write(name, tokens={name: Entry(role, sha256(token))})
        return token

    def remove(self, name: str) -> bool:
        """Take out a person or program; tell whether there was one."""
        known = name in self.people() or name in self.tokens()
        if known:
            self._write(name)
        return known

    def _write(
        self,
        name: str,
        *,
        people: dict[str, Entry] | None = None,
        tokens: dict[str, Entry] | None = None,
    ) -> None:
        if not NAME.fullmatch(name):
            raise UsersFileError(f"{name!r} is no name: letters, digits and . _ @ - alone")
        self._refresh()
        lines = []
        for table, key, known, more in [
            ("users", "password", self._people, people or {}),
            ("tokens", "sha256", self._tokens, tokens or {}),
        ]:
            kept = {n: e for n, e in known.items() if n != name} | more
            for who, entry in sorted(kept.items()):
                words = [
                    f'[{table}."{who}"]',
                    f'role = "{entry.role}"',
                    f'{key} = "{entry.secret}"',
                ]
                lines += [*words, ""]
        _write_private(self._path, "\n".join(lines))

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            with self._lock:
                self._mark, self._people, self._tokens = None, {}, {}
            return
        except OSError as error:
            raise UsersFileError(f"{self._path}: {error.strerror}") from error
        mark = (found.st_ctime_ns, found.st_size, found.st_ino)
        with self._lock:
            if mark == self._mark:
                return
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise UsersFileError(f"{self._path} can be read by others: chmod 600 {self._path}")
            self._people, self._tokens = _read(self._path)
            self._mark = mark


def sha256(text: str) -> str:
    """Return the hash of a secret that is random itself: a token, or a password's hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Entry], dict[str, Entry]]:
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsersFileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsersFileError(f"{path}: {error}") from error
    return _entries(path, tables, "users", "password"), _entries(path, tables, "tokens", "sha256")


def _entries(path: Path, tables: dict[str, Any], table: str, key: str) -> dict[str, Entry]:
    found = {}
    for name, values in dict(tables.get(table, {})).items():
        where = f"{path}: {table}.{name}"
        if not NAME.fullmatch(name):
            raise UsersFileError(f"{where} is no name")
        if not isinstance(values, dict) or not isinstance(values.get(key), str):
            raise UsersFileError(f"{where} has no {key}")
        if values.get("role") not in ROLES:
            raise UsersFileError(f"{where}: its role is none of {', '.join(ROLES)}")
        found[name] = Entry(values["role"], values[key])
    return found


def _write_private(path: Path, text: str) -> None:
    """Put a file in place as a whole, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
