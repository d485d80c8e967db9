"""The loop that a user writes in an afternoon, with kafka-python: poll, score, send, commit.

At least once: every second, all answers are confirmed, then the offsets are committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.scores import Scores

MAX_POLL_RECORDS = 16
FETCH_BYTES = 4 << 20  # the default, 1 MiB, holds one frame and a half
COMMIT_S = 1.0
CONFIRM_S = 30.0


def main() -> None:
    """Answer until killed."""
    told = options.read()
    scores = Scores(told.threads)
    loop(told, scores.of)


def loop(told: options.Options, answer: Callable[[bytes, str], bytes]) -> None:
    """Answer what comes, for ever."""
    consumer = KafkaConsumer(
        told.frames,
        bootstrap_servers=told.kafka,
        group_id=told.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=MAX_POLL_RECORDS,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    producer = KafkaProducer(bootstrap_servers=told.kafka, acks="all", compression_type="lz4")
    sent: list[Any] = []
    committed_s = time.monotonic()
    while True:
        for messages in consumer.poll(timeout_ms=500).values():
            for message in messages:
                received = dict(message.headers).get("ce_time", b"").decode()
                value = answer(message.value, received)
                sent.append(producer.send(told.results, value, key=message.key))
        if sent and time.monotonic() - committed_s > COMMIT_S:
            producer.flush()
            for future in sent:
                future.get(timeout=CONFIRM_S)  # a flush alone does not say what failed
            consumer.commit()
            sent, committed_s = [], time.monotonic()


if __name__ == "__main__":
    main()
