"""Watches a worker from beside it: asks the broker, reads the pulse, ends what hangs."""

import os
import threading
import time
from collections.abc import Callable

import structlog

from stream import metrics
from stream.health import Beat, Pulse, Still, judge, own_lag, standing
from wire.cluster import BrokerUnavailable, Cluster
from wire.groups import GroupState, GroupWatch
from wire.health import Health

log = structlog.get_logger(__name__)

LOOK_S = 3.0
"""Between two looks at the group."""

OLD_S = 20.0
"""A look that is older says nothing any more."""

EXIT_HANGS = 71


class WorkerWatch:
    """A thread that asks the broker about a worker's group; `health` is answered from memory.

    A worker that is judged dead is ended: whatever supervises it starts it again, and it repeats
    what was not acknowledged.

    Parameters
    ----------
    topic : the worker's input, as it is named on the cluster.
    end : ends the process at once.
    """

    def __init__(
        self,
        pulse: Pulse,
        *,
        cluster: Cluster,
        group: str,
        topic: str,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._pulse = pulse
        self._cluster = cluster
        self._group = group
        self._topic = topic
        self._end = end
        self._seen: tuple[float, GroupState] | None = None
        self._trouble = ""
        self._last = Beat()
        self._still: Still = {}
        self._moved_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look; it ends with the process."""
        self._thread.start()

    def health(self) -> Health:
        """Return the judgement now. Thread-safe; never waits for anything."""
        now = time.monotonic()
        seen = self._seen
        fresh = seen is not None and now - seen[0] < OLD_S
        return judge(
            self._pulse.last(),
            seen[1] if seen is not None and fresh else None,
            now_s=now,
            stuck_for_s=now - self._moved_s,
            still=self._still,
            trouble=self._trouble,
        )

    def _run(self) -> None:
        while True:
            try:
                with GroupWatch(self._cluster, self._group, self._topic) as watch:
                    while True:
                        self._saw(watch.look())
                        self._rest()
            except BrokerUnavailable as error:
                self._seen, self._trouble, self._still = None, str(error), {}
                self._moved_s = time.monotonic()
                log.warning("not ready", why=self._trouble)
                self._rest()

    def _rest(self) -> None:
        """Wait for the next look; end the process where it hangs."""
        time.sleep(LOOK_S)
        found = self.health()
        if found.dead:
            log.error("hangs", why=found.dead, remedy="ended, to be started again")
            self._end(EXIT_HANGS)

    def _saw(self, state: GroupState) -> None:
        beat = self._pulse.last()
        marks = (beat.answered, beat.in_hand_since_s)
        moved = marks != (self._last.answered, self._last.in_hand_since_s) or beat.loading
        if moved or own_lag(beat, state) == 0:
            self._moved_s = time.monotonic()
        self._last = beat
        self._still = standing(self._still, beat, state, time.monotonic())
        self._seen, self._trouble = (time.monotonic(), state), ""
        metrics.LAG.labels(self._group).set(state.behind)
