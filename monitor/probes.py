"""Whether broker and cache answer, asked each second; known even while the question hangs."""

import socket
import struct
import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from monitor.known import ProbeState

EVERY_S = 1.0
LIMIT_S = 1.0
"""An answer that takes longer is none: who waits for it sees old values meanwhile."""

SILENT_S = 5.0
"""Without a question asked for so long the prober itself hangs, and nothing is known."""

_API_VERSIONS = struct.pack(">hhih", 18, 0, 0, -1)  # key, version, correlation id, no client id


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


def ask_broker(bootstrap: str, within_s: float = LIMIT_S) -> None:
    """Ask any of the brokers which requests it knows (ApiVersions), by a connection of its own.

    By hand: a client library reconnects, waits and retries inside itself, and none can be told to
    be done within a second.

    Raises
    ------
    OSError   none answers in time.
    """
    addresses = bootstrap.split(",")
    for number, address in enumerate(addresses, 1):
        host, _, port = address.rpartition(":")
        try:
            _ask_one(host.strip("[]"), int(port), within_s / len(addresses))
            return
        except OSError:
            if number == len(addresses):
                raise


def _ask_one(host: str, port: int, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    with socket.create_connection((host, port), within_s) as connection:
        connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
        missing = 8  # length and correlation id
        while missing > 0:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            part = connection.recv(missing)
            if not part:
                raise ConnectionError("the broker closed the connection")
            missing -= len(part)


def ask_cache(url: str) -> Callable[[], None]:
    """Return a question to Redis that ends after `LIMIT_S`; it keeps its connection."""
    redis = Redis.from_url(
        url,
        socket_timeout=LIMIT_S,
        socket_connect_timeout=LIMIT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )

    def ask() -> None:
        redis.ping()

    return ask
