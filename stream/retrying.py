"""Asking again what may answer the next time: after short pauses of chance, within a budget.

A runtime that fails once (memory, a driver) may be well a moment later. One that fails for every
frame is not, and must not make a whole queue wait: pauses are paid from a purse that only frames
fill which were answered at once. The order of a partition is promised, so the pauses are waited for
in place.
"""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSES_S = (0.1, 0.4, 1.5)
"""The longest pause before the second, third and fourth attempt: 2 s in all. Each is drawn between
0 and this ("full jitter"), so that workers who lost one device do not come back to it at once."""

PURSE_S = 6.0
"""Waited at most, in all, while nothing is well in between: three frames with all their pauses,
six on average."""

EARNED_S = 0.1
"""What a frame that is answered at once puts back: failing frames among good ones at most double
the time of a frame of 0.1 s."""


class GaveUp(Exception):
    """It failed each time; `__cause__` is how it failed last.

    Operator action: none; it is told as what it means for the frame.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(attempts)
        self.attempts = attempts


class Retry:
    """Asks again, with pauses, while the purse lasts; then once only. One thread.

    Parameters
    ----------
    chance : draws from [0, 1), such as `random.random`.
    sleep : waits so many seconds, such as `time.sleep`.
    pauses_s : the longest pause before each further attempt.
    """

    def __init__(
        self,
        *,
        chance: Callable[[], float],
        sleep: Callable[[float], object],
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._chance = chance
        self._sleep = sleep
        self._pauses_s = pauses_s
        self._purse_s = PURSE_S

    def ask(self, question: Callable[[], T], may_pass: Callable[[Exception], bool]) -> T:
        """Return the answer to `question`; whatever it raises that cannot pass is raised at once.

        Parameters
        ----------
        may_pass : whether it may answer the next time, by what it raised.

        Raises
        ------
        GaveUp   it failed each time.
        """
        for attempt in range(1, len(self._pauses_s) + 2):
            try:
                answer = question()
            except Exception as error:  # the caller says what of it may pass
                if not may_pass(error):
                    self._earn(attempt)
                    raise
                if not self._waited(attempt):
                    raise GaveUp(attempt) from error
            else:
                self._earn(attempt)
                return answer
        raise AssertionError("there is no pause after the last attempt")

    def _waited(self, attempt: int) -> bool:
        """Wait before the next attempt; False where there is none, or no purse for it."""
        if attempt > len(self._pauses_s) or self._purse_s < self._pauses_s[attempt - 1]:
            return False
        pause_s = self._chance() * self._pauses_s[attempt - 1]
        self._purse_s -= pause_s
        self._sleep(pause_s)
        return True

    def _earn(self, attempt: int) -> None:
        if attempt == 1:
            self._purse_s = min(PURSE_S, self._purse_s + EARNED_S)
