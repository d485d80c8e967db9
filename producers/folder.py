"""A folder into which devices drop files: which are whole, which are due, which are done.

Pure: a listing, what is remembered and the time come in; what is to be done comes out. Devices say
nowhere that a file is complete. It counts as whole once its size and time of change stood still
for a while, or once it was renamed from a name that says it is not.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

PARTIAL = (".part", ".tmp", ".filepart", ".crdownload")
"""Ends of names under which programs write what they rename when it is whole."""

SETTLE_S = 2.0
"""FAT and old network shares know times of change to 2 s: what changes later has another one."""

PATIENCE_S = 30.0
"""A copy over a network stalls for longer than `SETTLE_S` now and then: it is no broken file."""

LONGEST_WAIT_S = 3600.0
"""Between two attempts at a file that is left alone for now."""


class Stamp(NamedTuple):
    """What tells whether a file is still the same: size in bytes, time of change in ns."""

    size: int
    mtime_ns: int


class Step(Enum):
    """What is to be done with a file: publish it, the last time so, or clear it away."""

    PUBLISH = "publish"
    PUBLISH_OR_SET_ASIDE = "publish, and set aside what cannot be"
    CLEAR = "move or delete, all else was done"


@dataclass(frozen=True, slots=True)
class Done:
    """What is remembered of a file that was done.

    safe : every byte of it is on Kafka or in quarantine: it may be deleted.
    """

    stamp: Stamp
    safe: bool = True


@dataclass(frozen=True, slots=True)
class Due:
    """A file to be done now. since_s : when it was first seen as it is."""

    path: str
    stamp: Stamp
    step: Step
    since_s: float


@dataclass(slots=True)
class _Waiting:
    stamp: Stamp
    step: Step
    since_s: float
    not_before_s: float
    tries: int = 0
    why: str = ""


Listing = Iterable[tuple[str, Callable[[], Stamp | None]]]
"""Path of each file, and how to learn its stamp (None: it is gone)."""


def passed_over(name: str) -> bool:
    """Tell whether a name says that the file, or folder, is not for us yet."""
    return name.startswith(".") or name.lower().endswith(PARTIAL)


class Folder:
    """What is known of the files of one or more folders.

    Parameters
    ----------
    recall : what is remembered of a path from before; asked once for each file that is new here.
    clears : whether files are moved or deleted once they are done.
    settle_s : how long a file must stand still.
    patience_s : how long one that cannot be used must.

    Notes
    -----
    Knows each file that lies there now, and no other: memory is bounded by the folder.
    """

    def __init__(
        self,
        recall: Callable[[str], Done | None],
        *,
        clears: bool = False,
        settle_s: float = SETTLE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._recall = recall
        self._clears = clears
        self._settle_s = settle_s
        self._patience_s = max(patience_s, settle_s)
        self._done: dict[str, Stamp] = {}
        self._waiting: dict[str, _Waiting] = {}

    @property
    def waiting(self) -> int:
        """Return how many files are not done."""
        return len(self._waiting)

    @property
    def stuck(self) -> set[str]:
        """Return why files wait that are not to blame themselves."""
        return {item.why for item in self._waiting.values() if item.why}

    @property
    def done(self) -> Iterable[str]:
        """Return the paths of files that are done and lie there still."""
        return self._done.keys()

    def look(self, listing: Listing, now_s: float, *, thorough: bool = True) -> None:
        """Take in what lies there now; what is not listed is forgotten.

        Parameters
        ----------
        thorough : also ask whether files that are done have changed; else their names suffice.
        """
        done: dict[str, Stamp] = {}
        waiting: dict[str, _Waiting] = {}
        for path, stamp_of in listing:
            known = self._done.get(path)
            if known is not None and not thorough:
                done[path] = known
                continue
            stamp = stamp_of()
            if stamp is None:
                continue
            if stamp == known:
                done[path] = known
                continue
            before = self._waiting.get(path)
            if before is not None and before.stamp == stamp:
                waiting[path] = before
                continue
            remembered = self._recall(path) if before is None and known is None else None
            if remembered is None or remembered.stamp != stamp:
                waiting[path] = _Waiting(stamp, Step.PUBLISH, now_s, now_s + self._settle_s)
            elif self._clears and remembered.safe:
                waiting[path] = _Waiting(stamp, Step.CLEAR, now_s, now_s)
            else:
                done[path] = stamp
        self._done, self._waiting = done, waiting

    def due(self, now_s: float, limit: int) -> list[Due]:
        """Return what is to be done now, at most `limit` files, those changed longest ago first."""
        ready = (
            (item.stamp.mtime_ns, path)
            for path, item in self._waiting.items()
            if item.not_before_s <= now_s
        )
        return [
            Due(path, item.stamp, item.step, item.since_s)
            for _, path in heapq.nsmallest(limit, ready)
            for item in [self._waiting[path]]
        ]

    def finished(self, path: str, done: Done, now_s: float) -> bool:
        """Note that a file is done with; return whether it is to be cleared away now."""
        self._waiting.pop(path, None)
        if self._clears and done.safe:
            self._waiting[path] = _Waiting(done.stamp, Step.CLEAR, now_s, now_s)
            return True
        self._done[path] = done.stamp
        return False

    def gone(self, path: str) -> None:
        """Note that a file is not there any more, or not as it was: the next look tells."""
        self._waiting.pop(path, None)

    def unusable(self, path: str) -> None:
        """Note that a file holds something that cannot be used: it may not be whole after all."""
        item = self._waiting[path]
        item.step = Step.PUBLISH_OR_SET_ASIDE
        item.not_before_s = item.since_s + self._patience_s

    def in_vain(self, path: str, now_s: float, why: str) -> None:
        """Note that a step failed for a reason outside the file; waits twice as long each time."""
        item = self._waiting[path]
        item.why = why
        item.not_before_s = now_s + min(self._patience_s * 2**item.tries, LONGEST_WAIT_S)
        item.tries = min(item.tries + 1, 16)
