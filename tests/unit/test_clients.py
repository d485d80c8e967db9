"""Kafka clients where nobody answers: they raise, and nothing of them goes on."""

import threading

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from wire.clients import connected, made
from wire.cluster import BrokerUnavailable, Cluster

NOBODY = Cluster.plain("127.0.0.1:1")
KINDS = [KafkaAdminClient, KafkaConsumer, KafkaProducer]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_client_that_reached_nobody(kind):
    before = set(threading.enumerate())
    with pytest.raises(KafkaError):
        made(kind, NOBODY, bootstrap_timeout_ms=100)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_said_in_words(kind):
    with pytest.raises(BrokerUnavailable, match=r"no broker answers at 127\.0\.0\.1:1"):
        connected(kind, NOBODY, bootstrap_timeout_ms=100)
