"""TensorRT on a GPU through pycuda: plans at work. Ask `engines.cuda.lacking` before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda import NoCuda
from engines.cuda_graph import CudaGraph
from engines.errors import EngineFailed
from engines.tensorrt_common import sizes, started, tensorrt_log

if TYPE_CHECKING:
    import tensorrt as trt

Answers = Mapping[str, NDArray[np.float32]]

ON_THEIR_WAY = 2
"""Batches of a stream at a time: one is copied while the other is computed."""

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: what others do on the default stream delays nothing
_MAKING = Lock()


class TensorRtModel:
    """A plan with one float32 input; see `engines.model.Model`. All of a process share one context.

    Parameters
    ----------
    plan : of `engines.tensorrt_builder.build`, built for this card by this version.
    precision : what it computes in.

    Attributes
    ----------
    batch : the largest batch it takes, >= 1.
    not_captured : why work is not launched as a CUDA graph; "" where it is.

    Raises
    ------
    EngineFailed  TensorRT does not load the plan, or there is no memory for it.
    """

    backend = "tensorrt-cuda"

    def __init__(self, plan: bytes, *, precision: str) -> None:
        import tensorrt as trt  # the `gpu` extra

        self.precision = precision
        self.not_captured = ""
        self._slots: dict[tuple[int, int], _Slot] = {}
        with _on_the_card():
            self._runtime: trt.Runtime | None = started(trt.Runtime)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineFailed(f"TensorRT does not load the plan: {tensorrt_log().words()}")
            names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
            if any(engine.get_tensor_dtype(name) != trt.float32 for name in names):
                raise EngineFailed("the plan has an input or output that is not float32")
            modes = {name: engine.get_tensor_mode(name) for name in names}
            inputs = [name for name in names if modes[name] == trt.TensorIOMode.INPUT]
            if len(inputs) != 1:
                raise EngineFailed(f"the plan has {len(inputs)} inputs; one is expected")
            self._input = inputs[0]
            self.outputs = tuple(name for name in names if name != self._input)
            self.input_shape = sizes(engine.get_tensor_shape(self._input))
            self._last_profile = engine.num_optimization_profiles - 1
            self.batch = self.input_shape[0]
            if self.batch < 1:
                _, _, most = engine.get_tensor_profile_shape(self._input, self._last_profile)
                self.batch = sizes(most)[0]
            self._engine: trt.ICudaEngine | None = engine

    def run(self, view: NDArray[np.float32]) -> Answers:
        """Answer with every output by name; see `engines.model.Model.run`.

        Parameters
        ----------
        view : float32 of `input_shape`; of a free first axis from 1 to `batch`. More than one are
            brought to `batch`, whose kernels are the same ones whatever is in it.
        """
        with _on_the_card():
            slot = self._slot(view, 0)
            slot.start(view)
            return {name: answer.copy() for name, answer in slot.finish(len(view)).items()}

    def stream(self, views: Iterable[NDArray[np.float32]]) -> Iterator[Answers]:
        """Answer batch after batch, in order; one is copied while the other is computed.

        Parameters
        ----------
        views : as for `run`. Full ones of `pinned` memory are copied to the card as they lie; they
            must stay as they are until their answer is there.

        Returns
        -------
        Arrays that hold until the next answer is asked for.

        Raises
        ------
        EngineFailed  as `run`.
        """
        waiting: deque[tuple[_Slot, NDArray[np.float32]]] = deque()
        for number, view in zip(count(), views, strict=False):
            with _on_the_card():
                slot = self._slot(view, 1 + number % ON_THEIR_WAY)
                slot.start(view)
            waiting.append((slot, view))
            if len(waiting) == ON_THEIR_WAY:
                yield self._finish(*waiting.popleft())
        while waiting:
            yield self._finish(*waiting.popleft())

    def pinned(self, frames: int) -> NDArray[np.float32]:
        """Return memory that the card reads by itself: (frames, ...) float32.

        Give it back (let go of it) before the model is closed, on the thread that asked for it.
        """
        with _on_the_card() as driver:
            shape = (frames, *self.input_shape[1:])
            memory: NDArray[np.float32] = driver.pagelocked_empty(shape, np.float32)
            return memory

    def close(self) -> None:
        """Give back the memory of card and host; what is on its way is waited for."""
        slots, self._slots = list(self._slots.values()), {}
        engine, self._engine = self._engine, None
        if engine is None:
            return
        # After an error of the card nothing can be given back, and all of it is lost anyhow.
        with suppress(EngineFailed), _on_the_card():
            while slots:
                with suppress(EngineFailed):
                    slots.pop().close()
            del engine
            self._runtime = None

    @staticmethod
    def _finish(slot: _Slot, view: NDArray[np.float32]) -> Answers:
        with _on_the_card():
            return slot.finish(len(view))

    def _slot(self, view: NDArray[np.float32], number: int) -> _Slot:
        """Return a slot for a batch of its size, made when it is first wanted."""
        if self._engine is None:
            raise EngineFailed("the engine is closed; load it again")
        if tuple(view.shape[1:]) != self.input_shape[1:] or not 1 <= len(view) <= self.batch:
            raise EngineFailed(
                f"takes {self.input_shape}, at most {self.batch} at once; not {view.shape}"
            )
        size = 1 if len(view) == 1 else self.batch
        if (size, number) not in self._slots:
            profile = 0 if size == 1 else self._last_profile
            shape = (size, *self.input_shape[1:])
            slot = _Slot(self._engine, self._input, self.outputs, shape, profile)
            self._slots[size, number] = slot
            self.not_captured = slot.not_captured
        return self._slots[size, number]


class _Slot:
    """A batch on its way: context, stream, memory on both sides, and the graph of all that."""

    def __init__(
        self,
        engine: trt.ICudaEngine,
        source: str,
        outputs: tuple[str, ...],
        shape: tuple[int, ...],
        profile: int,
    ) -> None:
        import pycuda.driver as driver

        self._driver = driver
        self._stream: Any = driver.Stream(_NON_BLOCKING)
        context = engine.create_execution_context()
        if context is None:
            words = tensorrt_log().words()
            raise EngineFailed(f"TensorRT makes no execution context (no memory left?): {words}")
        if not context.set_optimization_profile_async(profile, self._stream.handle):
            raise EngineFailed(f"the plan has no profile {profile}")
        if not context.set_input_shape(source, shape):
            raise EngineFailed(f"the plan takes no input of {shape}")
        self._context: trt.IExecutionContext | None = context
        self._held: Any = driver.pagelocked_zeros(shape, np.float32)
        self._input: Any = driver.mem_alloc(self._held.nbytes)
        context.set_tensor_address(source, int(self._input))
        self._answers: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        for name in outputs:
            answer = driver.pagelocked_zeros(sizes(context.get_tensor_shape(name)), np.float32)
            self._answers[name] = answer
            self._outputs[name] = driver.mem_alloc(answer.nbytes)
            context.set_tensor_address(name, int(self._outputs[name]))
        driver.memcpy_htod_async(self._input, self._held, self._stream)
        self._compute()  # what TensorRT makes late it makes now: it cannot be part of a graph
        self._stream.synchronize()
        self._graph: CudaGraph | None = None
        self.not_captured = ""
        try:
            self._graph = CudaGraph(self._stream.handle, self._compute)
        except (NoCuda, EngineFailed) as why:
            self.not_captured = str(why)

    def start(self, view: NDArray[np.float32]) -> None:
        """Put a batch on its way; the card reads pinned memory by itself, other is copied."""
        source = view
        if not self._can_be_read(view):
            self._held[: len(view)] = view
            source = self._held
        self._driver.memcpy_htod_async(self._input, source, self._stream)
        if self._graph is None:
            self._compute()
        else:
            self._graph.launch()

    def finish(self, frames: int) -> Answers:
        """Wait for the answers to the first so many frames."""
        self._stream.synchronize()
        return {name: answer[:frames] for name, answer in self._answers.items()}

    def close(self) -> None:
        """Give all back; the card's context must be the current one until nothing is left."""
        try:
            self._stream.synchronize()
            if self._graph is not None:
                self._graph.close()
            for memory in (self._input, *self._outputs.values()):
                memory.free()
        except (NoCuda, self._driver.Error) as error:
            raise EngineFailed(f"the GPU failed: {error}") from error
        finally:
            self._context = self._graph = None
            self._held = self._input = self._stream = None
            self._answers, self._outputs = {}, {}

    def _can_be_read(self, view: NDArray[np.float32]) -> bool:
        """Tell whether the card can copy a batch as it lies: whole, float32, and pinned."""
        if view.shape != self._held.shape or view.dtype != np.float32:
            return False
        memory: object = view
        while isinstance(memory, np.ndarray):
            memory = memory.base
        pinned = isinstance(memory, self._driver.PagelockedHostAllocation)
        return pinned and view.flags.c_contiguous

    def _compute(self) -> None:
        if self._context is None or not self._context.execute_async_v3(self._stream.handle):
            raise EngineFailed(f"TensorRT does not execute the plan: {tensorrt_log().words()}")
        for name, answer in self._answers.items():
            self._driver.memcpy_dtoh_async(answer, self._outputs[name], self._stream)


@lru_cache(maxsize=1)
def _primary() -> Any:
    """Return the context that all engines of this process share, on its first card."""
    import pycuda.driver as driver

    driver.init()
    return driver.Device(0).retain_primary_context()


@contextmanager
def _on_the_card() -> Iterator[Any]:
    """Make the card's context that of this thread, for as long; yield pycuda's driver module.

    Raises
    ------
    EngineFailed  driver or TensorRT failed within.
    """
    try:
        import pycuda.driver as driver
    except (ImportError, OSError) as error:
        raise EngineFailed(f"pycuda cannot be loaded: {error}") from error
    try:
        with _MAKING:
            context = _primary()
        context.push()
        try:
            yield driver
        finally:
            context.pop()
    except (NoCuda, driver.Error) as error:
        raise EngineFailed(
            f"the GPU failed: {error}; TensorRT: {tensorrt_log().words()}"
        ) from error
