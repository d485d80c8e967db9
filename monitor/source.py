"""The messages of `alerts` from any offset on: from memory where they are, else from Kafka."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import structlog

from monitor.ring import Heard, Ring, heard
from wire.cluster import BrokerUnavailable, Cluster
from wire.reading import first_offset, read

log = structlog.get_logger(__name__)

AT_ONCE = 200
"""Messages handed over together."""

BACKLOGS = 4
"""Clients that are served from Kafka at one time; others wait, and hear the beat meanwhile."""

RETRY_S = 1.0
WAIT_S = 10.0


class Bell:
    """Wakes all who wait, again and again. For one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def ring_from_outside(self) -> None:
        """Wake who waits, from another thread or a signal."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.ring)

    async def wait(self, within_s: float) -> None:
        """Return once it rings, or the time is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), max(0.0, within_s))


@dataclass(frozen=True, slots=True)
class Part:
    """Some messages, and the offset to go on at. gap : [from, to) that nobody has any more."""

    messages: list[Heard]
    offset: int
    gap: tuple[int, int] | None = None


class Source:
    """What is said on `alerts`, for any number of listeners.

    Parameters
    ----------
    read : whether the ring has come to what was the end of the topic.
    bell : rung when the ring has something new.
    topic : as it is named on the cluster.
    """

    def __init__(
        self, ring: Ring, read: Callable[[], bool], bell: Bell, cluster: Cluster, topic: str
    ) -> None:
        self._ring = ring
        self._read = read
        self._bell = bell
        self._cluster = cluster
        self._topic = topic
        self._slots = asyncio.Semaphore(BACKLOGS)
        self._threads = ThreadPoolExecutor(BACKLOGS + 1, thread_name_prefix="backlog")

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def now(self) -> int | None:
        """Return the offset of what comes next; None until the topic is read to its end."""
        return self._ring.next if self._read() else None

    async def follow(self, offset: int) -> AsyncGenerator[Part, None]:
        """Yield all messages from `offset` on, in order, for ever."""
        while True:
            at_end = self._read()
            found = self._ring.since(offset, AT_ONCE)
            if at_end and offset > self._ring.next:
                # An offset of another log: who waited for it would hear nothing for long.
                yield Part([], self._ring.next, gap=(offset, self._ring.next))
                offset = self._ring.next
            elif found is None:
                try:
                    async for part in self._backlog(offset):
                        yield part
                        offset = part.offset
                except BrokerUnavailable as error:  # the beat tells it; tried again from here
                    log.warning("backlog not read", why=str(error))
                    await asyncio.sleep(RETRY_S)
            elif found[0]:
                yield Part(*found)
                offset = found[1]
            else:
                offset = found[1]
                await self._bell.wait(WAIT_S)

    async def _backlog(self, offset: int) -> AsyncGenerator[Part, None]:
        """Yield what has left the ring, up to where the ring is now."""
        async with self._slots:
            loop, threads = asyncio.get_running_loop(), self._threads
            first = await loop.run_in_executor(threads, first_offset, self._cluster, self._topic, 0)
            if first > offset:
                yield Part([], first, gap=(offset, first))
                offset = first
            backlog = _Backlog(self._cluster, self._topic, offset, self._ring)
            try:
                while backlog.offset < backlog.until:
                    yield await loop.run_in_executor(threads, backlog.part)
            finally:
                backlog.stopped = True
                with suppress(RuntimeError):  # the threads are released already
                    threads.submit(backlog.close)


class _Backlog:
    """Reads a stretch of `alerts` from Kafka. Its methods block, and are called by threads."""

    def __init__(self, cluster: Cluster, topic: str, offset: int, ring: Ring) -> None:
        self.offset = offset
        self.until = ring.next
        self.stopped = False
        self._ring = ring
        self._lock = threading.Lock()
        self._seen: set[UUID] = set()
        self._records = read(
            cluster, topic, begin=offset, until={0: self.until}, stop=lambda: self.stopped
        )

    def part(self) -> Part:
        """Return the next messages; those that were said before under the same id are left out."""
        with self._lock:
            messages = []
            records = list(islice(self._records, AT_ONCE))
            for record in records:
                try:
                    message = heard(record)
                except ValueError:  # counted where the ring reads
                    message = None
                if message is not None and not self._repeats(message):
                    messages.append(message)
            self.offset = records[-1].offset + 1 if len(records) == AT_ONCE else self.until
            return Part(messages, self.offset)

    def close(self) -> None:
        """Release the connection, once no thread reads any more."""
        with self._lock:
            self._records.close()

    def _repeats(self, message: Heard) -> bool:
        if message.event != "alert":
            return False
        said = message.record.id in self._seen or self._ring.repeats(message)
        self._seen.add(message.record.id)
        return said
