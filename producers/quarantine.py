"""The quarantine folder: what could not be made into frames, kept as it came.

It may hold names of patients: mode 0600, bounded, and never published. Each object lies there once
(its name is its sha256) with a side-car JSON that says why and where it came from.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from wire.envelope import rfc3339
from wire.errors import FrameError

MAX_BYTES = 10 << 30
"""Of all objects together. A full quarantine takes no more: what comes then is only reported."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One object in quarantine.

    sha256 : of its bytes; its name.
    """

    sha256: str
    reason: str
    detail: str
    source: str
    size_bytes: int
    time: str


class QuarantineFull(Exception):
    """The quarantine folder has reached its bound; the object was not kept.

    Operator action: look at ``lesionstream dead-letters list``, replay or delete what lies there.
    """


class Quarantine:
    """The quarantine of one producer.

    Parameters
    ----------
    folder : made with mode 0700 when first used.
    max_bytes : bound of all objects together.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def put(
        self, sha256: str, chunks: Iterable[bytes], error: FrameError, source: str
    ) -> Quarantined:
        """Keep an object; one that lies there already is left as it is.

        Raises
        ------
        QuarantineFull   there is no room; nothing was kept.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self._read(self._folder / f"{sha256}.json")
        if known is not None:
            return known
        size = self._write_object(self._folder / sha256, chunks)
        entry = Quarantined(
            sha256, error.reason, error.detail, source, size, rfc3339(datetime.now(UTC))
        )
        self._write(self._folder / f"{sha256}.json", [json.dumps(asdict(entry)).encode()])
        return entry

    def entries(self) -> list[Quarantined]:
        """Return all entries, oldest first."""
        found = [self._read(path) for path in self._folder.glob("*.json")]
        return sorted((entry for entry in found if entry is not None), key=lambda e: e.time)

    def path(self, sha256: str) -> Path:
        """Return where the bytes of an entry lie."""
        return self._folder / sha256

    def remove(self, sha256: str) -> None:
        """Take an object out, after it was replayed."""
        for name in (f"{sha256}.json", sha256):
            (self._folder / name).unlink(missing_ok=True)

    def _write_object(self, path: Path, chunks: Iterable[bytes]) -> int:
        used = sum(p.stat().st_size for p in self._folder.iterdir() if p.is_file())
        return self._write(path, self._bounded(chunks, self._max_bytes - used))

    @staticmethod
    def _bounded(chunks: Iterable[bytes], room: int) -> Iterable[bytes]:
        for chunk in chunks:
            room -= len(chunk)
            if room < 0:
                raise QuarantineFull("the quarantine folder is full; the object was not kept")
            yield chunk

    @staticmethod
    def _write(path: Path, chunks: Iterable[bytes]) -> int:
        """Write beside `path` and rename: a killed process leaves no half object."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                size = sum(file.write(chunk) for chunk in chunks)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        return size

    @staticmethod
    def _read(path: Path) -> Quarantined | None:
        try:
            return Quarantined(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
