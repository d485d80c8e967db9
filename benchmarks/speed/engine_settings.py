"""What the settings of ONNX Runtime are worth: one changed at a time, in turn, the same views."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines import load_engine
from engines.loading import CATALOGUE, read_card
from engines.lung_field import parts
from engines.onnx_runtime import session_options
from lesionstream.console import progress_bar
from producers.prepare import Prepared
from stream.looking import Wanted, look
from wire.errors import FrameError

ENGINE = "lesion"
VIEWS, RUNS = 8, 40

View = NDArray[np.float32]
Session = Callable[[View], list[View]]


def _level(name: str) -> Callable[[Any], None]:
    def change(options: Any) -> None:
        import onnxruntime

        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = getattr(levels, f"ORT_{name}")

    return change


def _branches_at_once(options: Any) -> None:
    import onnxruntime

    options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.inter_op_num_threads = 2


def _spinning(options: Any) -> None:
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")


def _no_arena(options: Any) -> None:
    options.enable_cpu_mem_arena = False


def _flushed(options: Any) -> None:
    options.add_session_config_entry("session.set_denormal_as_zero", "1")


SETTINGS: dict[str, tuple[int, Callable[[Any], None]]] = {
    "as shipped, 1 thread": (1, lambda options: None),
    "graph not optimised": (1, _level("DISABLE_ALL")),
    "graph: basic": (1, _level("ENABLE_BASIC")),
    "no memory arena": (1, _no_arena),
    "denormals as zero": (1, _flushed),
    "branches at once, 2 threads": (1, _branches_at_once),
    "as shipped, 2 threads": (2, lambda options: None),
    "2 threads that spin": (2, _spinning),
}
"""Name -> threads, and what is changed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one set of settings does.

    Attributes
    ----------
    rates, cpu_s : inferences a second, and CPU seconds of each, repeat by repeat.
    difference : the greatest of any output to the first setting's.
    """

    name: str
    rates: list[float]
    cpu_s: list[float]
    difference: float


def measure(frames: Sequence[Prepared], repeats: int) -> list[dict[str, object]]:
    """Measure the shipped engine's file with each of `SETTINGS`."""
    views = _views(frames)
    sessions = {name: _session(*setting) for name, setting in SETTINGS.items()}
    reference = [next(iter(sessions.values()))(view) for view in views]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
    with progress_bar("runs") as bar:
        task = bar.add_task("settings", total=repeats * len(SETTINGS), note="")
        for _ in range(repeats):
            for name, session in sessions.items():
                wall, cpu = time.perf_counter(), time.process_time()
                for view in islice(cycle(views), RUNS):
                    session(view)
                took = time.perf_counter() - wall, time.process_time() - cpu
                spent[name].append(took)
                bar.advance(task)
    return [
        asdict(
            Setting(
                name,
                [RUNS / wall for wall, _ in spent[name]],
                [cpu / RUNS for _, cpu in spent[name]],
                _difference(reference, [session(view) for view in views]),
            )
        )
        for name, session in sessions.items()
    ]


def table(settings: Sequence[dict[str, Any]]) -> str:
    """Return the table of the page; times to the first setting, repeat by repeat."""
    first = settings[0]["rates"]
    lines = [
        "| | speed to the first | CPU ms | greatest difference in an output |",
        "|---|---|---|---|",
    ]
    for one in settings:
        speed = statistics.median(a / b for a, b in zip(one["rates"], first, strict=True))
        cpu_ms = 1000 * statistics.median(one["cpu_s"])
        lines.append(f"| {one['name']} | {speed:.2f} | {cpu_ms:.1f} | {one['difference']:.1g} |")
    return "\n".join(lines)


def _views(frames: Sequence[Prepared]) -> list[View]:
    """Return what the network takes of some frames."""
    wanted = Wanted.by(load_engine(ENGINE))
    views = []
    for frame in frames[:VIEWS]:
        ready = look(frame.payload, None, wanted).ready
        if isinstance(ready, FrameError):
            raise ready
        views += [part[None, None] for view in ready.views for _, _, part in parts(view)]
    return views


def _session(threads: int, change: Callable[[Any], None]) -> Session:
    options = session_options(threads)
    change(options)
    import onnxruntime  # not before the options: they turn off what it reports

    card = read_card(ENGINE)
    file = f"model{'' if card.precision == 'fp32' else '.' + card.precision}.onnx"
    session = onnxruntime.InferenceSession(
        os.fspath(CATALOGUE / ENGINE / file), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda view: list(session.run(None, {name: view}))


def _difference(some: list[list[View]], others: list[list[View]]) -> float:
    return max(
        float(np.max(np.abs(a - b)))
        for one, other in zip(some, others, strict=True)
        for a, b in zip(one, other, strict=True)
    )
