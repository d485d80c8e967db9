"""The loop that a user writes in an afternoon, with kafka-python: poll, score, send, commit.

At least once: every answer is confirmed before the offsets are committed, after each poll.
"""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.scores import Scores

MAX_POLL_RECORDS = 16


def main() -> None:
    """Answer until killed."""
    told = options.read()
    scores = Scores(told.threads)
    consumer = KafkaConsumer(
        told.frames,
        bootstrap_servers=told.kafka,
        group_id=told.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=MAX_POLL_RECORDS,
    )
    producer = KafkaProducer(bootstrap_servers=told.kafka, acks="all", compression_type="lz4")
    while True:
        for messages in consumer.poll(timeout_ms=500).values():
            for message in messages:
                headers = dict(message.headers)
                received = headers.get("ce_time", b"").decode()
                answer = scores.of(message.value, received)
                producer.send(told.results, answer, key=message.key)
        producer.flush()
        consumer.commit()


if __name__ == "__main__":
    main()
