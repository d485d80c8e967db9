"""Threads in a row: each item is looked at ahead of its turn, then worked on, one after the other.

What goes in first comes out first, whichever was looked at first. Queues between threads rather
than futures: at a thousand frames a second a future for each would cost as much as all else that is
done for it.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """What goes through a line."""

    def look(self) -> None:
        """Do what can be done ahead; on a thread of its own."""

    def work(self) -> None:
        """Do what must be done in turn; on the one thread for it."""


@dataclass(slots=True, eq=False)
class _Turn:
    """An item in the line; `looked` once it was looked at."""

    item: Item
    looked: bool = False


class Line:
    """Threads that look ahead, `looking` of them, and one that works.

    An item is to note what it raises: a thread that ended would be noticed by nobody.
    """

    def __init__(self, name: str, looking: int = 1) -> None:
        self._in: SimpleQueue[_Turn] = SimpleQueue()
        self._order: deque[_Turn] = deque()
        self._one_at_a_time = threading.Lock()
        self._looked: SimpleQueue[Item] = SimpleQueue()
        for what, target in (*[("look", self._look)] * looking, ("work", self._work)):
            threading.Thread(target=target, name=f"{name}-{what}", daemon=True).start()

    def put(self, item: Item) -> None:
        """Let an item go through, behind all that were put in before; from one thread."""
        turn = _Turn(item)
        self._order.append(turn)
        self._in.put(turn)

    def _look(self) -> None:
        while True:
            turn = self._in.get()
            turn.item.look()
            with self._one_at_a_time:
                turn.looked = True
                while self._order and self._order[0].looked:
                    self._looked.put(self._order.popleft().item)

    def _work(self) -> None:
        while True:
            self._looked.get().work()


T = TypeVar("T")


class Call(Generic[T]):
    """A function that is called in turn, in between two items; await `done`."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[T] = self._loop.create_future()

    def look(self) -> None:
        """Nothing can be done ahead."""

    def work(self) -> None:
        """Call it."""
        try:
            answer = self._function()
        except Exception as error:  # `done` raises it
            self._loop.call_soon_threadsafe(self._raise, error)
        else:
            self._loop.call_soon_threadsafe(self._return, answer)

    def _return(self, answer: T) -> None:
        if not self.done.cancelled():
            self.done.set_result(answer)

    def _raise(self, error: Exception) -> None:
        if not self.done.cancelled():
            self.done.set_exception(error)


class Post(Generic[T]):
    """What threads say to a loop, in order. The loop is woken once for all that it did not read."""

    def __init__(self) -> None:
        self._said: deque[T] = deque()
        self._awake = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._any = asyncio.Event()

    def open(self) -> None:
        """Say on which loop it is read: the running one."""
        self._loop = asyncio.get_running_loop()

    def put(self, said: T) -> None:
        """Say something; from any thread."""
        self._said.append(said)
        if not self._awake and self._loop is not None:
            self._awake = True
            self._loop.call_soon_threadsafe(self._any.set)

    async def get(self) -> T:
        """Return what was said first."""
        while True:
            self._awake = False  # before the look: what is said from now on wakes us
            if self._said:
                return self._said.popleft()
            await self._any.wait()
            self._any.clear()
