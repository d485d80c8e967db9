"""Topics on a cluster: create what is missing, and tell what differs. The only admin client."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from wire.topics import FIRST_CONTACT_MS, TOPICS, Names, Topic

REPLICAS = 3
"""Replicas of each partition where the cluster has as many brokers, else 1."""


class BrokerUnavailable(Exception):
    """No broker answers, or it refuses what was asked.

    Operator action: see that Kafka runs at the address in ``LESIONSTREAM_KAFKA``
    (``lesionstream up`` starts a local one), then run the command again.
    """


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic as it is on the cluster.

    topic_id : of this incarnation, "" where missing.
    problems : in words; empty where all is as it should be.
    """

    name: str
    topic_id: str
    partitions: int
    replicas: int
    problems: tuple[str, ...]


@contextlib.contextmanager
def _admin(bootstrap: str) -> Iterator[KafkaAdminClient]:
    try:
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","),
            client_id="lesionstream-admin",
            request_timeout_ms=10_000,
            bootstrap_timeout_ms=FIRST_CONTACT_MS,
        )
    except (KafkaError, ValueError, OSError) as error:
        raise BrokerUnavailable(f"no broker answers at {bootstrap} ({error})") from error
    try:
        yield client
    except KafkaError as error:
        raise BrokerUnavailable(f"the broker at {bootstrap} refused ({error})") from error
    finally:
        client.close()


def create(bootstrap: str, names: Names) -> list[str]:
    """Create the topics that are missing; return their names. Idempotent.

    Raises
    ------
    BrokerUnavailable   no broker, or it refused.
    """
    with _admin(bootstrap) as client:
        existing = set(client.list_topics())
        brokers = len(client.describe_cluster()["brokers"])
        replicas = REPLICAS if brokers >= REPLICAS else 1
        missing = [topic for topic in TOPICS if names.of(topic) not in existing]
        for topic in missing:
            configs = topic.settings()
            if replicas == REPLICAS:
                configs |= {"min.insync.replicas": "2"}
            request = {
                names.of(topic): {
                    "num_partitions": topic.partitions,
                    "replication_factor": replicas,
                    "configs": configs,
                }
            }
            with contextlib.suppress(TopicAlreadyExistsError):  # another one was first
                client.create_topics(request, wait_for_metadata=True)
        return [names.of(topic) for topic in missing]


def describe(bootstrap: str, names: Names) -> list[TopicState]:
    """Return each topic as it is, and what is wrong with it.

    Raises
    ------
    BrokerUnavailable   no broker, or it refused.
    """
    with _admin(bootstrap) as client:
        existing = set(client.list_topics())
        wanted = [names.of(topic) for topic in TOPICS if names.of(topic) in existing]
        found = {t["name"]: t for t in client.describe_topics(wanted)} if wanted else {}
        configs = _configs(client, wanted)
        return [
            _state(topic, names.of(topic), found.get(names.of(topic)), configs) for topic in TOPICS
        ]


def topic_ids(bootstrap: str, names: Names) -> dict[str, str]:
    """Return the id of each topic, by its name without prefix; those missing are left out."""
    return {
        topic.name: state.topic_id
        for topic, state in zip(TOPICS, describe(bootstrap, names), strict=True)
        if state.topic_id
    }


def _configs(client: KafkaAdminClient, wanted: list[str]) -> dict[str, dict[str, str]]:
    """Return the settings of each topic as they are."""
    if not wanted:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    described = client.describe_configs(resources)
    return {
        name: {key: entry["value"] for key, entry in described["topic"][name].items()}
        for name in wanted
    }


def _state(
    topic: Topic, name: str, found: dict[str, object] | None, configs: dict[str, dict[str, str]]
) -> TopicState:
    if found is None:
        return TopicState(name, "", 0, 0, ("missing: run `lesionstream topics create`",))
    partitions = found["partitions"]
    assert isinstance(partitions, list)  # noqa: S101
    problems = []
    if len(partitions) != topic.partitions:
        problems.append(
            f"{len(partitions)} partitions instead of {topic.partitions}: "
            "see docs/operations.md, Partition counts"
        )
    for key, value in topic.settings().items():
        actual = configs.get(name, {}).get(key)
        if actual != value:
            problems.append(f"{key} is {actual} instead of {value}")
    replicas = min((len(p["replica_nodes"]) for p in partitions), default=0)
    return TopicState(name, str(found["topic_id"]), len(partitions), replicas, tuple(problems))
