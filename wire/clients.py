"""Clients of kafka-python, none of which is left behind half made."""

from typing import Any

from kafka.errors import KafkaError

from wire.cluster import Cluster
from wire.contact import unreachable


def connected(kind: Any, cluster: Cluster, **settings: Any) -> Any:
    """Return a consumer, producer or admin client of `kind` that has reached a broker.

    Raises
    ------
    BrokerUnavailable   no broker answers; in words for an operator.
    """
    try:
        return made(kind, cluster, **settings)
    except (KafkaError, ValueError, OSError) as error:
        raise unreachable(cluster, error) from error


def made(kind: Any, cluster: Cluster, **settings: Any) -> Any:
    """Return the same; raises what the constructor raises.

    Constructors start a thread, and raise where no broker answers: nobody would have the client to
    close it, and the thread would go on to ask, one more with each new try.
    """
    inner = []

    def remembered(**config: Any) -> Any:
        inner.append(kind.DEFAULT_CONFIG["kafka_client"](**config))
        return inner[-1]

    try:
        return kind(**cluster.client(), **settings, kafka_client=remembered)
    except BaseException:
        for client in inner:
            client.close()
        raise
