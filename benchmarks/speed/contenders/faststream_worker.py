"""The same with FastStream, as its documentation has it: a subscriber publishes what it returns.

https://faststream.ag2.ai/latest/kafka/ - ``AckPolicy.NACK_ON_ERROR`` commits after each message
that was handled and whose answer was confirmed: at least once. Several workers share the
partitions; within a partition frames keep their order.
"""

from __future__ import annotations

import asyncio

from aiokafka import ConsumerRecord
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream.kafka.annotations import KafkaMessage

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.kafka_loop import FETCH_BYTES
from benchmarks.speed.contenders.scores import Scores


def main() -> None:
    """Answer until killed."""
    told = options.read()
    scores = Scores(told.threads)
    broker = KafkaBroker(told.kafka, acks="all", compression_type="lz4", logger=None)

    @broker.subscriber(  # type: ignore[untyped-decorator]
        told.frames,
        group_id=told.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_workers=told.workers,
        max_partition_fetch_bytes=FETCH_BYTES,
        decoder=_as_it_is,
    )
    @broker.publisher(told.results)  # type: ignore[untyped-decorator]
    def answer(body: bytes, message: KafkaMessage) -> KafkaResponse:
        record = message.raw_message
        assert isinstance(record, ConsumerRecord)
        received = str(message.headers.get("ce_time", ""))
        return KafkaResponse(scores.of(body, received), key=record.key)

    asyncio.run(FastStream(broker, logger=None).run())


async def _as_it_is(message: KafkaMessage) -> bytes:
    return bytes(message.body)


if __name__ == "__main__":
    main()
