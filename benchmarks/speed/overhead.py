"""What the pipeline costs beside its engine, in the CPU time of the worker's processes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.speed.contest import Bench, Row, Setup, compete, draining, in_memory
from producers.prepare import Prepared

KAFKA, LOOK, NOTHING = "aiokafka in and out", "decode and prepare alone", "no engine"
ONE = Setup()


@dataclass(frozen=True, slots=True)
class Overhead:
    """CPU seconds a frame, medians over the repeats.

    Attributes
    ----------
    kafka : aiokafka takes the same bytes in and gives an answer out.
    ours : what Lesionstream uses beyond the engine alone.
    nothing : what it uses beyond decoding and preparing, with an engine that answers at once.
    """

    kafka: float
    ours: float
    nothing: float


def measure(
    bench: Bench, frames: Sequence[Prepared], repeats: int, engine: Row, ours: Row
) -> tuple[Overhead, list[Row]]:
    """Measure the rest, beside `engine` and `ours` of the same session."""
    rows = compete(
        bench,
        frames,
        [
            (KAFKA, ONE, draining(Bench.bare_kafka, times=8)),
            (LOOK, ONE, in_memory("bare_look", ONE)),
            (NOTHING, ONE, draining(Bench.no_engine)),
        ],
        repeats,
    )
    kafka, look, nothing = (statistics.median(row.cpu_s) for row in rows)
    beyond = statistics.median(a - b for a, b in zip(ours.cpu_s, engine.cpu_s, strict=True))
    return Overhead(kafka, beyond, nothing - look), rows
