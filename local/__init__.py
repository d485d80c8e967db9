"""A local Apache Kafka and Redis: started once, found again, stopped cleanly.

A leaf: it imports nothing of ours. Everything it knows is in a state folder (`home`) and in the
process table, so that any program may call it from anywhere, twice, or at the same time::

    endpoints = local.up(Path(".lesionstream"))
    endpoints.kafka   # "127.0.0.1:23417"
    endpoints.redis   # "redis://127.0.0.1:21106/0"
    local.down(Path(".lesionstream"))
"""

from local.errors import LocalError
from local.jars import KAFKA_VERSION, fetch_kafka
from local.stack import Endpoints, down, remembered, status, up

__all__ = [
    "KAFKA_VERSION",
    "Endpoints",
    "LocalError",
    "down",
    "fetch_kafka",
    "remembered",
    "status",
    "up",
]
