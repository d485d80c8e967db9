"""The same with Quix Streams, as its documentation has it: a dataframe from topic to topic.

https://quix.io/docs/quix-streams/ - ``at-least-once`` with its commit interval: the producer is
flushed, then the offsets are committed.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.kafka_loop import COMMIT_S, FETCH_BYTES
from benchmarks.speed.contenders.scores import Scores


def main() -> None:
    """Answer until killed."""
    told = options.read()
    scores = Scores(told.threads)
    app = Application(
        broker_address=told.kafka,
        consumer_group=told.group,
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        auto_create_topics=False,
        commit_interval=COMMIT_S,
        consumer_extra_config={"max.partition.fetch.bytes": FETCH_BYTES},
        producer_extra_config={"compression.type": "lz4", "linger.ms": 0},
        loglevel="WARNING",
    )
    frames = app.topic(told.frames, value_deserializer="bytes", key_deserializer="bytes")
    results = app.topic(told.results, value_serializer="bytes", key_serializer="bytes")

    def answer(value: bytes, key: Any, timestamp: int, headers: Any) -> bytes:
        received = dict(headers or ()).get("ce_time", b"").decode()
        return scores.of(value, received)

    app.dataframe(frames).apply(answer, metadata=True).to_topic(results)
    app.run()


if __name__ == "__main__":
    main()
