"""Follow a topic on and on, through every outage: nothing left out, nothing read twice."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition

from wire.cluster import BrokerUnavailable, Cluster
from wire.reading import POLL_MS, assign, open_consumer, position

log = structlog.get_logger(__name__)

RETRY_S = 1.0
"""Between two attempts while the broker is away, or refuses."""

Ends = Mapping[TopicPartition, int]
Start = Callable[[KafkaConsumer, Ends, Ends], dict[TopicPartition, int]]
"""Where to begin: (consumer, first offsets, ends) -> offset by partition."""


def beginning(consumer: KafkaConsumer, first: Ends, ends: Ends) -> dict[TopicPartition, int]:
    """Begin at the beginning."""
    return dict(first)


def newest(count: int) -> Start:
    """Begin `count` messages before the end of each partition."""

    def start(consumer: KafkaConsumer, first: Ends, ends: Ends) -> dict[TopicPartition, int]:
        return {place: max(first[place], end - count) for place, end in ends.items()}

    return start


def since(seconds: float, *, at_most: int) -> Start:
    """Begin so long ago, but at most so many messages before the end of each partition."""

    def start(consumer: KafkaConsumer, first: Ends, ends: Ends) -> dict[TopicPartition, int]:
        moment_ms = int((time.time() - seconds) * 1000)
        found = consumer.offsets_for_times(dict.fromkeys(ends, moment_ms))
        return {
            place: max(found[place].offset if found.get(place) else end, end - at_most)
            for place, end in ends.items()
        }

    return start


class Follower:
    """Reads one topic for ever; its position is kept through outages.

    Parameters
    ----------
    start : where to begin at the first contact.
    take : gets the records of each poll, in order within a partition. Must not raise.
    opened : gets, at the first contact, (first offsets, where it begins, ends).
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        start: Start,
        take: Callable[[list[Any]], object],
        opened: Callable[[Ends, Ends, Ends], object] = lambda first, begin, ends: None,
    ) -> None:
        self.topic = topic
        self._cluster = cluster
        self._start = start
        self._take = take
        self._opened = opened
        self._positions: dict[TopicPartition, int] = {}
        self._until: dict[TopicPartition, int] | None = None
        self._polled_s: float | None = None
        self.caught_up = False
        self.trouble = "not read yet"

    def quiet_s(self, now_s: float) -> float:
        """Return for how long it has not asked the broker for more (monotonic seconds)."""
        return float("inf") if self._polled_s is None else now_s - self._polled_s

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop; what goes wrong is said in `trouble` and tried again."""
        while not stop.is_set():
            try:
                with open_consumer(self._cluster, self.topic) as consumer:
                    self._begin(consumer)
                    while not stop.is_set():
                        self._poll(consumer)
            except BrokerUnavailable as error:
                if self.trouble != str(error):
                    log.warning("not read", topic=self.topic, why=str(error), remedy="tried again")
                self.trouble = str(error)
                stop.wait(RETRY_S)

    def _begin(self, consumer: KafkaConsumer) -> None:
        places = assign(consumer, self.topic, None)
        if self._until is None:
            first, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
            self._positions = self._start(consumer, first, ends)
            self._until = ends
            self._opened(first, self._positions, ends)
        for place in places:
            # A partition that is new since then is read from its beginning.
            consumer.seek(place, self._positions.get(place, 0))

    def _poll(self, consumer: KafkaConsumer) -> None:
        found = consumer.poll(timeout_ms=POLL_MS)
        for place, records in found.items():
            self._take(records)
            self._positions[place] = records[-1].offset + 1
        self._polled_s, self.trouble = time.monotonic(), ""
        if not self.caught_up and self._until is not None:
            # By the consumer's own position: marks of transactions are messages nobody sees.
            self.caught_up = all(
                position(consumer, place) >= end for place, end in self._until.items()
            )
