"""Consumer groups: who works, and how far behind; asked of the broker, not of the workers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from wire.clients import connected
from wire.cluster import BrokerUnavailable, Cluster
from wire.contact import unreachable
from wire.topics import FIRST_CONTACT_MS, UNASKED

ANSWER_MS = 5_000

YOUNGEST_S, OLDEST_S = 0.5, 24 * 3600.0
STEPS = 7
"""Between these ages, halved so often by their logarithms, what waits is known to a tenth."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """One consumer group on one topic.

    lag : messages behind, by partition.
    members : processes in the group.
    stable : whether each has its partitions.
    done : the offset up to which all is acknowledged, by partition.
    oldest : when the oldest message that waits was handed to Kafka; None where none waits, or
        where nobody asked.
    begun : whether it has ever acknowledged anything.
    """

    lag: dict[int, int]
    members: int
    stable: bool
    done: dict[int, int] = field(default_factory=dict)
    oldest: datetime | None = None
    begun: bool = False

    @property
    def behind(self) -> int:
        """Return how many messages wait in all."""
        return sum(self.lag.values())


def wanted(worker: str, group: GroupState) -> bool:
    """Tell whether a worker is missed where none runs.

    One for urgent series, once some came; one for models, once one has worked: what it takes in is
    there in any stack.
    """
    if worker == "models":
        return bool(group.members) or group.begun
    asked = group.members or group.behind or any(group.done.values())
    return worker not in UNASKED or bool(asked)


class GroupWatch:
    """A connection that tells the state of one group. Not thread-safe.

    Raises
    ------
    BrokerUnavailable   no broker answers.
    """

    def __init__(self, cluster: Cluster, group: str, topic: str) -> None:
        self._cluster = cluster
        self._group = group
        self._topic = topic
        patience = {"bootstrap_timeout_ms": FIRST_CONTACT_MS, "request_timeout_ms": ANSWER_MS}
        told = {"client_id": "lesionstream-watch", **patience}
        self._consumer = connected(KafkaConsumer, cluster, enable_auto_commit=False, **told)
        try:
            self._admin = connected(KafkaAdminClient, cluster, **told)
        except BrokerUnavailable:
            self._consumer.close()
            raise

    def look_for_age(self) -> GroupState:
        """Return the state now, and how old what waits is; errors as `look`.

        No message is read: the broker is asked which offset a moment has.
        """
        state, now = self.look(), datetime.now(UTC)
        places = {TopicPartition(self._topic, p): state.done[p] for p, n in state.lag.items() if n}

        def first_since(moments: Mapping[TopicPartition, datetime]) -> dict[TopicPartition, _Found]:
            asked = {place: int(when.timestamp() * 1000) for place, when in moments.items()}
            found = self._consumer.offsets_for_times(asked)
            return {
                place: (at.offset, datetime.fromtimestamp(at.timestamp / 1000, UTC)) if at else None
                for place, at in found.items()
            }

        try:
            return replace(state, oldest=_oldest(places, first_since, now))
        except (KafkaError, ValueError, OSError) as error:
            raise unreachable(self._cluster, error, f"to look at {self._topic}") from error

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
            raise unreachable(self._cluster, error, f"to look at group {self._group}") from error
        lag, done = {}, {}
        for place in places:
            entry = committed.get(place)
            offset = entry.offset if entry is not None and entry.offset >= 0 else starts[place]
            done[place.partition] = max(offset, starts[place])
            lag[place.partition] = max(0, ends[place] - done[place.partition])
        members = len(described["members"])
        stable = bool(members) and described["group_state"] == "Stable"
        begun = any(entry.offset >= 0 for entry in committed.values())
        return GroupState(lag, members, stable, done, begun=begun)

    def close(self) -> None:
        """Release the connections."""
        self._consumer.close()
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Found = tuple[int, datetime] | None
"""(offset, time) of the first message since a moment; None where none came since."""


def _oldest(
    waiting: Mapping[TopicPartition, int],
    first_since: Callable[[Mapping[TopicPartition, datetime]], Mapping[TopicPartition, _Found]],
    now: datetime,
) -> datetime | None:
    """Return when the oldest message that waits came, to a tenth of its age.

    None: none waits, or it cannot be known, for a message says that it comes from the future.

    Parameters
    ----------
    waiting : partition -> offset of the first message that waits.
    first_since : asks all partitions at once.
    """
    between = dict.fromkeys(waiting, (YOUNGEST_S, OLDEST_S))
    known: dict[TopicPartition, datetime] = {}
    unknown = False
    for _ in range(STEPS if waiting else 0):
        ages_s = {place: (least * most) ** 0.5 for place, (least, most) in between.items()}
        found = first_since({place: now - timedelta(seconds=s) for place, s in ages_s.items()})
        for place, (least, most) in list(between.items()):
            first = found.get(place)
            if first is not None and first[1] > now:  # a clock that runs ahead hides all else
                unknown = True
                del between[place]
            elif first is not None and first[0] == waiting[place]:
                known[place] = first[1]
                del between[place]
            elif first is None or first[0] > waiting[place]:  # what waits came before
                between[place] = (ages_s[place], most)
            else:
                between[place] = (least, ages_s[place])
        if not between:
            break
    guessed = (now - timedelta(seconds=least) for least, _ in between.values())
    return None if unknown else min([*known.values(), *guessed], default=None)
