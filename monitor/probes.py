"""Whether broker and cache answer, asked each second; known even while the question hangs."""

import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from monitor.known import ProbeState
from wire.cache_server import CacheServer

EVERY_S = 1.0
LIMIT_S = 1.0
"""An answer that takes longer is none: who waits for it sees old values meanwhile."""

SILENT_S = 5.0
"""Without a question asked for so long the prober itself hangs, and nothing is known."""


class Probe:
    """Asks one question for ever, in a thread of its own.

    Parameters
    ----------
    ask : returns where all is well; raises where it is not. May hang.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._asked_s: float | None = None
        self._waiting = False
        self._well: bool | None = None

    def run(self, stop: threading.Event) -> None:
        """Ask until told to stop."""
        while not stop.is_set():
            self._asked_s, self._waiting = time.monotonic(), True
            try:
                self._ask()
                self._well = time.monotonic() - self._asked_s <= LIMIT_S
            except (OSError, RedisError):
                self._well = False
            self._waiting = False
            stop.wait(EVERY_S)

    def state(self, now_s: float) -> ProbeState:
        """Return how it is at a moment (monotonic seconds)."""
        asked_s, waiting, well = self._asked_s, self._waiting, self._well
        if asked_s is None:
            return "unknown"
        if waiting and now_s - asked_s > LIMIT_S:
            return "away"
        if well is None or now_s - asked_s > SILENT_S:
            return "unknown"
        return "ok" if well else "away"


def ask_cache(server: CacheServer) -> Callable[[], None]:
    """Return a question to Redis that ends after `LIMIT_S`; it keeps its connection."""
    redis = Redis.from_url(
        **server.client(),
        socket_timeout=LIMIT_S,
        socket_connect_timeout=LIMIT_S,
        retry=Retry(NoBackoff(), 0),
    )

    def ask() -> None:
        redis.ping()

    return ask
