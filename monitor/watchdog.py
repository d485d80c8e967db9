"""The watchdog: a heartbeat each second, and technical alarms for what blinds the ward.

The shell around `monitor.vigil`. All that may hang is asked in threads of its own (`looking`,
`probes`) and said by another (`speaker`): the beat goes on, with what is not known as null.
"""

import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from monitor.causes import LETTERS_S
from monitor.looking import Looker
from monitor.probes import Probe, ask_cache
from monitor.said_before import Actions, last_said
from monitor.speaker import Speaker
from monitor.symptoms import Seen, WorkerSeen
from monitor.vigil import Vigil, answered, heartbeat, look, resumed
from wire.cache_server import CacheServer
from wire.cluster import BrokerUnavailable, Cluster
from wire.flow import FlowState, FlowWatch
from wire.groups import GroupState, GroupWatch
from wire.health import Health
from wire.records import Action, EngineCheck
from wire.topics import ACTIONS, ALERTS, INPUT, Names

log = structlog.get_logger(__name__)

BEAT_S = 1.0
LOOK_S = 2.0
"""Between two looks at a consumer group, or at what flows."""

FRESH_S = 6.0
"""An older answer says nothing any more."""

LIMIT_S = 1.0
"""A worker that does not answer within this does not answer."""

HANGS_S = 15.0
"""Without a beat of its own for so long the watchdog is dead: so long a subscriber waits."""

ASKED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Site:
    """What is watched.

    workers : returns (name, http://host:port) of each process that serves `/ready`; asked anew
        each second.
    quiet_s : without a frame for so long an alarm says so; None: never.
    """

    kafka: Cluster
    redis: CacheServer
    names: Names
    workers: Callable[[], Iterable[tuple[str, str]]]
    quiet_s: float | None = None


class Watchdog:
    """Watches a site until told to stop.

    Parameters
    ----------
    stop : set by whoever ends it.
    """

    def __init__(self, site: Site, stop: threading.Event) -> None:
        self._site = site
        self._stop = stop
        self._speaker = Speaker(site.kafka, site.names.of(ALERTS))
        self._cache = Probe(ask_cache(site.redis))
        self._groups = {worker: _group_looker(site, worker) for worker in INPUT}
        self._flow = Looker("flow", lambda: _flow(site), every_s=LOOK_S, fresh_s=FRESH_S)
        self._workers = Looker("workers", lambda: _workers(site), every_s=BEAT_S, fresh_s=FRESH_S)
        self._actions: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._vigil: Vigil | None = None
        self._beat_s = time.monotonic()

    def run(self) -> None:
        """Watch. Waits for broker and topics first: what stands already is not said again.

        Raises
        ------
        RuntimeError   one of its threads ended: a watchdog that is half blind must end, too.
        """
        vigil = self._resumed()
        if vigil is None:
            return
        began = [alarm.event_time for alarm in vigil.standing.values() if alarm.event_time]
        since = min([datetime.now(UTC), *began])
        actions = self._site.names.of(ACTIONS)
        cache = threading.Thread(
            target=self._cache.run, args=[self._stop], name="cache", daemon=True
        )
        cache.start()
        lookers: tuple[Looker[Any], ...] = (*self._groups.values(), self._flow, self._workers)
        threads = [
            cache,
            self._speaker.start(self._stop),
            Actions(self._site.kafka, actions, since, self._actions.put).start(self._stop),
            *(looker.start(self._stop) for looker in lookers),
        ]
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + BEAT_S, time.monotonic())  # a second that was missed is gone
            vigil = self._look(vigil)
            ended = [thread.name for thread in threads if not thread.is_alive()]
            if ended and not self._stop.is_set():
                raise RuntimeError(f"ended: {', '.join(ended)}")

    def health(self) -> Health:
        """Return how the watchdog itself is. Thread-safe; never waits."""
        silent_s = time.monotonic() - self._beat_s
        vigil = self._vigil
        dead, not_ready = [], []
        if vigil is None:
            not_ready.append("starting: reading what was said before")
        elif silent_s > HANGS_S:
            dead.append(f"no beat for {silent_s:.0f} s")
        if vigil is not None and self._speaker.broker() != "ok":
            not_ready.append(self._speaker.trouble or "the broker has confirmed nothing lately")
        facts: dict[str, Any] = {
            "alarms": {} if vigil is None else {n: a.text for n, a in vigil.standing.items()},
            "unsaid": self._speaker.waiting,
        }
        return Health(tuple(dead), tuple(not_ready), facts)

    def _resumed(self) -> Vigil | None:
        """Return what stood when the last watchdog ended; None where it is told to stop."""
        while True:
            try:
                return resumed(last_said(self._site.kafka, self._site.names.of(ALERTS)))
            except BrokerUnavailable as error:
                log.warning("waiting", why=str(error))
            if self._stop.wait(LOOK_S):
                return None

    def _look(self, vigil: Vigil) -> Vigil:
        seen = self._seen(datetime.now(UTC))
        vigil, alerts = look(vigil, seen)
        for action in _waiting(self._actions):
            vigil, more = answered(vigil, action, seen.now)
            alerts += more
        for alert in alerts:
            log.warning("alarm", phase=alert.phase, cause=alert.cause, text=alert.text)
        self._speaker.say(alerts, heartbeat(vigil, seen))
        self._vigil, self._beat_s = vigil, time.monotonic()
        return vigil

    def _seen(self, now: datetime) -> Seen:
        groups = {name: looker.last() for name, looker in self._groups.items()}
        flow = self._flow.last()
        return Seen(
            now=now,
            broker=self._speaker.broker(),
            cache=self._cache.state(time.monotonic()),
            groups={name: group for name, group in groups.items() if group is not None},
            workers=self._workers.last(),
            newest_frame=flow.newest_frame if flow else None,
            letters=flow.letters if flow else None,
            quiet_s=self._site.quiet_s,
        )


def _waiting(actions: "queue.SimpleQueue[Action]") -> Iterator[Action]:
    while not actions.empty():
        yield actions.get()


def _group_looker(site: Site, worker: str) -> Looker[GroupState]:
    @contextmanager
    def connect() -> Iterator[Callable[[], GroupState]]:
        topic = site.names.of(INPUT[worker])
        with GroupWatch(site.kafka, site.names.group(worker), topic) as watch:
            yield watch.look_for_age

    return Looker(f"group {worker}", connect, every_s=LOOK_S, fresh_s=FRESH_S)


@contextmanager
def _flow(site: Site) -> Iterator[Callable[[], FlowState]]:
    with FlowWatch(site.kafka, site.names) as watch:
        yield lambda: watch.look(datetime.now(UTC) - timedelta(seconds=LETTERS_S))


@contextmanager
def _workers(site: Site) -> Iterator[Callable[[], tuple[WorkerSeen, ...]]]:
    with ThreadPoolExecutor(ASKED_AT_ONCE, thread_name_prefix="asks") as pool:
        yield lambda: tuple(pool.map(lambda place: ask_worker(*place), list(site.workers())))


def ask_worker(name: str, address: str) -> WorkerSeen:
    """Ask a process whether it is ready; it has `LIMIT_S` to answer."""
    try:
        try:
            with urllib.request.urlopen(f"{address}/ready", timeout=LIMIT_S) as answer:  # noqa: S310 -- an operator's setting
                said = json.load(answer)
        except urllib.error.HTTPError as not_ready:
            with not_ready:
                said = json.load(not_ready)
        check = said["facts"].get("known_answer")
        return WorkerSeen(
            name,
            bool(said["ready"]),
            "; ".join([*said["dead"], *said["not_ready"]]),
            None if check is None else EngineCheck.model_validate(check),
        )
    except (OSError, ValueError, LookupError, TypeError, ValidationError) as error:
        return WorkerSeen(name, None, f"no answer ({type(error).__name__})")
