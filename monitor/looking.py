"""Questions that may hang, each asked again and again in a thread of its own.

Who wants the answer takes the last one, if it is fresh, and never waits.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import structlog

from wire.cluster import BrokerUnavailable

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
Ask = Callable[[], Answer]

AGAIN_S = 1.0
"""After a connection failed."""


class Looker(Generic[Answer]):
    """Asks one question for ever.

    Parameters
    ----------
    connect : yields the question; entered again after it failed.
    every_s : between an answer and the next question.
    fresh_s : an answer that is older says nothing any more.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractContextManager[Ask[Answer]]],
        *,
        every_s: float,
        fresh_s: float,
    ) -> None:
        self._name = name
        self._connect = connect
        self._every_s = every_s
        self._fresh_s = fresh_s
        self._found: tuple[float, Answer] | None = None

    def start(self, stop: threading.Event) -> threading.Thread:
        """Begin to ask, until told to stop; a question that hangs ends with the process."""
        thread = threading.Thread(target=self._run, args=[stop], name=self._name, daemon=True)
        thread.start()
        return thread

    def last(self) -> Answer | None:
        """Return the last answer; None where there is none that is fresh. Never waits."""
        found = self._found
        if found is None or time.monotonic() - found[0] > self._fresh_s:
            return None
        return found[1]

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with self._connect() as ask:
                    while not stop.is_set():
                        answer = ask()
                        self._found = time.monotonic(), answer
                        stop.wait(self._every_s)
            except (BrokerUnavailable, OSError) as error:
                self._found = None
                log.debug("not known", what=self._name, why=str(error))
                stop.wait(AGAIN_S)
