"""Frames over which a worker died: three times, and the engine is not asked about it again.

An engine is native code. A frame that makes it crash or hang would end one worker after another,
and no frame behind it would ever be looked at. So each worker notes in a file what it asks its
engine about; who starts next finds the notes of those that died with one in hand.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

MOST = 3
"""A worker that is killed for another reason dies over some frame, too; three times over the same
one is no accident."""

NOTE_BYTES = 256


class Strikes:
    """What the engine is being asked about now, and what workers of this machine died over.

    One worker, one object; the workers of a state folder share `folder`. Where nothing can be
    written there, nothing is noted: that is said once, and frames are scored all the same.

    Parameters
    ----------
    folder : made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = folder / "strikes.json"
        self._counted: dict[str, int] = {}
        self._seen_ns = 0
        self._file: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                self._collect()
                self._file = os.open(folder / f"{uuid.uuid4()}.note", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX)  # until this process ends, however it ends
                os.pwrite(self._file, b" " * NOTE_BYTES, 0)
        except OSError as error:
            self._give_up(error)

    def begin(self, name: str) -> int:
        """Note that the engine is asked about `name`; return how often workers died over it."""
        try:
            if self._file is not None:
                if self._folder.stat().st_mtime_ns != self._seen_ns:  # another one came, or counted
                    with self._locked():
                        self._collect()
                os.pwrite(self._file, name.encode()[:NOTE_BYTES].ljust(NOTE_BYTES), 0)
        except OSError as error:
            self._give_up(error)
        return self._counted.get(name, 0)

    def end(self) -> None:
        """Note that the engine has answered, or is asked no more."""
        try:
            if self._file is not None:
                os.pwrite(self._file, b" " * NOTE_BYTES, 0)
        except OSError as error:
            self._give_up(error)

    def knows(self, name: str) -> bool:
        """Tell whether workers died over a frame; from any thread."""
        return name in self._counted

    def settle(self, name: str) -> None:
        """Begin anew with a frame whose offset is committed; from any thread.

        Not earlier: a worker that dies over the next frame leaves those before it to be asked
        again, and each would cost three workers more.
        """
        if name not in self._counted:
            return
        try:
            with self._locked():
                self._counted.pop(name, None)
                self._write()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Note nothing any more: a disk that refuses must not keep a frame from being scored."""
        self._file, self._counted = None, {}
        log.warning("strikes are not kept", error=str(error))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder, with what all have counted."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._counted = self._read()
            yield
            self._seen_ns = self._folder.stat().st_mtime_ns

    def _collect(self) -> None:
        """Count what those had in hand that hold their notes no more."""
        before = dict(self._counted)
        for file in self._folder.glob("*.note"):
            with file.open("rb") as note:
                try:
                    fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # it lives
                name = note.read().decode(errors="replace").strip()
            if name:
                self._counted[name] = self._counted.get(name, 0) + 1
                log.warning("a worker died over a frame", name=name, times=self._counted[name])
            file.unlink()
        if self._counted != before:
            self._write()

    def _read(self) -> dict[str, int]:
        try:
            read = json.loads(self._ledger.read_text())
            return {str(name): int(count) for name, count in read.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError):
            log.warning("strikes begin anew", file=str(self._ledger), why="it is damaged")
            return {}

    def _write(self) -> None:
        draft = self._ledger.with_suffix(".new")
        draft.write_text(json.dumps(self._counted))
        draft.rename(self._ledger)
