"""What flows, asked of the broker without reading a message."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import OffsetSpec

from wire.clients import connected
from wire.cluster import Cluster
from wire.contact import unreachable
from wire.groups import ANSWER_MS
from wire.topics import DEAD_LETTERS, FIRST_CONTACT_MS, FRAMES, STAT, Names, Topic


@dataclass(frozen=True, slots=True)
class FlowState:
    """What flows at one moment.

    newest_frame : when its producer handed it to Kafka; None where there is none.
    letters : dead letters since the moment asked for.
    """

    newest_frame: datetime | None
    letters: int


class FlowWatch:
    """A connection that tells what flows. Not thread-safe.

    Raises
    ------
    BrokerUnavailable   no broker answers.
    """

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self._cluster = cluster
        self._names = names
        self._admin = connected(
            KafkaAdminClient,
            cluster,
            client_id="lesionstream-watch",
            bootstrap_timeout_ms=FIRST_CONTACT_MS,
            request_timeout_ms=ANSWER_MS,
        )

    def look(self, letters_since: datetime) -> FlowState:
        """Return what flows now.

        Raises
        ------
        BrokerUnavailable   the broker does not answer, or the topics are missing.
        """
        since_ms = int(letters_since.timestamp() * 1000)
        try:
            newest = [
                found
                for topic in (FRAMES, STAT)
                for found in self._offsets(topic, OffsetSpec.MAX_TIMESTAMP).values()
            ]
            first = self._offsets(DEAD_LETTERS, since_ms)
            ends = self._offsets(DEAD_LETTERS, OffsetSpec.LATEST)
        except (KafkaError, ValueError, OSError) as error:
            raise unreachable(self._cluster, error, "to look at what flows") from error
        newest_ms = max((found.timestamp for found in newest), default=-1)
        letters = sum(
            max(0, ends[place].offset - found.offset)
            for place, found in first.items()
            if found.offset >= 0  # else nothing came since
        )
        when = datetime.fromtimestamp(newest_ms / 1000, UTC) if newest_ms >= 0 else None
        return FlowState(when, letters)

    def close(self) -> None:
        """Release the connection."""
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _offsets(self, topic: Topic, spec: int) -> dict[TopicPartition, Any]:
        name = self._names.of(topic)
        places = {TopicPartition(name, n): spec for n in range(topic.partitions)}
        found: dict[TopicPartition, Any] = self._admin.list_partition_offsets(places)
        return found
