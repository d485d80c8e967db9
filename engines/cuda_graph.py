"""CUDA graphs, asked of the driver itself: pycuda has none."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from engines.cuda import DRIVER, ask

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads go on as they like


class CudaGraph:
    """Work on a stream, noted once and launched by one call from then on.

    The context that the stream belongs to must be current wherever one is made, launched or closed.

    Parameters
    ----------
    stream : its handle.
    work : puts work on the stream; what it puts there is noted, not done.
    driver : name or path of the driver's library.

    Raises
    ------
    NoCuda  the driver cannot note this work.

    Notes
    -----
    CUDA Driver API: cuStreamBeginCapture, cuStreamEndCapture, cuGraphInstantiateWithFlags,
    cuGraphLaunch, cuGraphExecDestroy, cuGraphDestroy.
    """

    def __init__(self, stream: int, work: Callable[[], None], driver: str = DRIVER) -> None:
        self._cuda = ctypes.CDLL(driver)
        self._stream = ctypes.c_void_p(stream)
        self._run = ctypes.c_void_p()
        noted = ctypes.c_void_p()
        ask(self._cuda, "cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_THREAD_LOCAL))
        try:
            try:
                work()
            finally:
                ask(self._cuda, "cuStreamEndCapture", self._stream, ctypes.byref(noted))
            none = ctypes.c_ulonglong(0)
            ask(self._cuda, "cuGraphInstantiateWithFlags", ctypes.byref(self._run), noted, none)
        finally:
            if noted:
                ask(self._cuda, "cuGraphDestroy", noted)

    def launch(self) -> None:
        """Put all of it on the stream.

        Raises
        ------
        NoCuda  the driver answers with an error; that of earlier work, maybe.
        """
        ask(self._cuda, "cuGraphLaunch", self._run, self._stream)

    def close(self) -> None:
        """Give it back; may be called twice."""
        if self._run:
            run, self._run = self._run, ctypes.c_void_p()
            ask(self._cuda, "cuGraphExecDestroy", run)
