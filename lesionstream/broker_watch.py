"""Asks now and then whether a broker answers and has the topics: for a producer's `/ready`."""

import threading
from collections.abc import Callable

import structlog

from wire import topic_admin
from wire.cluster import BrokerUnavailable, Cluster
from wire.errors import remedy_of
from wire.rights import PRODUCER
from wire.topics import Names

log = structlog.get_logger(__name__)

LOOK_S = 5.0


class BrokerWatch:
    """Asks now and then whether a broker answers and has the topics."""

    def __init__(self, cluster: Cluster, names: Names, end: threading.Event) -> None:
        self._cluster = cluster
        self._names = names
        self._end = end
        self._trouble: tuple[str, ...] = ("the broker was not asked yet",)

    def trouble(self) -> tuple[str, ...]:
        """Return what was wrong at the last look."""
        return self._trouble

    def run(self, also: Callable[[], None] = lambda: None) -> None:
        """Look until told to end; `also` is called at each look."""
        while True:
            also()
            try:
                trouble = topic_admin.lacking(self._cluster, self._names, PRODUCER)
            except BrokerUnavailable as error:
                trouble = error
            self._trouble = (f"{trouble}: {remedy_of(trouble)}",) if trouble else ()
            if self._trouble:
                log.warning("not ready", why=self._trouble[0])
            if self._end.wait(LOOK_S):
                return
