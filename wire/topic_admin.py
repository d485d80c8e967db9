"""Topics on a cluster: create what is missing, and tell what differs. The only admin client."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    ClusterAuthorizationFailedError,
    CoordinatorNotAvailableError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from wire.clients import connected
from wire.cluster import BrokerRefused, Cluster
from wire.cluster import BrokerUnavailable as BrokerUnavailable  # where it was first
from wire.contact import knock, unreachable
from wire.rights import Role, rights
from wire.topics import FIRST_CONTACT_MS, TOPICS, Names, Topic


class TopicsMissing(BrokerUnavailable):
    """The broker answers, and has not all topics.

    Operator action: run ``lesionstream topics create``.
    """


REPLICAS = 3
"""Replicas of each partition where the cluster has as many brokers, else 1."""


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
def _admin(cluster: Cluster) -> Iterator[KafkaAdminClient]:
    knock(cluster)
    client = connected(
        KafkaAdminClient,
        cluster,
        client_id="lesionstream-admin",
        request_timeout_ms=10_000,
        bootstrap_timeout_ms=FIRST_CONTACT_MS,
    )
    try:
        yield client
    except KafkaError as error:
        raise unreachable(cluster, error, "to make topics or look at their settings") from error
    finally:
        client.close()


def create(cluster: Cluster, names: Names) -> list[str]:
    """Create the topics that are missing; return their names. Idempotent.

    Raises
    ------
    BrokerUnavailable   no broker, or it refused.
    """
    with _admin(cluster) as client:
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


def describe(cluster: Cluster, names: Names) -> list[TopicState]:
    """Return each topic as it is, and what is wrong with it.

    Raises
    ------
    BrokerUnavailable   no broker, or it refused.
    """
    with _admin(cluster) as client:
        existing = set(client.list_topics())
        wanted = [names.of(topic) for topic in TOPICS if names.of(topic) in existing]
        found = {t["name"]: t for t in client.describe_topics(wanted)} if wanted else {}
        configs = _configs(client, wanted)
        return [
            _state(topic, names.of(topic), found.get(names.of(topic)), configs) for topic in TOPICS
        ]


def topic_ids(cluster: Cluster, names: Names) -> dict[str, str]:
    """Return the id of each topic, by its name without prefix; those missing are left out."""
    with _admin(cluster) as client:
        found = _seen(client, [names.of(topic) for topic in TOPICS])
        return {
            topic.name: str(found[name]["topic_id"])
            for topic in TOPICS
            if not found[name := names.of(topic)]["error_code"]
        }


def lacking(cluster: Cluster, names: Names, role: Role) -> BrokerUnavailable | None:
    """Return what keeps a process from its work: a topic, or a right; None where nothing does.

    Raises
    ------
    BrokerUnavailable   no broker, or it refused.
    """
    with _admin(cluster) as client:
        topics = _seen(client, [names.of(topic) for topic in TOPICS])
        unseen = ClusterAuthorizationFailedError.errno, TopicAuthorizationFailedError.errno
        may = {name: _allowed(found) for name, found in topics.items()}
        may |= {name: set() for name, found in topics.items() if found["error_code"] in unseen}
        if role.group is not None:
            group = names.group(role.group)
            # A broker that has just begun has no groups yet.
            with contextlib.suppress(CoordinatorNotAvailableError):
                may[group] = _allowed(client.describe_groups([group])[group])
    denied = [
        str(right)
        for right in rights(role, names)
        if (known := may.get(right.name)) is not None and right.code not in known
    ]
    user = cluster.login.user if cluster.login else "nobody in particular"
    if denied:
        return BrokerRefused(f"refused: {user} lacks the right to {', '.join(denied)}")
    missing = [name for name, found in topics.items() if found["error_code"]]
    return TopicsMissing(f"topics missing: {', '.join(missing)}") if missing else None


def _seen(client: KafkaAdminClient, wanted: list[str]) -> dict[str, Any]:
    """Return what the broker tells us of topics, missing ones and forbidden ones too."""
    return {topic["name"]: topic for topic in client.describe_topics(wanted)}


def _allowed(found: Mapping[str, Any]) -> set[str] | None:
    """Return what we may do with a topic or group; None where the broker does not tell."""
    operations = found.get("authorized_operations")
    return set(operations) if operations else None


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
