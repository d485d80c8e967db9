"""What the pipeline costs on top of its engine, beside others who do the same; `make bench`.

Run as ``python -m benchmarks.speed [--data FOLDER]``. Starts a Kafka and a Redis of its own.
Writes docs/performance.json, the tables of docs/performance.md and docs/performance.png. The peers
need an environment with the extra ``bench``: ``--python`` says which.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import local
from benchmarks.speed import latency, overhead, page
from benchmarks.speed.contest import (
    ENGINE,
    KERAS,
    OURS,
    PEERS,
    Bench,
    compete,
    draining,
    everybody,
)
from benchmarks.speed.corpus import corpus
from lesionstream.console import say

LOADS = (0.25, 0.5, 0.75, 0.9)
SMALL, SMALL_FRAMES = 256, 6000


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="holds lidc-dicom: every second frame is real")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the engine")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load; 0: none")
    parser.add_argument("--scale", type=int, nargs="*", default=[1, 2, 4], help="processes")
    parser.add_argument("--check", action="store_true", help="compare with docs/performance.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lesionstream-speed-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        found = local.up(home, say=say)
        bench = Bench(str(found.kafka), str(found.redis), home, args.python)
        figures = measure(bench, args)
    if args.check:
        return page.check(figures)
    page.write(figures)
    say(f"written: {page.FIGURES}, {page.PAGE}, {page.PICTURE}")
    return 0


def measure(bench: Bench, args: argparse.Namespace) -> dict[str, object]:
    """Return all figures, as docs/performance.json has them."""
    lidc = None if args.data is None else args.data / "lidc-dicom"
    frames = corpus(args.frames, 96, lidc=lidc)
    rows = compete(bench, frames, everybody(args.threads), args.repeats, times={KERAS: 0.25})
    named = {(row.name, row.threads): row for row in rows}
    first = args.threads[0]
    beyond, parts = overhead.measure(
        bench, frames, args.repeats, named[ENGINE, first], named[OURS, first]
    )
    base = corpus(200, 96, side=SMALL)
    small = [base[number % len(base)] for number in range(SMALL_FRAMES)]
    bare = ("aiokafka in and out", 1, draining(lambda bench: bench.peer("bare", "bare_kafka", 1)))
    none = ("no engine", 1, draining(lambda bench: bench.no_engine("--undecoded")))
    tiny = compete(bench, small, [none, bare], args.repeats)
    scaled = compete(
        bench,
        frames,
        [
            (f"{n} processes", 1, draining(partial(Bench.ours, threads=1, processes=n)))
            for n in args.scale
        ],
        args.repeats,
    )
    late = [
        latency.measure(
            bench,
            bench.ours(threads) if name == OURS else bench.peer(name, PEERS[name], threads),
            threads,
            frames,
            load=load,
            capacity=row.rate,
            seconds=args.seconds,
        )
        for load in LOADS
        if args.seconds
        for (name, threads), row in named.items()
        if threads == first and (name == OURS or name in PEERS)
    ]
    return {
        "machine": page.machine(),
        "frames": args.frames,
        "real": lidc is not None,
        "repeats": args.repeats,
        "throughput": [row.to_json() for row in rows],
        "overhead": {"kafka": beyond.kafka, "ours": beyond.ours, "nothing": beyond.nothing},
        "parts": [row.to_json() for row in parts],
        "small": [row.to_json() for row in tiny],
        "scale": [row.to_json() for row in scaled],
        "latency": [one.to_json() for one in late],
    }


if __name__ == "__main__":
    sys.exit(main())
