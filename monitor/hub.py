"""The threads that read Kafka and look after it; what they find stands on the `Board`."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from monitor.board import Board
from monitor.known import Known, ProbeState
from monitor.probes import LIMIT_S, Probe, ask_cache
from monitor.symptoms import WORKERS
from wire import following
from wire.cache_server import CacheServer
from wire.cluster import BrokerUnavailable, Cluster
from wire.contact import greet
from wire.following import Ends, Follower
from wire.groups import GroupState, GroupWatch, wanted
from wire.topics import ALERTS, DEAD_LETTERS, INPUT, PATIENTS, RESULTS, Names, Topic

log = structlog.get_logger(__name__)

RESULTS_S = 24 * 3600.0
"""As long as `frames` keeps what the findings are about."""

MOST_RESULTS = 50_000
"""Of each partition; beyond it the oldest frames are not offered after a restart."""

ALERTS_READ = 20_000
"""Five hours of heartbeats: what is remembered of what was said."""

LETTERS_READ = 30
"""Of each partition: their payloads come with them, half a megabyte each."""

LOOK_S = 2.0
OLD_S = 10.0
"""A look at a group that is older says nothing; a reader that did not ask for so long hangs."""

STOP_S = 3.0


class Hub:
    """Reads everything the monitor shows, through every outage.

    Parameters
    ----------
    cache : only asked whether it answers.
    """

    def __init__(
        self, cluster: Cluster, cache: CacheServer, names: Names, board: Board | None = None
    ) -> None:
        self.board = board or Board()
        self._cluster = cluster
        self._names = names
        self._stop = threading.Event()
        self._bells: list[Callable[[], None]] = []
        self._groups: dict[str, tuple[float, GroupState | None]] = {}
        self._broker = Probe(lambda: greet(cluster, LIMIT_S))
        self._cache = Probe(ask_cache(cache))
        take = self.board
        self._alerts = self._follower(
            ALERTS,
            following.newest(ALERTS_READ),
            take.take_alert,
            opened=lambda first, begin, ends: take.ring.open(min(begin.values())),
            heard=True,
        )
        self._followers = [
            self._alerts,
            self._follower(PATIENTS, following.beginning, take.take_patient),
            self._follower(
                RESULTS, following.since(RESULTS_S, at_most=MOST_RESULTS), take.take_result
            ),
            self._follower(
                DEAD_LETTERS,
                following.newest(LETTERS_READ),
                take.take_letter,
                opened=lambda first, begin, ends: take.passed_over(
                    sum(begin.values()) - sum(first.values())
                ),
            ),
        ]
        self._threads = [
            threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
            for name, run in [
                *((f"read {follower.topic}", follower.run) for follower in self._followers),
                ("ask broker", self._broker.run),
                ("ask cache", self._cache.run),
                *((f"look at {worker}", self._looks_at(worker)) for worker in INPUT),
            ]
        ]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop reading; what hangs ends with the process."""
        self._stop.set()
        deadline = time.monotonic() + STOP_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def on_alert(self, bell: Callable[[], None]) -> None:
        """Call `bell`, from a reading thread, each time something came on `alerts`."""
        self._bells.append(bell)

    @property
    def broker(self) -> ProbeState:
        """Return whether the broker answers: a probe of our own, and our readers as well."""
        failing = any(f.trouble for f in self._followers if f.caught_up)
        return "away" if failing else self._broker.state(time.monotonic())

    @property
    def cache(self) -> ProbeState:
        """Return whether Redis answers."""
        return self._cache.state(time.monotonic())

    def alerts_read(self) -> bool:
        """Tell whether `alerts` was read to what was its end at the start."""
        return self._alerts.caught_up

    def not_ready(self) -> tuple[str, ...]:
        """Return why what is shown may not be all there is; empty where it is."""
        now_s = time.monotonic()
        reasons = []
        for follower, thread in zip(self._followers, self._threads, strict=False):
            if not follower.caught_up:
                reasons.append(f"{follower.topic}: {follower.trouble or 'being read'}")
            elif follower.quiet_s(now_s) > OLD_S or not thread.is_alive():
                reasons.append(f"{follower.topic}: its reader hangs")
        return tuple(reasons)

    def known(self) -> Known:
        """Return what is known now; names and beds are not."""
        found = self.board.known()
        looks = {worker: self._group(worker) for worker in INPUT}
        groups = {w: g for w, g in looks.items() if (wanted(w, g) if g else w in WORKERS)}
        flow = replace(
            found.flow,
            lag={worker: g.behind if g else None for worker, g in groups.items()},
            members={worker: g.members if g else None for worker, g in groups.items()},
            oldest={worker: g.oldest for worker, g in groups.items() if g},
        )
        return replace(
            found, flow=flow, broker=self.broker, cache=self.cache, ready=not self.not_ready()
        )

    def _group(self, worker: str) -> GroupState | None:
        """Return the last look at a worker's group, if it is not too old."""
        at_s, state = self._groups.get(worker, (float("-inf"), None))
        return state if time.monotonic() - at_s < OLD_S else None

    def _follower(
        self,
        topic: Topic,
        start: following.Start,
        take: Callable[[Any], None],
        *,
        opened: Callable[[Ends, Ends, Ends], object] = lambda first, begin, ends: None,
        heard: bool = False,
    ) -> Follower:
        def take_all(records: list[Any]) -> None:
            for record in records:
                take(record)
            if heard:
                for bell in self._bells:
                    bell()

        return Follower(self._cluster, self._names.of(topic), start, take_all, opened)

    def _looks_at(self, worker: str) -> Callable[[threading.Event], None]:
        """Return what looks at a consumer group until told to stop."""
        group, topic = self._names.group(worker), self._names.of(INPUT[worker])

        def look(stop: threading.Event) -> None:
            while not stop.is_set():
                try:
                    with GroupWatch(self._cluster, group, topic) as watch:
                        while not stop.is_set():
                            self._groups[worker] = (time.monotonic(), watch.look_for_age())
                            stop.wait(LOOK_S)
                except BrokerUnavailable:  # the broker is away, or nobody has joined this group yet
                    stop.wait(LOOK_S)

        return look
