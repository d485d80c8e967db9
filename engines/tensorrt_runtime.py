"""TensorRT on a GPU through pycuda: plans at work. Ask `engines.cuda.lacking` before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engines.cuda import NoCuda
from engines.cuda_graph import CudaGraph
from engines.errors import EngineFailed
from engines.tensorrt_common import TensorRtLog, sizes

if TYPE_CHECKING:
    import tensorrt as trt

Answers = Mapping[str, NDArray[np.float32]]

SLOTS = 2
"""Batches on their way at a time: one is copied while the other is computed."""


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
        self._log = TensorRtLog()
        self._slots: dict[int, list[_Slot]] = {}
        with _current(), _failing(self._log):
            self._runtime: trt.Runtime | None = trt.Runtime(self._log.logger)
            engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineFailed(f"TensorRT does not load the plan: {self._log.words()}")
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
            self._profiles = engine.num_optimization_profiles
            _, _, most = engine.get_tensor_profile_shape(self._input, self._profiles - 1)
            self.batch = most[0]
            self._engine: trt.ICudaEngine | None = engine

    def run(self, view: NDArray[np.float32]) -> Answers:
        """Answer with every output by name; see `engines.model.Model.run`.

        Parameters
        ----------
        view : of `input_shape`; of a free first axis from 1 to `batch`. More than one are brought
            to `batch`, whose kernels are the same ones whatever is in it.
        """
        with _current(), _failing(self._log):
            slot = self._slots_of(view)[0]
            slot.start(view)
            return {name: answer.copy() for name, answer in slot.finish(len(view)).items()}

    def stream(self, views: Iterable[NDArray[np.float32]]) -> Iterator[Answers]:
        """Answer batch after batch, in order; one is copied while the other is computed.

        Parameters
        ----------
        views : all of one size. Those of `pinned` memory are copied to the card as they lie; they
            must stay as they are until their answer is there.

        Returns
        -------
        Arrays that hold until the next answer is asked for.

        Raises
        ------
        EngineFailed  as `run`.
        """
        waiting: deque[tuple[_Slot, int]] = deque()
        slots: Iterator[_Slot] | None = None
        for view in views:
            with _current(), _failing(self._log):
                slots = slots or cycle(self._slots_of(view))
                slot = next(slots)
                slot.start(view)
            waiting.append((slot, len(view)))
            if len(waiting) == SLOTS:
                yield self._finish(*waiting.popleft())
        while waiting:
            yield self._finish(*waiting.popleft())

    def pinned(self, count: int) -> NDArray[np.float32]:
        """Return memory for `count` frames that the card reads by itself: (count, ...) float32."""
        import pycuda.driver as driver

        with _current(), _failing(self._log):
            shape = (count, *self.input_shape[1:])
            memory: NDArray[np.float32] = driver.pagelocked_empty(shape, np.float32)
            return memory

    def close(self) -> None:
        """Give back the memory of card and host; what is on its way is waited for."""
        if self._engine is None:
            return
        with _current():
            for slot in [slot for slots in self._slots.values() for slot in slots]:
                slot.close()
            self._slots.clear()
            self._engine = self._runtime = None

    def _finish(self, slot: _Slot, count: int) -> Answers:
        with _current(), _failing(self._log):
            return slot.finish(count)

    def _slots_of(self, view: NDArray[np.float32]) -> list[_Slot]:
        """Return the slots for batches of its size, made when they are first wanted."""
        if self._engine is None:
            raise EngineFailed("the engine is closed; load it again")
        count = len(view)
        if tuple(view.shape[1:]) != self.input_shape[1:] or not 1 <= count <= self.batch:
            raise EngineFailed(
                f"takes {self.input_shape}, at most {self.batch} at once; not {view.shape}"
            )
        size = 1 if count == 1 else self.batch
        if size not in self._slots:
            profile = 0 if size == 1 else self._profiles - 1
            shape = (size, *self.input_shape[1:])
            self._slots[size] = [
                _Slot(self._engine, self._input, self.outputs, shape, profile) for _ in range(SLOTS)
            ]
            self.not_captured = self._slots[size][0].not_captured
        return self._slots[size]


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
        self._stream = driver.Stream()
        context = engine.create_execution_context()
        if context is None:
            raise EngineFailed("TensorRT makes no execution context: no memory left on the card?")
        if not context.set_optimization_profile_async(profile, self._stream.handle):
            raise EngineFailed(f"the plan has no profile {profile}")
        if not context.set_input_shape(source, shape):
            raise EngineFailed(f"the plan takes no input of {shape}")
        self._context: trt.IExecutionContext | None = context
        self._held = driver.pagelocked_zeros(shape, np.float32)
        self._input = driver.mem_alloc(self._held.nbytes)
        context.set_tensor_address(source, int(self._input))
        self._answers: dict[str, NDArray[np.float32]] = {}
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
        except NoCuda as why:
            self.not_captured = str(why)

    def start(self, view: NDArray[np.float32]) -> None:
        """Put a batch on its way; the card reads pinned memory by itself, other is copied."""
        whole = (
            len(view) == len(self._held) and view.flags.c_contiguous and view.dtype == np.float32
        )
        source = view
        if not (whole and self._pinned(view)):
            self._held[: len(view)] = view
            source = self._held
        self._driver.memcpy_htod_async(self._input, source, self._stream)
        if self._graph is None:
            self._compute()
        else:
            self._graph.launch()

    def finish(self, count: int) -> Answers:
        """Wait for the answers to the first `count` frames."""
        self._stream.synchronize()
        return {name: answer[:count] for name, answer in self._answers.items()}

    def close(self) -> None:
        self._stream.synchronize()
        if self._graph is not None:
            self._graph.close()
        self._context = None
        for memory in (self._input, *self._outputs.values()):
            memory.free()

    def _pinned(self, view: NDArray[np.float32]) -> bool:
        memory: object = view
        while isinstance(memory, np.ndarray):
            memory = memory.base
        return isinstance(memory, self._driver.PagelockedHostAllocation)

    def _compute(self) -> None:
        if self._context is None or not self._context.execute_async_v3(self._stream.handle):
            raise EngineFailed("TensorRT does not execute the plan")
        for name, answer in self._answers.items():
            self._driver.memcpy_dtoh_async(answer, self._outputs[name], self._stream)


@lru_cache(maxsize=1)
def _primary() -> Any:
    """Return the context that all engines of this process share, on its first card."""
    import pycuda.driver as driver

    driver.init()
    return driver.Device(0).retain_primary_context()


@contextmanager
def _current() -> Iterator[None]:
    """Make the context that of this thread, for as long."""
    context = _primary()
    context.push()
    try:
        yield
    finally:
        context.pop()


@contextmanager
def _failing(log: TensorRtLog) -> Iterator[None]:
    """Say the errors of driver and TensorRT as every backend does."""
    import pycuda.driver as driver

    try:
        yield
    except (NoCuda, driver.Error) as error:
        raise EngineFailed(f"the GPU failed: {error}; TensorRT: {log.words()}") from error
