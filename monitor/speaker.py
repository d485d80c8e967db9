"""Says heartbeats and technical alarms on `alerts`; knows by it whether the broker takes anything.

An alarm is kept until the broker has confirmed it, however long that takes, and alarms stay in
order. A heartbeat that could not be said is forgotten: the next one says more.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError

from monitor.known import ProbeState
from wire.clients import made
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.records import Alert, Heartbeat

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/watchdog"

CONFIRM_S = 2.0
"""A message that is not confirmed within this has failed; an alarm is then sent again."""

RECONNECT_MS = 1_000

AWAY_S = 3.0
"""With nothing confirmed for so long the broker is away: three heartbeats are missing."""

AGAIN_S = 0.5


class Speaker:
    """Publishes from a thread of its own.

    Parameters
    ----------
    topic : `alerts`, as it is named on the cluster.
    """

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._cluster = cluster
        self._topic = topic
        self._news = threading.Condition()
        self._alerts: deque[tuple[datetime, Alert]] = deque()
        self._beat: Heartbeat | None = None
        self._producer: KafkaProducer | None = None
        self._started_s = time.monotonic()
        self._confirmed_s: float | None = None
        self._trouble = ""

    def start(self, stop: threading.Event) -> threading.Thread:
        """Begin to speak, until told to stop."""
        thread = threading.Thread(target=self._run, args=[stop], name="speaker", daemon=True)
        thread.start()
        return thread

    def say(self, alerts: Iterable[Alert], beat: Heartbeat) -> None:
        """Hand over what is to be said, alarms first. Never waits."""
        now = datetime.now(UTC)
        with self._news:
            self._alerts.extend((now, alert) for alert in alerts)
            self._beat = beat
            self._news.notify()

    def broker(self) -> ProbeState:
        """Return whether the broker takes what is said."""
        since_s = self._started_s if self._confirmed_s is None else self._confirmed_s
        if time.monotonic() - since_s > AWAY_S:
            return "away"
        return "unknown" if self._confirmed_s is None else "ok"

    @property
    def trouble(self) -> str:
        """Return why the broker took nothing; empty where it does."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """Return how many alerts the broker has not confirmed yet."""
        return len(self._alerts)

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._news:
                self._news.wait_for(lambda: self._beat is not None or self._alerts, timeout=1.0)
            try:
                self._speak()
            except (KafkaError, OSError) as error:
                if not self._trouble:
                    log.error("the broker takes nothing", why=f"{type(error).__name__}: {error}")
                self._trouble = f"the broker takes nothing ({type(error).__name__})"
                stop.wait(AGAIN_S)
        if self._producer is not None:
            with suppress(KafkaError):  # what is not confirmed by now is not waited for
                self._producer.close(timeout=CONFIRM_S)

    def _speak(self) -> None:
        while self._alerts:
            when, alert = self._alerts[0]
            self._send(alert, when)
            self._alerts.popleft()
        with self._news:
            beat, self._beat = self._beat, None
        if beat is not None:
            self._send(beat, beat.time)

    def _send(self, record: Alert | Heartbeat, when: datetime) -> None:
        if self._producer is None:
            self._producer = self._connected()
        envelope = Envelope(kind=record.kind, id=str(record.id), source=SOURCE, time=when)
        sent = self._producer.send(self._topic, value=record.to_json(), headers=envelope.headers())
        sent.get(timeout=CONFIRM_S + AGAIN_S)
        self._confirmed_s, self._trouble = time.monotonic(), ""

    def _connected(self) -> KafkaProducer:
        """Return a producer that leaves trying again to us, so that nothing arrives late.

        It is kept through an outage, and connects again by itself.
        """
        limit_ms = int(CONFIRM_S * 1000)
        return made(
            KafkaProducer,
            self._cluster,
            acks="all",
            enable_idempotence=False,
            retries=0,
            linger_ms=0,
            max_block_ms=limit_ms,
            request_timeout_ms=limit_ms,
            delivery_timeout_ms=limit_ms,
            bootstrap_timeout_ms=limit_ms,
            reconnect_backoff_max_ms=RECONNECT_MS,
            client_id="lesionstream-watchdog",
        )
