"""A topic as a list that grows: what is asked for again and again is fetched and read only once."""

from typing import Any

from kafka import KafkaConsumer, TopicPartition

from wire.clients import made
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.reading import RECONNECT_MS
from wire.topics import MAX_MESSAGE_BYTES

POLL_MS = 250


class TopicLog:
    """All messages of a topic, from its beginning.

    A test that waits asks ten times a second: a client that starts, reads everything and ends each
    time would take the processor from what the test waits for.
    """

    def __init__(self, kafka: str, name: str) -> None:
        self._consumer = made(
            KafkaConsumer,
            Cluster.plain(kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=2 * MAX_MESSAGE_BYTES,
            reconnect_backoff_max_ms=RECONNECT_MS,  # the broker may have been away
        )
        self._messages: list[Any] = []
        self._parsed: dict[type[Any], tuple[int, list[Any]]] = {}
        known = self._consumer.partitions_for_topic(name)
        if not known:
            self.close()
            raise LookupError(f"no topic {name}")
        self._places = [TopicPartition(name, partition) for partition in sorted(known)]
        self._consumer.assign(self._places)
        self._consumer.seek_to_beginning(*self._places)

    def messages(self) -> list[Any]:
        """Return all there is by now, in order within each partition."""
        ends = self.ends()
        while any(self._consumer.position(place) < end for place, end in ends.items()):
            for found in self._consumer.poll(timeout_ms=POLL_MS).values():
                self._messages += found
        return list(self._messages)

    def of_kind(self, record: Any) -> list[Any]:
        """Return the records of one kind."""
        messages = self.messages()
        done, parsed = self._parsed.get(record, (0, []))
        parsed += [
            record.model_validate_json(message.value)
            for message in messages[done:]
            if Envelope.of(message.headers).kind == record.kind
        ]
        self._parsed[record] = len(messages), parsed
        return list(parsed)

    def ends(self) -> dict[TopicPartition, int]:
        """Return where each partition ends by now."""
        found: dict[TopicPartition, int] = self._consumer.end_offsets(self._places)
        return found

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()
