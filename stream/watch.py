"""Watches a worker from beside it: asks the broker, reads the pulse, keeps the judgement."""

import threading
import time

import structlog

from stream import metrics
from stream.health import Pulse, judge, own_lag
from wire.groups import GroupState, GroupWatch
from wire.health import Health
from wire.topic_admin import BrokerUnavailable

log = structlog.get_logger(__name__)

LOOK_S = 3.0
"""Between two looks at the group."""


class WorkerWatch:
    """A thread that asks the broker about a worker's group; `health` is answered from memory.

    Parameters
    ----------
    topic : the worker's input, as it is named on the cluster.
    """

    def __init__(self, pulse: Pulse, *, bootstrap: str, group: str, topic: str) -> None:
        self._pulse = pulse
        self._bootstrap = bootstrap
        self._group = group
        self._topic = topic
        self._state: GroupState | None = None
        self._trouble = ""
        self._answered = 0
        self._moved_s = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns at once."""
        self._end.set()

    def health(self) -> Health:
        """Return the judgement now. Thread-safe; never waits for anything."""
        now = time.monotonic()
        return judge(
            self._pulse.last(),
            self._state,
            now_s=now,
            stuck_for_s=now - self._moved_s,
            trouble=self._trouble,
        )

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with GroupWatch(self._bootstrap, self._group, self._topic) as watch:
                    while not self._end.wait(LOOK_S):
                        self._saw(watch.look())
            except BrokerUnavailable as error:
                self._state, self._trouble = None, str(error)
                self._moved_s = time.monotonic()
                log.warning("not ready", why=self._trouble)
                self._end.wait(LOOK_S)

    def _saw(self, state: GroupState) -> None:
        beat = self._pulse.last()
        moved = beat.answered != self._answered or own_lag(beat, state) == 0
        if moved:
            self._answered, self._moved_s = beat.answered, time.monotonic()
        self._state, self._trouble = state, ""
        metrics.LAG.labels(self._group).set(state.behind)
