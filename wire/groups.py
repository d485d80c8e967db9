"""Consumer groups: who works, and how far behind; asked of the broker, not of the workers."""

from dataclasses import dataclass, field
from typing import Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from wire.topic_admin import BrokerUnavailable
from wire.topics import FIRST_CONTACT_MS

ANSWER_MS = 5_000


@dataclass(frozen=True, slots=True)
class GroupState:
    """One consumer group on one topic.

    lag : messages behind, by partition.
    members : processes in the group.
    stable : whether each has its partitions.
    done : the offset up to which all is acknowledged, by partition.
    """

    lag: dict[int, int]
    members: int
    stable: bool
    done: dict[int, int] = field(default_factory=dict)

    @property
    def behind(self) -> int:
        """Return how many messages wait in all."""
        return sum(self.lag.values())


class GroupWatch:
    """A connection that tells the state of one group. Not thread-safe.

    Raises
    ------
    BrokerUnavailable   no broker answers.
    """

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._group = group
        self._topic = topic
        servers = bootstrap.split(",")
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=servers,
                enable_auto_commit=False,
                client_id="lesionstream-watch",
                bootstrap_timeout_ms=FIRST_CONTACT_MS,
                request_timeout_ms=ANSWER_MS,
            )
        except (KafkaError, ValueError, OSError) as error:
            raise BrokerUnavailable(f"no broker answers at {bootstrap} ({error})") from error
        try:
            self._admin = KafkaAdminClient(
                bootstrap_servers=servers,
                client_id="lesionstream-watch",
                bootstrap_timeout_ms=FIRST_CONTACT_MS,
                request_timeout_ms=ANSWER_MS,
            )
        except (KafkaError, ValueError, OSError) as error:
            self._consumer.close()
            raise BrokerUnavailable(f"no broker answers at {bootstrap} ({error})") from error

    def look(self) -> GroupState:
        """Return the state now.

        Raises
        ------
        BrokerUnavailable   the broker does not answer, or refuses.
        """
        try:
            known = self._consumer.partitions_for_topic(self._topic) or ()
            places = [TopicPartition(self._topic, partition) for partition in sorted(known)]
            ends = self._consumer.end_offsets(places)
            starts = self._consumer.beginning_offsets(places)
            committed = self._admin.list_group_offsets([self._group])[self._group]
            described = self._admin.describe_groups([self._group])[self._group]
        except (KafkaError, ValueError, OSError) as error:
            raise BrokerUnavailable(f"group {self._group} cannot be asked ({error})") from error
        lag, done = {}, {}
        for place in places:
            entry = committed.get(place)
            offset = entry.offset if entry is not None and entry.offset >= 0 else starts[place]
            done[place.partition] = max(offset, starts[place])
            lag[place.partition] = max(0, ends[place] - done[place.partition])
        members = len(described["members"])
        stable = bool(members) and described["group_state"] == "Stable"
        return GroupState(lag, members, stable, done)

    def close(self) -> None:
        """Release the connections."""
        self._consumer.close()
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
