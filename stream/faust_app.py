"""The Faust app both workers are made of, and the idiom that loses nothing.

1. Acknowledge strictly in offset order, once everything a message caused is confirmed.
2. No exception leaves an agent unless it ends the process: a restart repeats, a survivor skips.
3. No Faust Table.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import faust
import structlog
from faust.auth import Credentials
from faust.streams import Stream
from faust.types import EventT, StreamT, TopicT
from mode.supervisors import CrashingSupervisor

from stream.bounded import bounded
from stream.health import BEAT_S, Pulse
from wire import heap, topic_admin
from wire.cluster import BrokerUnavailable, Cluster
from wire.envelope import Headers
from wire.errors import remedy_of
from wire.rights import Role
from wire.topics import MAX_MESSAGE_BYTES, Names, Topic

log = structlog.get_logger(__name__)

SESSION_TIMEOUT_S = 6.0
"""A killed worker's partitions move after it, and so do those of one that stands still for longer.
Kafka's own floor; what 10 and 30 s would cost: docs/operations.md, Handing over."""

HEARTBEAT_S = 1.5
"""A worker learns of a rebalance by its next heartbeat: what others leave waits for it."""

FETCH_BYTES = 2 << 20
"""A fetch of one partition: 24 of them fit into one answer, so that none has to wait for the others
to be worked off. A larger message comes all the same (KIP-74)."""

BUFFERED_MESSAGES = 4096
"""In Faust's queue. What all buffers hold together is bounded by bytes: `stream.bounded`."""

PRODUCER_TIMEOUT_S = 300
"""Sends wait this long for a broker that is away; then the worker ends and is started again."""

SHUTDOWN_S = 10.0
"""From SIGTERM or a crash to the end. A hand-over takes 1-2 s; without a broker Faust would wait
for ever. What is cut off is not acknowledged, and so repeated."""

EXIT_OVERDUE = 70

WAIT_S = 2.0
"""Between two looks for the broker and its topics before a worker starts."""


def make_app(
    cluster: Cluster, group: str, folder: Path, *, session_timeout_s: float = SESSION_TIMEOUT_S
) -> faust.App:
    """Return an app without agents; its consumer group is `group`.

    Parameters
    ----------
    folder : where Faust makes the folders it wants and we do not use.
    session_timeout_s : after so long without a heartbeat others get its partitions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        group,
        datadir=str(folder),
        broker=[f"kafka://{address}" for address in cluster.servers],
        broker_credentials=_credentials(cluster),
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        processing_guarantee="at_least_once",
        agent_supervisor=CrashingSupervisor,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_request_timeout=30.0,
        broker_rebalance_timeout=20.0,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        producer_request_timeout=PRODUCER_TIMEOUT_S,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        producer_compression_type="lz4",
        stream_buffer_maxsize=BUFFERED_MESSAGES,
    )
    bounded(app.transport)
    return app


def _credentials(cluster: Cluster) -> Credentials | None:
    """Return as whom the app comes; None where everybody is let in."""
    if cluster.login:
        return faust.SASLCredentials(
            username=cluster.login.user,
            password=cluster.login.password,
            ssl_context=cluster.context(),
            mechanism=cluster.login.mechanism,
        )
    return faust.SSLCredentials(cluster.context()) if cluster.tls else None


def raw_topic(app: faust.App, names: Names, *topics: Topic) -> TopicT:
    """Return topics of the contract as one channel of bytes."""
    return app.topic(
        *(names.of(topic) for topic in topics),
        key_type=bytes,
        value_type=bytes,
        value_serializer="raw",
    )


async def batches(
    stream: StreamT[bytes], size: int, within_s: float
) -> AsyncIterator[list[EventT[bytes]]]:
    """Yield batches of events that nobody but us acknowledges (both noacks are needed)."""
    unacknowledged = cast(Stream[bytes], cast(Stream[bytes], stream).noack())
    async for events in unacknowledged.noack_take(size, within=within_s):
        yield cast(list[EventT[bytes]], events)


async def events_of(stream: StreamT[bytes]) -> AsyncIterator[EventT[bytes]]:
    """Yield events, one by one, that nobody but us acknowledges."""
    async for event in cast(Stream[bytes], cast(Stream[bytes], stream).noack()).events():
        yield cast(EventT[bytes], event)


def headers_of(event: EventT[bytes]) -> list[tuple[str, bytes | None]]:
    """Return all headers of an event, in order."""
    headers = event.message.headers or ()
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def keep_pulse(app: faust.App, pulse: Pulse, topic: str) -> None:
    """Let the app's loop leave its marks: that it runs, and which partitions of `topic` it has."""

    @app.timer(BEAT_S)  # type: ignore[untyped-decorator]
    async def beat() -> None:
        held = app.consumer.assignment()
        pulse.beat(time.monotonic(), (tp.partition for tp in held if tp.topic == topic))


def wait_for_topics(cluster: Cluster, names: Names, role: Role) -> None:
    """Wait until the broker lets us do our work, saying what is missing: a topic, or a right.

    A Faust worker that starts without its topics keeps an empty assignment and looks healthy; one
    that lacks a right asks again and again, and says nothing.
    """
    said = ""
    while True:
        try:
            trouble = topic_admin.lacking(cluster, names, role)
        except BrokerUnavailable as error:
            trouble = error
        if trouble is None:
            return
        if said != str(trouble):
            said = str(trouble)
            log.warning("waiting", reason=said, remedy=remedy_of(trouble))
        time.sleep(WAIT_S)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be sent. key : None only where order among messages does not matter."""

    topic: TopicT
    key: str | None
    value: bytes | None
    headers: Headers


async def start_send(message: Outgoing) -> Awaitable[object]:
    """Hand a message to the producer; the result is done once the broker has confirmed it."""
    sent: Awaitable[object] = await message.topic.send(
        key=None if message.key is None else message.key.encode(),
        value=message.value,
        headers=dict(message.headers),
    )
    return sent


async def publish(messages: Iterable[Outgoing]) -> None:
    """Send in order, and wait until the broker has confirmed every message.

    Raises
    ------
    Exception   one was not confirmed; the process must end, so that all are repeated.
    """
    for confirmation in [await start_send(message) for message in messages]:
        await confirmation


def acknowledge(events: Iterable[EventT[bytes]]) -> None:
    """Acknowledge in offset order. Only ever called once all that they caused is confirmed."""
    for event in events:
        event.ack()


def leave(app: faust.App, events: Iterable[EventT[bytes]]) -> None:
    """Leave to the next owner of the partitions what is not acknowledged, where the app ends.

    Faust waits for everything that was taken up; only what was begun is worth the wait.
    """
    if app.should_stop:
        for event in events:
            if not event.message.acked:
                app.consumer.unacked.discard(event.message)


def committed(app: faust.App, event: EventT[bytes]) -> bool:
    """Tell whether nobody will be given an acknowledged event again, whatever ends."""
    place = event.message.tp
    if place not in app.consumer.assignment():
        return True  # before it is given away, all is committed: `stream.bounded`
    return int(app.monitor.tp_committed_offsets.get(place, -1)) > event.message.offset


def run(app: faust.App, *, log_level: int) -> None:
    """Run the worker until SIGTERM or SIGINT; a failure of an agent ends the process (exit 1)."""
    heap.keep()
    heap.settle()
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # Said at each first start, while the broker makes the topic of the groups; it tries again.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        # 276,000 lines in a minute of broker outage: one line each 30 s says as much.
        handler.addFilter(_Seldom(30.0))
    worker = _Worker(
        app,
        loglevel=log_level,
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
        daemon=True,
    )
    worker.spinner = None  # it writes terminal escapes to stdout
    worker.execute_from_commandline()


class _Worker(faust.Worker):
    """A worker that ends, when it is told to or has crashed, even where something holds it up."""

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self._end_in_time()
        super()._schedule_shutdown(signal)

    def _crash(self, reason: BaseException) -> None:
        self._end_in_time()
        super()._crash(reason)

    @staticmethod
    def _end_in_time() -> None:
        deadline = threading.Timer(SHUTDOWN_S, os._exit, [EXIT_OVERDUE])
        deadline.daemon = True
        deadline.start()


class _Seldom(logging.Filter):
    """Let a message with one text pass once in `interval_s`."""

    def __init__(self, interval_s: float) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -self._interval_s) < self._interval_s:
            return False
        self._last[str(record.msg)] = now
        return True
