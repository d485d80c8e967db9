"""Read topics without a consumer group: to the end, or on and on."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from wire.topic_admin import BrokerUnavailable
from wire.topics import FIRST_CONTACT_MS, MAX_MESSAGE_BYTES

POLL_MS = 250


def read(
    bootstrap: str,
    topic: str,
    *,
    partitions: Iterable[int] | None = None,
    from_beginning: bool = True,
    follow: bool = False,
    until: Mapping[int, int] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Any]:
    """Yield kafka-python's records of a topic, in order within each partition.

    Parameters
    ----------
    partitions : all of them where None.
    from_beginning : False starts at what comes after this call.
    follow : True never ends by itself; False ends at what is the end when the call is made.
    until : offset at which a partition ends, if that is before its end.
    stop : asked after each poll.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with _consumer(bootstrap, topic) as consumer:
        places = _assign(consumer, topic, partitions)
        ends = consumer.end_offsets(places)
        if until is not None:
            ends = {at: min(end, until.get(at.partition, end)) for at, end in ends.items()}
        for place in places:
            if from_beginning:
                consumer.seek_to_beginning(place)
            else:
                consumer.seek(place, ends[place])
        while not stop():
            if not follow and all(consumer.position(place) >= ends[place] for place in places):
                return
            for place, records in consumer.poll(timeout_ms=POLL_MS).items():
                yield from (r for r in records if follow or r.offset < ends[place])


def read_one(bootstrap: str, topic: str, partition: int, offset: int) -> Any | None:
    """Return one record; None where there is none (any more) at this offset.

    Raises
    ------
    BrokerUnavailable   no broker answers, or the topic is missing.
    """
    with _consumer(bootstrap, topic) as consumer:
        (place,) = _assign(consumer, topic, [partition])
        first = consumer.beginning_offsets([place])[place]
        end = consumer.end_offsets([place])[place]
        if not first <= offset < end:
            return None
        consumer.seek(place, offset)
        while consumer.position(place) <= offset:
            for record in consumer.poll(timeout_ms=POLL_MS, max_records=1).get(place, []):
                return record if record.offset == offset else None
        return None


@contextlib.contextmanager
def _consumer(bootstrap: str, topic: str) -> Iterator[KafkaConsumer]:
    """Yield a consumer without a group; what goes wrong is one `BrokerUnavailable`."""
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=2 * MAX_MESSAGE_BYTES,
            client_id="lesionstream-reader",
            bootstrap_timeout_ms=FIRST_CONTACT_MS,
        )
    except (KafkaError, ValueError, OSError) as error:
        raise BrokerUnavailable(f"no broker answers at {bootstrap} ({error})") from error
    try:
        yield consumer
    except KafkaError as error:
        raise BrokerUnavailable(f"reading {topic} from {bootstrap} failed ({error})") from error
    finally:
        consumer.close()


def _assign(
    consumer: KafkaConsumer, topic: str, partitions: Iterable[int] | None
) -> list[TopicPartition]:
    known = consumer.partitions_for_topic(topic)
    if not known:
        raise BrokerUnavailable(f"topic {topic} is missing: run `lesionstream topics create`")
    wanted = known if partitions is None else set(partitions)
    places = [TopicPartition(topic, partition) for partition in sorted(wanted)]
    consumer.assign(places)
    return places
