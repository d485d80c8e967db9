"""The topics: names, partitions and how long each is kept. The table of DESIGN, as data."""

from dataclasses import dataclass, field
from typing import Final

from kafka.partitioner.default import murmur2

MAX_MESSAGE_BYTES: Final = 32 << 20
"""Largest message of any topic. Broker, topic, producer and consumer are all told this number."""

FIRST_CONTACT_MS: Final = 8_000
"""How long a command waits for a broker that does not answer: one that is well takes 50 ms, one
that is starting 5 s."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    name : without prefix.
    config : Kafka's topic settings, beside ``max.message.bytes`` which all have.
    content : what its values are, in words.
    """

    name: str
    partitions: int
    content: str
    config: dict[str, str] = field(default_factory=dict, hash=False)

    def settings(self) -> dict[str, str]:
        """Return all topic settings as Kafka takes them."""
        return {"max.message.bytes": str(MAX_MESSAGE_BYTES)} | self.config


# A day, or 8 GiB a partition if that is less: 200 GB in all, 400,000 CT slices.
_A_DAY_OF_FRAMES = {"retention.ms": str(_DAY_MS), "retention.bytes": str(8 << 30)}
FRAMES = Topic(
    "frames",
    24,
    "DICOM Part 10, one de-identified frame, Explicit VR Little Endian",
    _A_DAY_OF_FRAMES,
)
STAT = Topic(
    "frames.stat",
    24,
    "as frames, of urgent series: scored by workers of their own, whatever waits in frames",
    _A_DAY_OF_FRAMES,
)
RESULTS = Topic(
    "results",
    24,
    "JSON finding, assessment, model-evidence, recommendation",
    {"retention.ms": str(90 * _DAY_MS)},
)
ACTIONS = Topic("actions", 24, "JSON action; the audit log", {"retention.ms": "-1"})
ALERTS = Topic("alerts", 1, "JSON alert, in total order", {"retention.ms": str(90 * _DAY_MS)})
DEAD_LETTERS = Topic(
    "frames.dead-letter",
    6,
    "what could not be scored: de-identified bytes, or no value",
    {"retention.ms": "-1"},
)
REPLAYED = Topic(
    "frames.dead-letter.replayed",
    1,
    "JSON replayed: which dead letters were sent through once more",
    {"cleanup.policy": "compact"},
)
PATIENTS = Topic(
    "patients",
    24,
    "JSON patient: snapshots",
    # Older snapshots stay for a day, so that a zombie's late one cannot hide a newer one.
    {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_DAY_MS)},
)

TOPICS: Final = (FRAMES, STAT, RESULTS, ACTIONS, ALERTS, DEAD_LETTERS, REPLAYED, PATIENTS)

INPUT: Final = {"scoring": FRAMES, "scoring-stat": STAT, "patients": RESULTS, "models": RESULTS}
"""What each worker takes in. One worker, one consumer group."""

UNASKED: Final = ("scoring-stat", "models")
"""Workers that a stack may do without; see `wire.groups.wanted`."""


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key as every producer must choose it (Kafka's murmur2)."""
    return (int(murmur2(key.encode())) & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True)
class Names:
    """The names of topics and consumer groups in one stack.

    prefix : lets several stacks share a cluster ("" for one alone).
    """

    prefix: str = ""

    def of(self, topic: Topic) -> str:
        """Return the name of a topic on the cluster."""
        return self.prefix + topic.name

    def topic(self, name: str) -> Topic | None:
        """Return which topic of the contract has a name on the cluster; None for another's."""
        return next((topic for topic in TOPICS if self.of(topic) == name), None)

    def group(self, worker: str) -> str:
        """Return the consumer group of a worker of `INPUT`."""
        return f"{self.prefix}lesionstream-{worker}"
