"""Watch folders into which devices drop files, and publish each new file to `frames`.

By looking again and again, not by inotify: a network share sends no events for what other machines
write. Names of files may hold names of patients: none is logged, counted or published.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from producers import metrics
from producers.clearing import Clear
from producers.dropped import DONE, Fate, Taken, Taker
from producers.folder import Done, Due, Folder, Stamp, Step, passed_over
from producers.folder_ledger import Ledger
from producers.publisher import Publisher, PublishError
from wire.decode_pool import DecoderUnavailable

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/watch"

PUBLISH_MS = 10_000
"""How long a frame may wait for the broker before the folder is left alone for a while."""

LOOK_S = 1.0
"""Between two looks at the folders, or so much longer that looking takes a tenth of the time."""

THOROUGH_S = 30.0
"""Between two looks at files that are done: have they changed? Or a fiftieth of the time."""

BATCH = 64
"""Files confirmed together: waiting for each alone would cost a round trip to the broker."""

BATCH_S = 1.0
"""After so long a batch ends with the file in hand: all of it is repeated after a kill."""

AGAIN_S = 3.0
"""After the broker took nothing."""

DAY_S = 86_400


class FolderWatch:
    """Watches folders until told to stop. One thread.

    Parameters
    ----------
    roots : absolute; none lies within another.
    connect : makes a publisher; called again after one failed.
    ledger : what was done before.
    clear : moves or deletes what is done; None leaves it.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        connect: Callable[[], Publisher],
        *,
        taker: Taker,
        ledger: Ledger,
        settle_s: float,
        patience_s: float,
        clear: Clear | None = None,
    ) -> None:
        self._roots = roots
        self._connect = connect
        self._publisher: Publisher | None = None
        self._taker = taker
        self._ledger = ledger
        self._clear = clear
        self._folder = Folder(
            self._recalled, clears=clear is not None, settle_s=settle_s, patience_s=patience_s
        )
        self._troubles: dict[str, str] = {}
        self._look_s = self._thorough_s = self._send_s = float("-inf")
        self._tidied_day = 0
        self.alive_s = time.monotonic()
        self.published = self.unusable = self.links = 0

    @property
    def waiting(self) -> int:
        """Return how many files are not done."""
        return self._folder.waiting

    @property
    def trouble(self) -> tuple[str, ...]:
        """Return what is wrong now, in words without names of files."""
        return tuple(self._troubles.copy().values())

    def run(self, stop: threading.Event) -> None:
        """Watch until told to stop; what goes wrong is said in `trouble` and tried again."""
        try:
            while not stop.is_set():
                if not self.step(time.monotonic(), stop.is_set):
                    stop.wait(max(0.05, min(LOOK_S, self._look_s - time.monotonic())))
        finally:
            self._drop()

    def step(self, now_s: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Look if it is time to, and do what is due; return whether there was anything."""
        self.alive_s = now_s
        if now_s >= self._look_s:
            self._look(now_s)
        due = self._folder.due(now_s, BATCH) if now_s >= self._send_s else []
        to_clear = [item for item in due if item.step is Step.CLEAR]
        for item in to_clear:
            self._clear_away(item.path, item.stamp, now_s)
        to_publish = [item for item in due if item.step is not Step.CLEAR]
        if to_publish:
            self._publish(to_publish, now_s, stop)
        metrics.WAITING.set(self._folder.waiting)
        return bool(due)

    def _look(self, now_s: float) -> None:
        began_s = time.monotonic()
        thorough = now_s >= self._thorough_s
        self.links = 0
        self._folder.look(
            (entry for root in self._roots for entry in self._listed(root)),
            now_s,
            thorough=thorough,
        )
        took_s = time.monotonic() - began_s
        self._look_s = now_s + max(LOOK_S, 10 * took_s)
        if thorough:
            self._thorough_s = now_s + max(THOROUGH_S, 50 * took_s)
        self._tidy(int(time.time() // DAY_S))
        stuck = "; ".join(sorted(self._folder.stuck))
        self._say("stuck", f"files wait: {stuck}" if stuck else None)

    def _listed(self, root: Path) -> Iterator[tuple[str, Callable[[], Stamp | None]]]:
        """Yield every file below a root. Links are not followed: who knows what they lead to."""
        closed: str | None = None
        folders = [os.fspath(root)]
        while folders:
            folder = folders.pop()
            self.alive_s = time.monotonic()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if passed_over(entry.name):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            yield entry.path, partial(_stamp, entry)
                        else:
                            self.links += 1
            except FileNotFoundError as error:
                if folder == os.fspath(root):
                    closed = error.strerror
            except OSError as error:
                closed = error.strerror or type(error).__name__
        self._say(f"folder {root}", closed and f"{root} cannot be read as a whole: {closed}")

    def _publish(self, batch: list[Due], now_s: float, stop: Callable[[], bool]) -> None:
        taken: list[tuple[Due, Taken]] = []
        began_s = time.monotonic()

        def beat() -> bool:
            self.alive_s = time.monotonic()
            return stop()

        try:
            self._publisher = self._publisher or self._connect()
            for due in batch:
                taken.append((due, self._taken(due, self._publisher, beat)))
                if beat() or self.alive_s > began_s + BATCH_S:
                    break
            self._publisher.flush()
        except (PublishError, DecoderUnavailable) as error:
            self._say("publishing", f"nothing is published, files are kept: {error}")
            self._send_s = time.monotonic() + AGAIN_S
            self._drop()
            return
        self._say("publishing", None)
        metrics.FRAMES_PUBLISHED.inc(sum(one.frames for _, one in taken))
        self._finish(taken, now_s)

    def _taken(self, due: Due, publisher: Publisher, stop: Callable[[], bool]) -> Taken:
        received = datetime.now(UTC) - timedelta(seconds=time.monotonic() - due.since_s)
        try:
            return self._taker.take(due, received, publisher, stop)
        except OSError as error:
            return Taken(Fate.UNREADABLE, detail=error.strerror or type(error).__name__)

    def _finish(self, taken: list[tuple[Due, Taken]], now_s: float) -> None:
        """Note what became of files whose frames are confirmed, and clear away what is done."""
        done = [
            (due, Done(due.stamp, safe=one.fate is not Fate.TOO_LARGE_TO_KEEP), one)
            for due, one in taken
            if one.fate in DONE
        ]
        try:
            if done:
                day = int(time.time() // DAY_S)
                self._ledger.record([(due.path, note) for due, note, _ in done], day)
                self._say("ledger", None)
        except sqlite3.Error as error:
            self._say("ledger", f"after a restart files are published again: {error}")
        for due, one in taken:
            if one.fate is Fate.CHANGED:
                self._folder.gone(due.path)
            elif one.fate is Fate.UNUSABLE:
                self._folder.unusable(due.path)
            elif one.fate not in DONE:
                self._folder.in_vain(due.path, now_s, f"{one.fate.value}: {one.detail}")
        for due, note, one in done:
            self._count(one)
            if self._folder.finished(due.path, note, now_s):
                self._clear_away(due.path, due.stamp, now_s)
        self._tell([one for _, one in taken])

    def _count(self, one: Taken) -> None:
        good = one.fate is Fate.PUBLISHED
        self.published += good
        self.unusable += not good
        metrics.WATCHED.labels("published" if good else "unusable").inc()

    def _tell(self, taken: list[Taken]) -> None:
        frames = sum(one.frames for one in taken)
        files = sum(one.fate is Fate.PUBLISHED for one in taken)
        if frames:
            log.info("published", frames=frames, whole_files=files)
        for one in taken:
            if one.fate in (Fate.SET_ASIDE, Fate.TOO_LARGE_TO_KEEP):
                log.warning("not a frame", why=one.detail, fate=one.fate.value)

    def _clear_away(self, path: str, stamp: Stamp, now_s: float) -> None:
        assert self._clear is not None  # noqa: S101 -- only then is anything to be cleared
        try:
            self._clear(path, stamp)
        except OSError as error:
            why = f"done, cannot be moved or deleted: {error.strerror or type(error).__name__}"
            self._folder.in_vain(path, now_s, why)
            return
        self._folder.gone(path)
        try:
            self._ledger.forget(path)
        except sqlite3.Error as error:
            self._say("ledger", f"cannot be written: {error}")

    def _recalled(self, path: str) -> Done | None:
        try:
            return self._ledger.recall(path)
        except sqlite3.Error as error:
            self._say("ledger", f"what was done before is not known: {error}")
            return None

    def _tidy(self, day: int) -> None:
        if day == self._tidied_day:
            return
        try:
            self._ledger.tidy(self._folder.done, day)
            self._tidied_day = day
        except sqlite3.Error as error:
            self._say("ledger", f"cannot be written: {error}")

    def _say(self, about: str, words: str | None) -> None:
        """Keep what is wrong, and log it when it begins, changes or ends."""
        before = self._troubles.get(about)
        if words == before:
            return
        if words is None:
            del self._troubles[about]
            log.info("well again", was=before)
        else:
            self._troubles[about] = words
            log.warning("trouble", why=words, remedy="tried again")

    def _drop(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return None  # gone, or its folder is going: the next look tells
    return Stamp(found.st_size, found.st_mtime_ns)
