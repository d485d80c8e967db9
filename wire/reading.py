"""Read topics without a consumer group: to the end, or on and on."""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from wire.clients import connected
from wire.cluster import BrokerUnavailable, Cluster
from wire.contact import knock, unreachable
from wire.topics import FIRST_CONTACT_MS, MAX_MESSAGE_BYTES

POLL_MS = 250

RECONNECT_MS = 1_000
"""The longest pause between two attempts to reach a broker that was away; the library's own grows
to 30 s, and for so long a reader would miss that it is back."""

ANSWER_MS = 30_000

BACK = 500
"""Messages that are read at first where the newest of some kind is looked for."""


def read(
    cluster: Cluster,
    topic: str,
    *,
    partitions: Iterable[int] | None = None,
    from_beginning: bool = True,
    begin: int | None = None,
    since: datetime | None = None,
    follow: bool = False,
    until: Mapping[int, int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Any, None, None]:
    """Yield kafka-python's records of a topic, in order within each partition.

    Parameters
    ----------
    partitions : all of them where None.
    from_beginning : False starts at what comes after this call.
    begin : offset at which each partition starts, where it still has it.
    since : leaves out what came before, by the times that its writers gave it.
    follow : True never ends by itself; False ends at what is the end when the call is made.
    until : offset at which a partition ends, if that is before its end.
    stop : asked after each poll.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with open_consumer(cluster, topic) as consumer:
        places = assign(consumer, topic, partitions)
        ends = consumer.end_offsets(places)
        if until is not None:
            ends = {at: min(end, until.get(at.partition, end)) for at, end in ends.items()}
        came = _came(consumer, places, since)
        for place in places:
            if place in came:
                consumer.seek(place, ends[place] if came[place] is None else came[place].offset)
            elif begin is not None:
                consumer.seek(place, begin)
            elif from_beginning:
                consumer.seek_to_beginning(place)
            else:
                consumer.seek(place, ends[place])
        while not stop():
            if not follow and all(position(consumer, place) >= ends[place] for place in places):
                return
            for place, records in consumer.poll(timeout_ms=POLL_MS).items():
                yield from (r for r in records if follow or r.offset < ends[place])


def _came(
    consumer: KafkaConsumer, places: list[TopicPartition], since: datetime | None
) -> dict[TopicPartition, Any]:
    """Return the first offset since a moment by partition, None where nothing came; {} for None."""
    if since is None:
        return {}
    found = consumer.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)))
    return {place: found.get(place) for place in places}


def position(consumer: KafkaConsumer, place: TopicPartition) -> int:
    """Return the offset that is read next.

    Raises
    ------
    KafkaTimeoutError   it is not known, and the broker does not tell.
    """
    found = consumer.position(place)
    if found is None:  # what kafka-python answers when it has waited long enough
        raise KafkaTimeoutError(f"no position in {place.topic}")
    return int(found)


def first_offset(cluster: Cluster, topic: str, partition: int) -> int:
    """Return the oldest offset that a partition still has.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with open_consumer(cluster, topic) as consumer:
        (place,) = assign(consumer, topic, [partition])
        return int(consumer.beginning_offsets([place])[place])


def read_one(cluster: Cluster, topic: str, partition: int, offset: int) -> Any | None:
    """Return one record; None where there is none (any more) at this offset.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with Reader(cluster) as reader:
        return reader.one(topic, partition, offset)


class Reader:
    """Reads single records by a connection that stays. Not thread-safe.

    Raises
    ------
    BrokerUnavailable   no broker answers; close the reader and open another.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._open = contextlib.ExitStack()
        self._consumer = self._open.enter_context(open_consumer(cluster, "single records"))

    def one(
        self, topic: str, partition: int, offset: int, *, within_s: float = math.inf
    ) -> Any | None:
        """Return one record; None where there is none (any more) at this offset.

        Raises
        ------
        BrokerUnavailable   no broker answers within `within_s`, or the topic is missing.
        """
        deadline = time.monotonic() + within_s
        consumer, answer_ms = self._consumer, min(within_s * 1000, ANSWER_MS)
        try:
            (place,) = assign(consumer, topic, [partition])
            if partition not in (consumer.partitions_for_topic(topic) or ()):
                return None
            first = consumer.beginning_offsets([place], timeout_ms=answer_ms)[place]
            end = consumer.end_offsets([place], timeout_ms=answer_ms)[place]
            if not first <= offset < end:
                return None
            consumer.seek(place, offset)
            while position(consumer, place) <= offset:
                for record in consumer.poll(timeout_ms=POLL_MS, max_records=1).get(place, []):
                    return record if record.offset == offset else None
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(f"{topic} was not read within {within_s:g} s")
        except KafkaError as error:
            raise unreachable(self._cluster, error, f"to read {topic}") from error
        return None

    def newest(
        self,
        topic: str,
        partition: int,
        wanted: Callable[[Any], bool],
        *,
        since: datetime,
        within_s: float,
    ) -> Any | None:
        """Return the newest record that is wanted, and came since a moment; None: there is none.

        Parameters
        ----------
        partition : of the topic as it is now.
        within_s : None, too, where it was not found within so long; a broker that is busy or a
            long log is no failure.

        Raises
        ------
        BrokerUnavailable   no broker answers, or the topic is missing.
        """
        deadline = time.monotonic() + within_s
        consumer, found = self._consumer, None
        try:
            (place,) = assign(consumer, topic, [partition])
            until = end = consumer.end_offsets([place])[place]
            came = _came(consumer, [place], since)[place]
            first = end if came is None else came.offset
            while until > first and found is None:
                begin = max(first, min(until - BACK, 4 * until - 3 * end))  # ever longer steps
                consumer.seek(place, begin)
                while position(consumer, place) < until:
                    for record in consumer.poll(timeout_ms=POLL_MS).get(place, []):
                        if record.offset < until and wanted(record):
                            found = record
                    if time.monotonic() > deadline:
                        return found
                until = begin
        except KafkaError as error:
            raise unreachable(self._cluster, error, f"to read {topic}") from error
        return found

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; 0 where it is missing."""
        return len(self._consumer.partitions_for_topic(topic) or ())

    def close(self) -> None:
        """Release the connection."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def open_consumer(cluster: Cluster, topic: str) -> Iterator[KafkaConsumer]:
    """Yield a consumer without a group; what goes wrong is one `BrokerUnavailable`."""
    knock(cluster)
    consumer = connected(
        KafkaConsumer,
        cluster,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=2 * MAX_MESSAGE_BYTES,
        client_id="lesionstream-reader",
        reconnect_backoff_max_ms=RECONNECT_MS,
        bootstrap_timeout_ms=FIRST_CONTACT_MS,
    )
    try:
        yield consumer
    except KafkaError as error:
        raise unreachable(cluster, error, f"to read {topic}") from error
    finally:
        consumer.close()


def assign(
    consumer: KafkaConsumer, topic: str, partitions: Iterable[int] | None
) -> list[TopicPartition]:
    """Give a consumer partitions of a topic, all of them where None; return them.

    Raises
    ------
    BrokerUnavailable   the topic is missing.
    """
    known = consumer.partitions_for_topic(topic)
    if not known:
        raise BrokerUnavailable(f"topic {topic} is missing: run `lesionstream topics create`")
    wanted = known if partitions is None else set(partitions)
    places = [TopicPartition(topic, partition) for partition in sorted(wanted)]
    consumer.assign(places)
    return places
