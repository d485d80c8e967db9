"""Processes that parse what strangers sent: with a memory limit, a deadline, and leave to die.

A task is a generator function at module level: ``task(*args) -> Iterator[T]``. It runs in a child
process and its items come back one by one. A file that crashes, exhausts or stalls its child costs
that child and nothing else.
"""

import atexit
import contextlib
import fcntl
import math
import mmap
import multiprocessing
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import send_handle
from typing import Any, Self

from wire.decode_channel import READY, SHARED_BYTES, Channel
from wire.decode_child import serve
from wire.errors import FrameError, Reason
from wire.parcel import Garbled, kinds_of

MEMORY_BYTES = 1 << 30
"""Address space of a child: its own 0.4 GiB and room for a 31 MiB frame several times over."""

DEADLINE_S = 30.0
"""For one frame. The slowest real one measured (JPEG 2000, busy machine) took 0.4 s; a start of a
child (1 s) counts too."""

START_S = 60.0

LOOK_S = 0.5
"""How often it is seen whether a child that began to speak comes to an end."""

_ENVIRONMENT = threading.Lock()
"""Held by who changes the environment for a child that it starts."""

KINDS = ("item", "end", "error")

ATTEMPTS = 2
"""A child may be killed from outside (out of memory, an operator): only a second death is blamed
on the file."""


@dataclass(slots=True, eq=False)
class _Child:
    process: SpawnProcess
    channel: Channel
    until_s: float = math.inf  # the moment by which it must have said all it is saying

    def end(self) -> None:
        self.channel.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class DecoderUnavailable(Exception):
    """No decode process can be started: nothing can be said of any frame, so none is blamed.

    Operator action: see that memory and processes are left (`ulimit -a`), and that this user may
    read the Python installation; then start the command again.
    """


class _ChildLost(Exception):
    """The child died or overran its deadline; `why` in words."""


class DecodePool:
    """Run `task` in up to `workers` child processes. Thread-safe; one call uses one child.

    Parameters
    ----------
    task : generator function of a module. Its annotations say which dataclasses its items and
        arguments hold; see `wire.parcel` for what else they may.
    memory_bytes : address-space limit of each child.
    deadline_s : for each item, the first one included.
    """

    def __init__(
        self,
        task: Callable[..., Iterator[Any]],
        *,
        workers: int = 1,
        memory_bytes: int = MEMORY_BYTES,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._task = task
        self._kinds = kinds_of(task)
        self._memory_bytes = memory_bytes
        self._deadline_s = deadline_s
        self._idle: queue.Queue[_Child | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)  # started when first used
        self._children: list[_Child] = []
        # A child dies with the thread that started it (PDEATHSIG): callers' threads come and go.
        self._starter = ThreadPoolExecutor(workers, thread_name_prefix="decoder-start")
        # Also at the end of the process: multiprocessing would join children that ignore SIGTERM.
        closed = threading.Event()
        self._end_all = weakref.finalize(self, _end_all, self._children, closed)
        threading.Thread(
            target=_kill_overdue,
            args=(self._children, closed),
            name="decoder-deadline",
            daemon=True,
        ).start()
        atexit.register(self._end_all)  # runs before multiprocessing's own, which is older

    def warm_up(self, children: int = 1) -> None:
        """Start so many now: the first frames need not wait the second that takes."""
        idle = [self._idle.get() for _ in range(children)]
        started = [self._starter.submit(self._start) for child in idle if child is None]
        for child in [*filter(None, idle), *(start.result() for start in started)]:
            self._idle.put(child)

    def run(self, *args: object) -> Iterator[Any]:
        """Yield the items of ``task(*args)``.

        Raises
        ------
        FrameError   raised by the task; or `undecodable` where the child died or overran its
            deadline `ATTEMPTS` times. A repeated attempt skips the items already yielded: tasks
            are deterministic.
        """
        done = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for number, item in enumerate(self._attempt(args)):
                    if number >= done:
                        yield item
                        done += 1
                return
            except _ChildLost as lost:
                if attempt == ATTEMPTS:
                    raise FrameError(Reason.UNDECODABLE, f"the decoder {lost}") from lost

    def one(self, *args: object) -> Any:
        """Return the only item of ``task(*args)``."""
        (item,) = self.run(*args)
        return item

    def close(self) -> None:
        """End all children, those in use too; the pool cannot be used any more."""
        self._end_all()
        self._starter.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attempt(self, args: tuple[object, ...]) -> Iterator[Any]:
        if not self._end_all.alive:
            raise RuntimeError("the decode pool is closed")
        child: _Child | None = self._idle.get()
        finished = False
        try:
            if child is None or not child.process.is_alive():
                if child is not None:
                    self._end(child)
                child = self._started()
            yield from self._conversation(child, args)
            finished = True
        except FrameError:
            finished = True  # the child answered: it is well
            raise
        finally:
            if not finished and child is not None:
                self._end(child)
                child = None
            self._idle.put(child)

    def _conversation(self, child: _Child, args: tuple[object, ...]) -> Iterator[Any]:
        try:
            channel = child.channel
            channel.send(args, in_memory=True)
            while True:
                if not channel.pipe.poll(self._deadline_s):
                    raise _ChildLost(f"took longer than {self._deadline_s:g} s for one frame")
                child.until_s = time.monotonic() + self._deadline_s  # a first byte is no answer
                try:
                    kind, value = _pair(channel.receive())
                finally:
                    child.until_s = math.inf
                if kind == "end":
                    return
                if kind == "error":
                    raise value
                yield value
        except Garbled as error:
            raise _ChildLost("answered nonsense") from error
        except (EOFError, OSError) as error:
            raise _ChildLost("process died") from error

    def _started(self) -> _Child:
        return self._starter.submit(self._start).result()

    def _start(self) -> _Child:
        try:
            return self._start_one()
        except OSError as error:  # no memory, processes or files are left: no frame is to blame
            words = f"a decode process does not start ({type(error).__name__})"
            raise DecoderUnavailable(words) from error

    def _start_one(self) -> _Child:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(self._task, theirs, self._memory_bytes), daemon=True
        )
        with _single_threaded_blas():
            process.start()
        theirs.close()
        shared = _shared_memory()
        child = _Child(process, Channel(ours, mmap.mmap(shared, SHARED_BYTES), self._kinds))
        self._children.append(child)
        try:
            send_handle(ours, shared, process.pid)
            if ours.poll(START_S) and ours.recv_bytes(len(READY)) == READY:
                return child
        except (EOFError, OSError):
            pass  # it died: told below
        finally:
            os.close(shared)
        self._end(child)
        raise DecoderUnavailable("a decode process does not start")

    def _end(self, child: _Child) -> None:
        if child in self._children:
            self._children.remove(child)
            child.end()


def _kill_overdue(children: list[_Child], closed: threading.Event) -> None:
    """Kill, until the pool is closed, what does not come to an end with what it says."""
    while not closed.wait(LOOK_S):
        for child in list(children):
            if time.monotonic() > child.until_s:
                with contextlib.suppress(ValueError):  # ended by its own thread meanwhile
                    child.process.kill()


def _pair(answer: Any) -> tuple[str, Any]:
    """Return what kind of answer it is, and its value."""
    if not (isinstance(answer, tuple) and len(answer) == 2 and answer[0] in KINDS):
        raise Garbled("no answer")
    if answer[0] == "error" and not isinstance(answer[1], FrameError):
        raise Garbled("no error")
    return answer


def _shared_memory() -> int:
    """Return the descriptor of memory that no one can shrink while another reads it."""
    descriptor = os.memfd_create("decode-pool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SHARED_BYTES)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return descriptor


def _end_all(children: list[_Child], closed: threading.Event) -> None:
    closed.set()
    while children:
        children.pop().end()


@contextlib.contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Let a child inherit one BLAS thread: each further one reserves address space."""
    with _ENVIRONMENT:
        before = os.environ.get("OPENBLAS_NUM_THREADS")
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ["OPENBLAS_NUM_THREADS"]
            else:
                os.environ["OPENBLAS_NUM_THREADS"] = before
