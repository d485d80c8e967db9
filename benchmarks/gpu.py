"""Our TensorRT engine beside raw TensorRT, on the GPU of this machine: `bash benchmarks/gpu.sh`.

The limit is `execute_async_v3` on buffers that lie on the card: nothing is copied, nothing waited
for; alone, and as a CUDA graph. Ours copies each batch from pinned memory and its answers back. All
in turns, in one process, by the same plan; ratios are of medians of the turns, to the better limit.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engines import DEFAULT_ENGINE, CtSlice, cuda, prepare
from engines.cuda_graph import CudaGraph
from engines.loading import CATALOGUE, load_engine, load_model
from engines.parity import SHARE, TOLERANCE, gap, views
from engines.tensorrt_builder import build
from engines.tensorrt_common import sizes, started
from engines.tensorrt_runtime import TensorRtModel
from engines.typed_onnx import PlanPrecision, typed

TURNS = 5
LATENCIES = 500


@dataclass(frozen=True, slots=True)
class Row:
    """One precision at one batch size; rates in frames a second, latencies of one batch in ms."""

    precision: str
    batch: int
    build_s: float
    gap: float
    graph: bool
    raw_rate: float
    raw_graph_rate: float
    our_rate: float
    ratio: float
    raw_p50_ms: float
    raw_p99_ms: float
    our_p50_ms: float
    our_p99_ms: float
    latency_ratio: float
    onnxruntime_cuda_rate: float | None


class Raw:
    """A plan on buffers that stay on the card: what TensorRT alone can do."""

    def __init__(self, plan: bytes, batch: int, *, graph: bool = False) -> None:
        import pycuda.driver as driver
        import tensorrt as trt

        driver.init()
        self._primary = driver.Device(0).retain_primary_context()
        self._primary.push()
        self._runtime = started(trt.Runtime)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._context = self._engine.create_execution_context()
        self._stream = driver.Stream(1)
        profile = self._engine.num_optimization_profiles - 1
        self._context.set_optimization_profile_async(profile, self._stream.handle)
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._memory = []
        for name in names:
            if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                rest = sizes(self._engine.get_tensor_shape(name))[1:]
                assert self._context.set_input_shape(name, (batch, *rest))
        for name in names:
            size = int(np.prod(sizes(self._context.get_tensor_shape(name)))) * 4
            self._memory.append(driver.mem_alloc(size))
            self._context.set_tensor_address(name, int(self._memory[-1]))
        self._graph: CudaGraph | None = None
        self.enqueue()
        self.wait()
        if graph:
            self._graph = CudaGraph(self._stream.handle, self.enqueue)

    def enqueue(self) -> None:
        if self._graph is not None:
            self._graph.launch()
        else:
            assert self._context.execute_async_v3(self._stream.handle)

    def wait(self) -> None:
        self._stream.synchronize()

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()
        del self._context, self._engine, self._runtime, self._stream
        for memory in self._memory:
            memory.free()
        self._primary.pop()


def measure(engine: str, precision: PlanPrecision, batch: int, timing: Path, seconds: float) -> Row:
    """Build, compare, and measure one plan; `timing` is the file of TensorRT's timing cache."""

    def told(phase: str, step: int, of: int) -> None:
        print(f"\r{precision}, batch {batch}: {phase} {step}/{of}   ", end="", file=sys.stderr)

    cpu_precision: Literal["fp32", "int8"] = "int8" if precision == "int8" else "fp32"
    file = "model.int8.onnx" if precision == "int8" else "model.onnx"
    onnx = typed((CATALOGUE / engine / file).read_bytes(), precision)
    began = time.perf_counter()
    built = build(onnx, batch=batch, timing=timing.read_bytes(), watch=told)
    build_s = time.perf_counter() - began
    timing.write_bytes(built.timing)
    timing.with_name(f"{engine}-{precision}-{batch}.plan").write_bytes(built.plan)
    with ExitStack() as end:
        ours = TensorRtModel(built.plan, precision=precision)
        end.callback(ours.close)
        _, cpu = load_model(engine, precision=cpu_precision)
        apart = gap(cpu, ours, share=SHARE[precision], batch=batch)
        cpu.close()
        raw, graph = (Raw(built.plan, batch, graph=graph) for graph in (False, True))
        end.callback(raw.close)
        end.callback(graph.close)
        frames = _pinned(ours, batch)
        rates: list[list[float]] = [[], [], []]
        turns = (
            lambda count: _raw_turn(raw, count),
            lambda count: _raw_turn(graph, count),
            lambda count: _our_turn(ours, frames, count),
        )
        for _ in range(TURNS):
            for of, turn in zip(rates, turns, strict=True):
                of.append(_rate(turn, batch, seconds / TURNS))
        raw_ms = _latencies(lambda: _raw_turn(raw, 1))
        our_ms = _latencies(lambda: ours.run(frames[0]))
        captured = not ours.not_captured
        frames.clear()  # pinned memory goes back while the card is at hand
    raw_rate, graph_rate, our_rate = map(statistics.median, rates)
    raw_p50, our_p50 = float(np.median(raw_ms)), float(np.median(our_ms))
    row = Row(
        precision=precision,
        batch=batch,
        build_s=round(build_s, 1),
        gap=apart,
        graph=captured,
        raw_rate=raw_rate,
        raw_graph_rate=graph_rate,
        our_rate=our_rate,
        ratio=our_rate / max(raw_rate, graph_rate),
        raw_p50_ms=raw_p50,
        raw_p99_ms=float(np.percentile(raw_ms, 99)),
        our_p50_ms=our_p50,
        our_p99_ms=float(np.percentile(our_ms, 99)),
        latency_ratio=our_p50 / raw_p50,
        onnxruntime_cuda_rate=_onnxruntime(engine, batch, seconds) if precision == "fp32" else None,
    )
    print(f"\r{row}", file=sys.stderr)
    return row


def _pinned(model: TensorRtModel, batch: int) -> list[NDArray[np.float32]]:
    """Return a few batches in pinned memory, where a decoder on the way to a GPU would put them."""
    pictures = list(views(model.input_shape, 8))
    batches = []
    for first in range(3):
        pinned = model.pinned(batch)
        for i in range(batch):
            pinned[i] = pictures[(first + i) % len(pictures)][0]
        batches.append(pinned)
    return batches


def _raw_turn(raw: Raw, count: int) -> None:
    for _ in range(count):
        raw.enqueue()
    raw.wait()


def _our_turn(model: TensorRtModel, frames: list[NDArray[np.float32]], count: int) -> None:
    endless: Iterator[NDArray[np.float32]] = (batch for some in repeat(frames) for batch in some)
    for _ in model.stream(islice(endless, count)):
        pass


def _rate(turn: Callable[[int], None], batch: int, seconds: float) -> float:
    """Return frames a second, of a turn that takes about so long."""
    count = 4
    while True:
        began = time.perf_counter()
        turn(count)
        spent = time.perf_counter() - began
        if spent >= seconds / 2:
            return count * batch / spent
        count = max(count * 2, int(count * seconds / max(spent, 1e-4)))


def _latencies(once: Callable[[], object]) -> NDArray[np.float64]:
    for _ in range(50):
        once()
    spent = []
    for _ in range(LATENCIES):
        began = time.perf_counter()
        once()
        spent.append((time.perf_counter() - began) * 1000)
    return np.asarray(spent)


def _onnxruntime(engine: str, batch: int, seconds: float) -> float | None:
    """Return the rate of ONNX Runtime's CUDA provider; None where there is none."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return None
    path = CATALOGUE / engine / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CUDAExecutionProvider"])
    (entry,) = session.get_inputs()
    view = np.zeros((batch, *entry.shape[1:]), np.float32)

    def turn(count: int) -> None:
        for _ in range(count):
            session.run(None, {entry.name: view})

    return _rate(turn, batch, seconds / TURNS)


def before_the_gpu(engine: str) -> dict[str, float]:
    """Measure what a frame of 512 x 512 costs on one CPU core before it is on the card."""
    from benchmarks.speed.corpus import corpus
    from wire.frame import decode_frame

    loaded = load_engine(engine, device="cpu")
    decoded, cut = [], []
    for sent in corpus(60, 4):
        began = time.perf_counter()
        frame = decode_frame(sent.payload)
        decoded.append((time.perf_counter() - began) * 1000)
        assert frame.about.pixel_spacing_mm is not None
        ct = CtSlice(frame.hu(), frame.about.pixel_spacing_mm)
        began = time.perf_counter()
        prepare(ct, loaded.preparation)
        cut.append((time.perf_counter() - began) * 1000)
    loaded.close()
    decode_ms, cut_ms = float(np.median(decoded)), float(np.median(cut))
    return {
        "decode_p50_ms": decode_ms,
        "lung_cut_p50_ms": cut_ms,
        "frames_a_second_and_core": 1000 / (decode_ms + cut_ms),
    }


def main() -> int:
    """Measure; 1 where parity is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--precisions", default="fp32,fp16,int8")
    parser.add_argument("--batches", default="1,4,16,64")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate")
    args = parser.parse_args()
    why = cuda.lacking()
    if why:
        print(f"benchmarks.gpu: {why}", file=sys.stderr)
        return 2
    import tensorrt as trt

    timing = args.out / "timing.cache"
    timing.touch()
    rows: list[Row] = []
    path = args.out / "gpu.json"
    said: dict[str, object] = {
        "engine": args.engine,
        "gpu": asdict(cuda.devices()[0]),
        "tensorrt": trt.__version__,
        "python": platform.python_version(),
    }
    for precision in args.precisions.split(","):
        for batch in args.batches.split(","):
            rows.append(measure(args.engine, precision, int(batch), timing, args.seconds))
            said["rows"] = [asdict(row) for row in rows]
            path.write_text(json.dumps(said, indent=1) + "\n")
    said["before_the_gpu"] = before_the_gpu(args.engine)
    path.write_text(json.dumps(said, indent=1) + "\n")
    lost = [row for row in rows if row.gap > TOLERANCE[row.precision]]
    print(f"{path}: {len(rows)} rows, parity lost in {len(lost)}")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
