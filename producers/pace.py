"""How fast frames are sent."""

import time


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
