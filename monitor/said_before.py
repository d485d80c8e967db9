"""What stands on `alerts` and `actions` already, for a watchdog that was started again."""

import threading
from collections.abc import Callable
from datetime import datetime

import structlog
from kafka import KafkaConsumer, TopicPartition
from pydantic import ValidationError

from wire.cluster import BrokerUnavailable, Cluster
from wire.envelope import Envelope
from wire.reading import POLL_MS, assign, open_consumer, position
from wire.records import Action, Alert, Heartbeat

log = structlog.get_logger(__name__)

TAIL = 1_000
"""So many messages of `alerts` nearly always hold a heartbeat; else ten times as many are read."""

AGAIN_S = 1.0


def last_said(cluster: Cluster, topic: str) -> list[Heartbeat | Alert]:
    """Return the end of `alerts`, from before the last heartbeat on; all of it where there is none.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with open_consumer(cluster, topic) as consumer:
        (place,) = assign(consumer, topic, [0])
        first = consumer.beginning_offsets([place])[place]
        end = consumer.end_offsets([place])[place]
        wanted = TAIL
        while True:
            begin = max(first, end - wanted)
            found = _read(consumer, place, begin, end)
            if begin == first or any(isinstance(record, Heartbeat) for record in found):
                return found
            wanted *= 10


def _read(
    consumer: KafkaConsumer, place: TopicPartition, begin: int, end: int
) -> list[Heartbeat | Alert]:
    kinds: dict[str | None, type[Heartbeat | Alert]] = {
        Heartbeat.kind: Heartbeat,
        Alert.kind: Alert,
    }
    found: list[Heartbeat | Alert] = []
    consumer.seek(place, begin)
    while position(consumer, place) < end:
        for record in consumer.poll(timeout_ms=POLL_MS).get(place, []):
            kind = kinds.get(Envelope.of(record.headers).kind)
            if kind is None:
                continue
            try:
                found.append(kind.model_validate_json(record.value or b""))
            except ValidationError:
                log.warning("not a record", topic=place.topic, offset=record.offset)
    return found


class Actions:
    """Hands over each action from a moment on, in a thread of its own.

    Parameters
    ----------
    take : called with each action, from that thread.
    """

    def __init__(
        self, cluster: Cluster, topic: str, since: datetime, take: Callable[[Action], None]
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._since_ms = int(since.timestamp() * 1000)
        self._take = take

    def start(self, stop: threading.Event) -> threading.Thread:
        """Begin to read, until told to stop."""
        thread = threading.Thread(target=self._run, args=[stop], name="actions", daemon=True)
        thread.start()
        return thread

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BrokerUnavailable as error:  # then all is read once more: it changes nothing
                log.debug("actions are not read", why=str(error))
                stop.wait(AGAIN_S)

    def _follow(self, stop: threading.Event) -> None:
        with open_consumer(self._cluster, self._topic) as consumer:
            places = assign(consumer, self._topic, None)
            ends = consumer.end_offsets(places)
            begins = consumer.offsets_for_times(dict.fromkeys(places, self._since_ms))
            for place in places:
                begin = begins.get(place)
                consumer.seek(place, ends[place] if begin is None else begin.offset)
            while not stop.is_set():
                for records in consumer.poll(timeout_ms=POLL_MS).values():
                    for record in records:
                        self._hand_over(record.value)

    def _hand_over(self, value: bytes | None) -> None:
        try:
            self._take(Action.model_validate_json(value or b""))
        except ValidationError:
            log.debug("not an action")
