"""What runs in a decode process: tasks on what strangers sent, within limits of memory."""

import contextlib
import ctypes
import logging
import mmap
import os
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any

from wire import heap
from wire.decode_channel import READY, SHARED_BYTES, Channel
from wire.errors import FrameError, Reason
from wire.parcel import kinds_of

PR_SET_PDEATHSIG = 1

_TOO_LARGE = FrameError(Reason.TOO_LARGE, "needs more memory than allowed")
_TOO_DEEP = FrameError(Reason.UNDECODABLE, "sequences nested too deeply")


def serve(task: Callable[..., Iterator[Any]], pipe: Connection, memory_bytes: int) -> None:
    """Answer until the parent closes the pipe, or dies (end of file)."""
    # The parent decides when a child ends: a signal to the whole group must not look like a
    # decoder that crashed on somebody's frame.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a looping one goes with us, too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    heap.keep()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # decoders quote values of the data set
    _silence_codecs()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        shared = recv_handle(pipe)
        channel = Channel(pipe, mmap.mmap(shared, SHARED_BYTES), kinds_of(task))
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
