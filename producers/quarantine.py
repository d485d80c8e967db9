"""The quarantine folder: what could not be made into frames, kept as it came.

It may hold names of patients: mode 0600, bounded, and never published. Each object lies there once
(its name is its sha256) with a side-car JSON that says why and where it came from.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from wire.envelope import rfc3339
from wire.errors import FrameError
from wire.topics import FRAMES, Topic

MAX_BYTES = 10 << 30
"""Of all objects together. A full quarantine takes no more: what comes then is only reported."""

COUNT_EVERY_S = 10.0
COUNT_SHARE = 0.02
"""Other processes put and remove, too, so what lies there is counted anew: at most every 10 s, and
more rarely where that takes long, for no more than 2 % of the time. In between this process adds
what it puts."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One object in quarantine.

    sha256 : of its bytes; its name.
    topic : name of the topic on which its frames belong, `frames` or `frames.stat`.
    """

    sha256: str
    reason: str
    detail: str
    source: str
    size_bytes: int
    time: str
    topic: str = FRAMES.name


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
    now_s : a clock that only moves forward, s.

    Notes
    -----
    Thread-safe. Putting an object costs the same however many lie there.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = MAX_BYTES,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._now_s = now_s
        self._lock = threading.Lock()
        self._used = 0
        self._count_at_s = float("-inf")

    def put(
        self,
        sha256: str,
        chunks: Iterable[bytes],
        error: FrameError,
        source: str,
        topic: Topic = FRAMES,
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
        size = self._write_bounded(self._folder / sha256, chunks)
        now = rfc3339(datetime.now(UTC))
        entry = Quarantined(sha256, error.reason, error.detail, source, size, now, topic.name)
        side_car = [json.dumps(asdict(entry)).encode()]
        written = self._write(self._folder / f"{sha256}.json", side_car)
        with self._lock:
            self._used += written
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

    def _write_bounded(self, path: Path, chunks: Iterable[bytes]) -> int:
        taken = 0

        def bounded() -> Iterable[bytes]:
            nonlocal taken
            for chunk in chunks:
                self._take(len(chunk))
                taken += len(chunk)
                yield chunk

        try:
            return self._write(path, bounded())
        except BaseException:
            with self._lock:
                self._used -= taken
            raise

    def _take(self, size: int) -> None:
        """Take room for some bytes."""
        with self._lock:
            if self._now_s() >= self._count_at_s:
                began_s = self._now_s()
                self._used = _bytes_in(self._folder)
                ended_s = self._now_s()
                rest_s = max(COUNT_EVERY_S, (ended_s - began_s) / COUNT_SHARE)
                self._count_at_s = ended_s + rest_s
            if self._used + size > self._max_bytes:
                raise QuarantineFull("the quarantine folder is full; the object was not kept")
            self._used += size

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


def _bytes_in(folder: Path) -> int:
    """Return the size of all files; one that goes meanwhile has none."""
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_size
    return total
