"""Processes that parse what strangers sent: with a memory limit, a deadline, and leave to die.

A task is a generator function at module level: ``task(*args) -> Iterator[T]``. It runs in a child
process and its items come back one by one. A file that crashes, exhausts or stalls its child costs
that child and nothing else.
"""

import atexit
import contextlib
import ctypes
import fcntl
import logging
import mmap
import multiprocessing
import os
import queue
import resource
import signal
import struct
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Self

from wire.errors import FrameError, Reason
from wire.parcel import Garbled, Kinds, kinds_of, pack, unpack

MEMORY_BYTES = 1 << 30
"""Address space of a child: its own 0.4 GiB and room for a 31 MiB frame several times over."""

DEADLINE_S = 30.0
"""For one frame. The slowest real one measured (JPEG 2000, busy machine) took 0.4 s; a start of a
child (1 s) counts too."""

START_S = 60.0
READY = b"ready"

SHARED_BYTES = 4 << 20
"""Memory that a child shares with us: some CT slices, not a mammogram, as it is not given back."""

MAX_BYTES = 256 << 20
"""Of one part of a message: a child that claims more is not believed."""

MAX_PARTS = 64

KINDS = ("item", "end", "error")

_TOO_LARGE = FrameError(Reason.TOO_LARGE, "needs more memory than allowed")
_TOO_DEEP = FrameError(Reason.UNDECODABLE, "sequences nested too deeply")

_IN_PIPE, _IN_MEMORY = b"p", b"m"
_COUNT, _SIZE = struct.Struct("<I"), struct.Struct("<Q")
PR_SET_PDEATHSIG = 1

ATTEMPTS = 2
"""A child may be killed from outside (out of memory, an operator): only a second death is blamed
on the file."""


@dataclass(slots=True, eq=False)
class _Channel:
    """One end of a pipe, and memory that both ends see.

    The arguments of a call and its first item lie in the memory where they fit: for most files
    that is all there is to say, and a pipe copies it four times, in small pieces. Nobody has to
    wait for the memory: the arguments were read when the first item is put there, and the next
    ones are put there only when all items were read. Later items go through the pipe.
    """

    pipe: Connection
    memory: mmap.mmap
    kinds: Kinds

    def send(self, message: object, *, in_memory: bool = False) -> None:
        parts = pack(message)
        sizes = _COUNT.pack(len(parts)) + b"".join(_SIZE.pack(len(part)) for part in parts)
        if in_memory and len(sizes) + sum(map(len, parts)) <= len(self.memory):
            self.memory.seek(0)
            for part in parts:
                self.memory.write(part)
            self.pipe.send_bytes(_IN_MEMORY + sizes)
            return
        self.pipe.send_bytes(_IN_PIPE + sizes)
        for part in parts:
            self.pipe.send_bytes(part)

    def receive(self) -> Any:
        """Return what the other end sent.

        Raises
        ------
        Garbled        it is no message of ours.
        OSError, EOFError  the other end is gone, or claims too much.
        """
        head = self.pipe.recv_bytes(1 + _COUNT.size + MAX_PARTS * _SIZE.size)
        sizes = _sizes(head[1:])
        if head[:1] == _IN_PIPE:
            return unpack([self.pipe.recv_bytes(size) for size in sizes], self.kinds)
        if sum(sizes) > len(self.memory):
            raise Garbled("more than the memory holds")
        self.memory.seek(0)
        return unpack([self.memory.read(size) for size in sizes], self.kinds)


def _sizes(told: bytes) -> list[int]:
    """Return how long the parts of a message are."""
    if len(told) < _COUNT.size or len(told) != _COUNT.size + _COUNT.unpack_from(told)[0] * 8:
        raise Garbled("no sizes")
    sizes = [size for (size,) in _SIZE.iter_unpack(told[_COUNT.size :])]
    if not sizes or sum(sizes) > MAX_BYTES:
        raise Garbled("too large, or nothing")
    return sizes


@dataclass(slots=True, eq=False)
class _Child:
    process: SpawnProcess
    channel: _Channel

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
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="decoder-start")
        # Also at the end of the process: multiprocessing would join children that ignore SIGTERM.
        self._end_all = weakref.finalize(self, _end_all, self._children)
        atexit.register(self._end_all)  # runs before multiprocessing's own, which is older

    def warm_up(self) -> None:
        """Start one child now: the first frame need not wait the second that takes."""
        child = self._idle.get()
        self._idle.put(child or self._started())

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
                with _killed_after(self._deadline_s, child.process):  # a first byte is no answer
                    kind, value = _pair(channel.receive())
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
            target=_serve, args=(self._task, theirs, self._memory_bytes), daemon=True
        )
        with _single_threaded_blas():
            process.start()
        theirs.close()
        shared = _shared_memory()
        child = _Child(process, _Channel(ours, mmap.mmap(shared, SHARED_BYTES), self._kinds))
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


@contextlib.contextmanager
def _killed_after(seconds: float, process: SpawnProcess) -> Iterator[None]:
    """Kill a process that does not come to an end with what it says."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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


def _end_all(children: list[_Child]) -> None:
    while children:
        children.pop().end()


@contextlib.contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Let a child inherit one BLAS thread: each further one reserves address space."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _serve(task: Callable[..., Iterator[Any]], pipe: Connection, memory_bytes: int) -> None:
    """Serve in the child: answer until the parent closes the pipe, or dies (end of file)."""
    # The parent decides when a child ends: a signal to the whole group must not look like a
    # decoder that crashed on somebody's frame.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a looping one goes with us, too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # decoders quote values of the data set
    _silence_codecs()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        shared = recv_handle(pipe)
        channel = _Channel(pipe, mmap.mmap(shared, SHARED_BYTES), kinds_of(task))
        os.close(shared)
        pipe.send_bytes(READY)
        while True:
            args = channel.receive()
            try:
                for number, item in enumerate(task(*args)):
                    channel.send(("item", item), in_memory=number == 0)
                channel.send(("end", None))
            except FrameError as error:
                channel.send(("error", error))
            except MemoryError:
                channel.send(("error", _TOO_LARGE))
            except RecursionError:
                channel.send(("error", _TOO_DEEP))


def _silence_codecs() -> None:
    """Send what C libraries print to stderr to nowhere: it may quote the file."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
