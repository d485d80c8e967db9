"""In which order files are replayed, and when each of their frames is due. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Acquired:
    """When a file was acquired, by its device.

    start : None where the device did not say.
    offsets_s : of its frames, from the start; frames beyond them go with the last.
    """

    start: datetime | None = None
    offsets_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Files in the order of their acquisition.

    order : index of each file, as it was found.
    moments_s : of each file in that order, of each of its frames, from the beginning.
    """

    order: tuple[int, ...]
    moments_s: tuple[tuple[float, ...], ...]

    @property
    def duration_s(self) -> float:
        """Return for how long the device was at it."""
        return max((max(moments) for moments in self.moments_s), default=0.0)

    @property
    def longest_gap_s(self) -> float:
        """Return how long it rested between two files at most."""
        starts = [moments[0] for moments in self.moments_s]
        return max((b - a for a, b in pairwise(starts)), default=0.0)

    def due_s(self, file: int, frame: int) -> float:
        """Return when a frame is due, in seconds from the beginning; both count from 0."""
        moments = self.moments_s[file]
        return moments[min(frame, len(moments) - 1)]


def as_acquired(found: Sequence[Acquired], speed: float = 1.0) -> Schedule:
    """Return the schedule that devices had, `speed` times as fast.

    A file without a time goes with the file found before it, which is most often of its series;
    those with none before them go first.
    """
    starts: list[datetime | None] = []
    for one in found:
        starts.append(one.start or (starts[-1] if starts else None))
    known = [start for start in starts if start is not None]
    zero = min(known, default=None)

    def begin_s(index: int) -> float:
        start = starts[index]
        return 0.0 if start is None or zero is None else (start - zero).total_seconds() / speed

    order = sorted(range(len(found)), key=lambda index: (starts[index] is not None, begin_s(index)))
    moments = [
        tuple(begin_s(index) + offset / speed for offset in found[index].offsets_s or (0.0,))
        for index in order
    ]
    return Schedule(tuple(order), tuple(moments))


def shuffled(files: Sequence[T], chance: random.Random) -> list[T]:
    """Return the files in an order of chance: frames come as from many devices at once."""
    mixed = list(files)
    chance.shuffle(mixed)
    return mixed
