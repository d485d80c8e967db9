"""A Faust consumer that holds so many bytes and no more, whatever waits on the broker.

Faust bounds messages, not bytes, and aiokafka reads ahead on each partition by itself: with frames
of 31 MiB on all partitions a worker held 2.8 GiB (``python -m benchmarks.held``).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver

HELD_BYTES = 96 << 20
"""Of messages in hand that are not acknowledged: three of the largest, 180 CT slices. While so many
are held nothing more is fetched; what was asked for by then still comes, 50 MB at the most. What
lies in Faust's queue, 32 messages at the most, is not counted: nobody has taken it up yet."""

FEW = 16
"""A fetch of more messages may fill Faust's queue: until it was handed on, nothing is read ahead.
Below it the next fetch is under way while this one is worked on."""

AGAIN_S = 0.02


def bounded(transport: Any) -> None:
    """Let the consumer that an app will make hold `HELD_BYTES` at the most."""
    transport.Consumer = _Consumer


class _Thread(driver.AIOKafkaConsumerThread):
    """aiokafka's thread: its `getmany` runs on the app's loop, `_fetch_records` on its own."""

    _room_bytes = HELD_BYTES

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:
        held = sum(len(message.value or b"") for message in self.consumer.unacked)
        self._room_bytes = HELD_BYTES - held
        if self._room_bytes <= 0:
            await asyncio.sleep(AGAIN_S)
            return {}
        return await super().getmany(active_partitions, timeout)

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        consumer.resume(*consumer.paused())
        records: Mapping[Any, list[Any]] = await super()._fetch_records(consumer, *args, **kwargs)
        sizes = [len(record.value or b"") for some in records.values() for record in some]
        if len(sizes) > FEW or 2 * sum(sizes) >= self._room_bytes:
            consumer.pause(*consumer.assignment())
        return records


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Let the app finish what is in hand, and commit, first.

        Faust would forget what was acknowledged since the last commit: it would be done again.
        """
        await self._on_partitions_revoked(revoked)
        await super().on_partitions_revoked(revoked)
