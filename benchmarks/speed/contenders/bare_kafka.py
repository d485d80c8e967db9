"""The least that any answer costs: aiokafka takes the same bytes in, and gives an answer out.

Fetches as Lesionstream does; awaits every answer before it commits, as whoever loses nothing must.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.speed.contenders import options
from stream.faust_app import FETCH_BYTES

ANSWER = bytes(range(256)) * 6
"""As long as a finding without candidates, 1.5 KB."""

COMMIT_S = 1.0


async def answer(told: options.Options) -> None:
    """Answer until cancelled."""
    consumer = AIOKafkaConsumer(
        told.frames,
        bootstrap_servers=told.kafka,
        group_id=told.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=told.kafka, acks="all", compression_type="lz4", enable_idempotence=False
    )
    await consumer.start()
    await producer.start()
    open_: deque[asyncio.Future[object]] = deque()
    committed_s = time.monotonic()
    while True:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=64)
        for messages in fetched.values():
            for message in messages:
                open_.append(await producer.send(told.results, ANSWER, key=message.key))
        if time.monotonic() - committed_s > COMMIT_S:
            while open_:
                await open_.popleft()
            await consumer.commit()
            committed_s = time.monotonic()


if __name__ == "__main__":
    asyncio.run(answer(options.read()))
