"""A Faust consumer that holds so many bytes and no more, whatever waits on the broker.

Faust bounds messages, not bytes, and aiokafka reads ahead on each partition by itself: with frames
of 31 MiB on all partitions a worker held 2.8 GiB (``python -m benchmarks.held``). And where Faust's
own buffer is full on all partitions at once, it sleeps a second, whatever has been worked off by
then: fast workers stood still most of the time.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, cast
from weakref import ref

from faust.transport.drivers import aiokafka as driver
from faust.types import Message

HELD_BYTES = 96 << 20
"""Of messages that were fetched and are still held by anybody: three of the largest, 180 CT slices.
While so many are held nothing more is fetched; what was asked for by then still comes: 16 MiB, or
one message."""

FETCH_MAX_BYTES = 16 << 20
"""Of all partitions together in one answer of a broker; a larger message comes all the same. Which
partitions come first is drawn anew for each fetch. Kafka's default, 50 MB, costs memory and wins
nothing."""

AGAIN_S = 0.02


def bounded(transport: Any) -> None:
    """Let the consumer that an app will make hold `HELD_BYTES` at the most."""
    transport.Consumer = _Consumer


class _Thread(driver.AIOKafkaConsumerThread):
    """aiokafka's thread: its `getmany` runs on the app's loop, `_fetch_records` on its own."""

    _room_bytes = HELD_BYTES

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:
        self._room_bytes = HELD_BYTES - cast(_Consumer, self.consumer).held.bytes()
        if self._room_bytes <= 0:
            await asyncio.sleep(AGAIN_S)
            return {}
        return await super().getmany(active_partitions, timeout)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_bytes = FETCH_MAX_BYTES  # noqa: SLF001 -- Faust has no setting for it
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        consumer.resume(*consumer.paused())
        records: Mapping[Any, list[Any]] = await super()._fetch_records(consumer, *args, **kwargs)
        fetched = sum(len(record.value or b"") for some in records.values() for record in some)
        if 2 * fetched >= self._room_bytes:  # another one like it would be too many
            consumer.pause(*consumer.assignment())
        return records


class Held:
    """The bytes of the values of messages that anybody still has: a queue, an agent.

    Counted as they come and go, for it is asked fifty times a second whatever waits. A message may
    be let go of on any thread: what changes is noted, and added up by the one who asks.
    """

    def __init__(self) -> None:
        self._changes: deque[int] = deque()
        self._bytes = 0
        self._alive: dict[int, _Sized] = {}

    def add(self, message: Message) -> None:
        """Count a message until nobody has it any more."""
        sized = _Sized(message, self._gone)
        sized.size = len(message.value or b"")
        self._alive[id(sized)] = sized
        self._changes.append(sized.size)

    def _gone(self, sized: "_Sized") -> None:
        del self._alive[id(sized)]
        self._changes.append(-sized.size)

    def bytes(self) -> int:
        """Return how many bytes are held now; one thread asks."""
        while self._changes:
            self._bytes += self._changes.popleft()
        return self._bytes


class _Sized(ref[Message]):
    """A weak reference that knows how large its message was."""

    __slots__ = ("size",)
    size: int


class _Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held = Held()

    def _to_message(self, tp: Any, record: Any) -> Any:
        message = super()._to_message(tp, record)
        self.held.add(message)
        return message

    async def wait_first(self, *waited: Any, timeout: Any = None) -> Any:
        """Deliver a message at once where there is room for it: Faust makes four tasks for each."""
        if len(waited) == 2 and self.flow_active and not self._full():
            delivery, suspension = waited
            suspension.close()
            return await delivery
        return await super().wait_first(*waited, timeout=timeout)

    def _full(self) -> bool:
        return any(channel.queue.full() for channel in self.app.topics)

    def on_buffer_full(self, tp: Any) -> None:
        """Go on with the partition: who delivers waits for room in the buffer as it is."""

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Let the app finish what is in hand, and commit, first.

        Faust would forget what was acknowledged since the last commit: it would be done again.
        """
        await self._on_partitions_revoked(revoked)
        await super().on_partitions_revoked(revoked)
