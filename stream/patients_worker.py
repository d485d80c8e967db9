"""The patients worker: findings, evidence and actions in, recommendations, alerts and states out.

The shell around `stream.fold`. The order in which things leave is what makes it lose nothing:
recommendations and alerts confirmed, snapshots confirmed, cache, acknowledge. A worker killed
anywhere between two of these says the same things again, with the same ids.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import faust
import structlog
from faust.types import TP, EventT, StreamT

from stream import metrics
from stream.cache import Cache
from stream.facts import expired
from stream.faust_app import (
    SESSION_TIMEOUT_S,
    Outgoing,
    acknowledge,
    batches,
    headers_of,
    keep_pulse,
    make_app,
    publish,
    raw_topic,
)
from stream.fold import Spoken, due, fold_tick
from stream.health import Pulse
from stream.inbox import Unfoldable, fold, foldable
from stream.ledger import Ledger
from stream.policies import Policy
from stream.rebuild import rebuild
from stream.snapshots import read_snapshots
from stream.unread import unread
from wire import heap, topic_admin
from wire.cache_server import CacheServer
from wire.cluster import Cluster
from wire.dead_letters import NOT_A_RECORD
from wire.envelope import Envelope
from wire.ids import recommendation_id
from wire.patient import Patient
from wire.records import Action, Alert, Finding, Recommendation, Record
from wire.topics import (
    ACTIONS,
    ALERTS,
    DEAD_LETTERS,
    PATIENTS,
    RESULTS,
    Names,
)

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/patients"
BATCH = 64
WITHIN_S = 0.02
RETRY_S = 2.0
CATCH_UP_S = 10.0
"""After partitions have come, and while messages are older than this, the clock says nothing."""

AT_A_TIME = 16
"""Patients that the clock has something to say of while a message waits."""

SYNC_S = 5.0
"""Between two looks at the cache: so long may a flushed Redis stay empty."""


def patients_app(
    cluster: Cluster,
    *,
    names: Names,
    cache: CacheServer,
    folder: Path,
    pulse: Pulse,
    policy: Policy,
    retention: timedelta | None = None,
    session_timeout_s: float = SESSION_TIMEOUT_S,
) -> faust.App:
    """Return the Faust app that keeps patients; the topics must exist.

    Parameters
    ----------
    pulse : gets the marks by which others see that the worker works.
    policy : decides what is said.
    retention : patients of whom nothing came for so long are forgotten; None: never.
    session_timeout_s : see `make_app`.
    """
    app = make_app(cluster, names.group("patients"), folder, session_timeout_s=session_timeout_s)
    ids = topic_admin.topic_ids(cluster, names)
    worker = PatientsWorker(
        app,
        names=names,
        pulse=pulse,
        policy=policy,
        retention=retention,
        ledger=Ledger(
            partial(read_snapshots, cluster, names),
            rebuild=partial(rebuild, cluster, names, policy),
            log_id=f"{ids[RESULTS.name]}/{ids[ACTIONS.name]}",
        ),
        cache=Cache(cache, prefix=names.prefix),
    )
    keep_pulse(app, pulse, names.of(RESULTS))

    @app.agent(raw_topic(app, names, RESULTS, ACTIONS), name="patients", concurrency=1)
    async def patients(stream: StreamT[bytes]) -> None:
        async for events in batches(stream, BATCH, WITHIN_S):
            pulse.taken(time.monotonic())
            await worker.answer(events)
            pulse.acknowledged(time.monotonic(), len(events))

    @app.timer(SYNC_S)  # type: ignore[untyped-decorator]
    async def sync() -> None:
        await worker.sync(app.consumer.assignment())

    @app.on_partitions_revoked.connect
    @app.on_partitions_assigned.connect
    async def forget(*_: object, **__: object) -> None:
        await worker.forget()

    return app


class PatientsWorker:
    """Fold batches of events into patients and say what follows. One batch at a time."""

    def __init__(
        self,
        app: faust.App,
        *,
        names: Names,
        pulse: Pulse,
        policy: Policy,
        retention: timedelta | None,
        ledger: Ledger,
        cache: Cache,
    ) -> None:
        self._app = app
        self._pulse = pulse
        self._names = names
        self._policy = policy
        self._retention = retention
        self._ledger = ledger
        self._cache = cache
        self._results = raw_topic(app, names, RESULTS)
        self._alerts = raw_topic(app, names, ALERTS)
        self._patients = raw_topic(app, names, PATIENTS)
        self._dead_letters = raw_topic(app, names, DEAD_LETTERS)
        self._one_at_a_time = asyncio.Lock()
        self._newest = datetime.now(UTC)
        self._taken_s = self._forgot_s = self._synced_s = time.monotonic()

    async def answer(self, events: list[EventT[bytes]]) -> None:
        """Fold a batch, publish what follows, acknowledge."""
        async with self._one_at_a_time:
            here = {event.message.partition for event in events}
            await self._load(here | self._ours(self._app.consumer.assignment()))
            last = {(e.message.topic, e.message.partition): _written(e) for e in events}
            self._newest = min(last.values())
            self._taken_s = time.monotonic()
            changed: dict[tuple[int, str], Patient] = {}
            sends: list[Outgoing] = []
            for event in events:
                sends += self._fold(event, changed)
                await asyncio.sleep(0)  # large series take a while: the loop must be seen to run
            await self._settle(changed, sends)
            acknowledge(events)

    async def _settle(self, changed: dict[tuple[int, str], Patient], sends: list[Outgoing]) -> None:
        """Let out what changed: words, then snapshots, then the cache. The order matters."""
        generation = self._app.consumer_generation_id
        changed = {
            place: patient.model_copy(update={"generation": generation})
            for place, patient in changed.items()
        }
        await publish(sends)
        await publish(self._snapshot(patient) for patient in changed.values())
        for (partition, _), patient in changed.items():
            self._ledger.put(partition, patient)
        await self._cache.write(changed.values())

    async def sync(self, assignment: Iterable[TP]) -> None:
        """Load what was assigned, make the cache whole, bring hidden snapshots to the front."""
        away_s = time.monotonic() - self._synced_s
        async with self._one_at_a_time:
            if away_s > SYNC_S + self._app.conf.broker_session_timeout:
                # It was stopped: another may own what we hold.
                log.warning("away", seconds=round(away_s), remedy="all patients are read again")
                self._drop()
            await self._load(self._ours(assignment))
            for partition, patient in self._ledger.hidden():
                await publish([self._snapshot(patient)])
                self._ledger.put(partition, patient)
        await self._tick(datetime.now(UTC))
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            if self._caught_up(now):
                await self._forget_expired(now)
            metrics.PATIENTS.set(len(self._ledger.all()))
            patients = self._ledger.all()
        await self._cache.sync(patients)  # by compare-and-set: no alarm waits for it
        self._synced_s = time.monotonic()

    def _caught_up(self, now: datetime) -> bool:
        """Tell whether what was said to us is in: else nothing can be called quiet."""
        if time.monotonic() < self._forgot_s + CATCH_UP_S:
            return False
        idle = time.monotonic() > self._taken_s + CATCH_UP_S
        return idle or (now - self._newest).total_seconds() < CATCH_UP_S

    async def _tick(self, now: datetime) -> None:
        """Let the clock close what is quiet, and raise alarms nobody attends to.

        A few patients at a time: an alarm that comes in between waits for those few alone.
        """
        wanted = [place for place, patient in self._ledger.items() if self._due(patient, now)]
        for at in range(0, len(wanted), AT_A_TIME):
            async with self._one_at_a_time:
                if not self._caught_up(now):
                    return
                await self._tell_the_time(wanted[at : at + AT_A_TIME], now)

    async def _tell_the_time(self, places: list[tuple[int, str]], now: datetime) -> None:
        changed: dict[tuple[int, str], Patient] = {}
        sends: list[Outgoing] = []
        for place in places:
            patient = self._ledger.known(*place)
            if patient is None or not self._due(patient, now):  # a message came meanwhile
                continue
            try:
                folded, spoken = fold_tick(patient, now, self._policy)
                sends += [self._said(words, None) for words in spoken]
                changed[place] = folded
            except Exception as unexpected:  # one patient must not keep the clock from all others
                log.error("no tick", patient_id=place[1], error=type(unexpected).__name__)
        await self._settle(changed, sends)

    def _due(self, patient: Patient, now: datetime) -> bool:
        try:
            return due(patient, now, self._policy)
        except Exception as unexpected:  # as above
            log.error("no tick", patient_id=patient.patient_id, error=type(unexpected).__name__)
            return False

    async def _forget_expired(self, now: datetime) -> None:
        """Take back the snapshots of patients whose time is over, and forget them."""
        if self._retention is None:
            return
        over = [
            place
            for place, patient in self._ledger.items()
            if expired(patient, now, self._retention)
        ]
        await publish(
            Outgoing(self._patients, name, None, Envelope("patient", name, SOURCE).headers())
            for _, name in over
        )
        for place in over:
            self._ledger.drop(*place)
        await self._cache.forget([name for _, name in over])

    async def forget(self) -> None:
        """Drop all states: the partitions are no longer ours, or have to be read again."""
        async with self._one_at_a_time:
            self._drop()

    def _drop(self) -> None:
        self._ledger.forget()
        self._forgot_s = time.monotonic()

    def _ours(self, assignment: Iterable[TP]) -> set[int]:
        """Return the partitions whose patients are ours.

        All are read at once, not each with its first message: a reading keeps alarms waiting.
        """
        results = self._names.of(RESULTS)
        return {tp.partition for tp in assignment if tp.topic == results}

    async def _load(self, partitions: set[int]) -> None:
        """Read what is not in memory yet; a broker that is away is waited for."""
        self._pulse.loading(True)
        while True:
            try:
                await asyncio.to_thread(self._ledger.load, partitions)
                break
            except topic_admin.BrokerUnavailable as error:
                log.warning("snapshots not read", error=str(error), remedy="tried again")
                await asyncio.sleep(RETRY_S)
        heap.settle()
        self._pulse.loading(False)

    def _fold(
        self, event: EventT[bytes], changed: dict[tuple[int, str], Patient]
    ) -> list[Outgoing]:
        """Fold one event into `changed`; return what is to be sent.

        What cannot be folded becomes a dead letter: no message may stop all that come after it.
        """
        message = event.message
        kind = Envelope.of(headers_of(event)).kind
        if message.topic == self._names.of(ACTIONS):
            kind = Action.kind
        try:
            record = foldable(kind, message.value, partition=message.partition)
            if record is None or record.patient_id is None:
                return []
            place = (message.partition, record.patient_id)
            patient = changed.get(place) or self._ledger.get(*place)
            folded, spoken = fold(patient, record, message.offset, self._policy, _written(event))
            received = record.received_time if isinstance(record, Finding) else None
            said = [self._said(words, received) for words in spoken]
        except Unfoldable as error:
            return [self._unread(event, error.reason, error.detail)]
        except Exception as unexpected:  # the message boundary
            return [self._unread(event, NOT_A_RECORD, type(unexpected).__name__)]
        if folded is not patient:
            changed[place] = folded
        return said

    def _unread(self, event: EventT[bytes], reason: str, detail: str) -> Outgoing:
        return unread(self._dead_letters, event, reason, detail, source=SOURCE)

    def _said(self, words: Spoken, received: datetime | None) -> Outgoing:
        if not isinstance(words, Alert):
            if isinstance(words, Recommendation):
                metrics.RECOMMENDATIONS.labels(words.action).inc()
            return self._outgoing(self._results, words.patient_id, words, str(words.id))
        now = datetime.now(UTC)
        if received is not None:
            delay_ms = max(0.0, (now - received).total_seconds() * 1000)
            words = words.model_copy(update={"delay_ms": delay_ms})
            metrics.ALERT_DELAY.observe(delay_ms / 1000)
        metrics.ALERTS.labels(words.category, words.priority, words.phase).inc()
        log.info(
            "alert",
            patient_id=words.patient_id,
            phase=words.phase,
            priority=words.priority,
            cause=words.cause,
            delay_ms=words.delay_ms,
        )
        return self._outgoing(self._alerts, words.patient_id, words, str(words.id))

    def _snapshot(self, patient: Patient) -> Outgoing:
        version = patient.version
        about = [version.log, str(version.results), str(version.actions)]
        snapshot_id = recommendation_id(patient.patient_id, "snapshot", "1", "", "", about)
        return self._outgoing(self._patients, patient.patient_id, patient, str(snapshot_id))

    @staticmethod
    def _outgoing(topic: faust.TopicT, key: str | None, record: Record, record_id: str) -> Outgoing:
        envelope = Envelope(kind=record.kind, id=record_id, source=SOURCE, time=datetime.now(UTC))
        return Outgoing(topic, key, record.to_json(), envelope.headers())


def _written(event: EventT[bytes]) -> datetime:
    """Return when the broker got a message."""
    return datetime.fromtimestamp(event.message.timestamp or 0.0, UTC)
