"""How fast frames are sent."""

import time
from collections.abc import Callable

from producers.order import Schedule

LONGEST_SLEEP_S = 3600.0
"""At a time: a wrong date makes a gap of centuries, for which no system sleeps."""


class Pace:
    """Let at most `fps` frames a second pass; None for as fast as they come."""

    def __init__(self, fps: float | None) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        self._next_s = time.monotonic()

    def wait(self) -> None:
        """Wait until the next one may go."""
        now = time.monotonic()
        if self._next_s > now:
            time.sleep(self._next_s - now)
        self._next_s = max(now, self._next_s) + self._interval_s


class AsScheduled:
    """Let each frame pass when it is due; one that is late passes at once, and makes none late.

    Parameters
    ----------
    now_s, sleep : the clock; another one in tests.
    """

    def __init__(
        self,
        schedule: Schedule,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._schedule = schedule
        self._now_s = now_s
        self._sleep = sleep
        self._began_s: float | None = None

    def wait(self, file: int, frame: int) -> None:
        """Wait until a frame is due; both count from 0, in the order of the schedule."""
        due_s = self._schedule.due_s(file, frame)
        if self._began_s is None:
            self._began_s = self._now_s() - due_s  # the first one goes at once
        while (rest_s := self._began_s + due_s - self._now_s()) > 0:
            self._sleep(min(rest_s, LONGEST_SLEEP_S))
