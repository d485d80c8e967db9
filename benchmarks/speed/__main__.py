"""What the pipeline costs on top of its engine, beside others who do the same; `make bench`.

Run as ``python -m benchmarks.speed [--data FOLDER]``. Starts a Kafka and a Redis of its own.
Writes docs/performance.json, the tables of docs/performance.md and docs/capacity.md, and their
pictures. The peers need an environment with the extra ``bench``: ``--python`` says which.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import cycle, islice
from pathlib import Path

import local
from benchmarks import brokers
from benchmarks.speed import deciding, engine_settings, latency, overhead, page, profile, stored
from benchmarks.speed.contest import (
    ENGINE,
    OURS,
    PEERS,
    SETUPS,
    Bench,
    Row,
    Run,
    Runs,
    Setup,
    compete,
    drained_by,
    draining,
    everybody,
)
from benchmarks.speed.corpus import corpus
from lesionstream.console import say
from local.broker import Broker
from producers.prepare import Prepared

SMALL, SMALL_FRAMES = 256, 6000
PROFILED_FRAMES = 1500


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--data", type=Path, help="holds lidc-dicom: every second frame is real")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each load")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.25, 0.5, 0.75, 0.9])
    parser.add_argument("--scale", type=int, nargs="*", default=[1, 2, 4], help="processes")
    parser.add_argument("--decoders", type=int, nargs="*", default=[1, 2], help="of one worker")
    parser.add_argument("--check", action="store_true", help="compare with docs/performance.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lesionstream-speed-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        found = local.up(home, say=say)
        running = Broker(home.resolve()).find()
        pids = () if running is None else (running.pid,)
        bench = Bench(str(found.kafka), str(found.redis), home, args.python, pids)
        lidc = None if args.data is None else args.data / "lidc-dicom"
        frames = corpus(args.frames, 96, lidc=lidc)
        setups = SETUPS[:1] if args.check else SETUPS
        rows = compete(bench, frames, everybody(setups), args.repeats)
        named = {(row.name, row.setup): row for row in rows}
        alone, ours = (named[name, Setup()] for name in (ENGINE, OURS))
        beyond, parts = overhead.measure(bench, frames, args.repeats, alone, ours)
        figures: dict[str, object] = {
            "machine": page.machine(),
            "frames": args.frames,
            "real": lidc is not None,
            "repeats": args.repeats,
            "throughput": [row.to_json() for row in rows],
            "overhead": asdict(beyond),
            "parts": [row.to_json() for row in parts],
        }
        if args.check:
            return page.check(figures)
        figures |= rest(bench, frames, args, {n: named[n, Setup()].rate for n in (OURS, *PEERS)})
    page.write(figures)
    written = page.FIGURES, page.PAGE, page.CAPACITY, page.PICTURE, page.PROFILE
    say(f"written: {', '.join(map(str, written))}")
    return 0


def rest(
    bench: Bench,
    frames: list[Prepared],
    args: argparse.Namespace,
    capacity: dict[str, float],
) -> dict[str, object]:
    """Return what is no ratio: small frames without an engine, several processes, delays."""
    base = corpus(200, 96, side=SMALL)
    small = list(islice(cycle(base), SMALL_FRAMES))
    none = draining(lambda bench: bench.no_engine("--undecoded"))
    tiny = [("no engine", Setup(), none), (overhead.KAFKA, Setup(), draining(Bench.bare_kafka))]
    decoders = [(f"{n} decoder{'s' * (n > 1)}", Setup(), decoded_by(n)) for n in args.decoders]
    scale = [(OURS, setup, drained_by(OURS, setup)) for setup in map(_processes, args.scale)]
    long = list(islice(cycle(frames), PROFILED_FRAMES))
    profiles = [
        profile.profiled(bench, "shipped engine", bench.contender(OURS, Setup()), long),
        profile.profiled(bench, "no engine", bench.no_engine(), long),
        profile.profiled(
            bench,
            "no engine, nothing decoded, 256 x 256",
            bench.no_engine("--undecoded"),
            [*small, *small],
        ),
    ]
    late = latency.measure(
        bench,
        frames,
        capacity,
        loads=args.loads,
        seconds=args.seconds,
        repeats=args.repeats,
    )
    return {
        "small": [row.to_json() for row in compete(bench, small, tiny, args.repeats)],
        "decoders": [row.to_json() for row in compete(bench, frames, decoders, args.repeats)],
        "scale": [row.to_json() for row in compete(bench, frames, scale, args.repeats)],
        "brokers": [row.to_json() for row in three_brokers(bench, frames, scale[:1], args.repeats)],
        "profile": profiles,
        "settings": engine_settings.measure(frames, args.repeats),
        "deciding": deciding.measure(bench),
        "stored": stored.measure(bench, frames),
        "latency": [one.to_json() for one in late],
        "capacity": capacity,
    }


def decoded_by(decoders: int) -> Run:
    """Return a run with so many decode processes, and an engine that answers at once."""
    return draining(lambda bench: bench.no_engine("--decoders", str(decoders)), times=2)


def three_brokers(bench: Bench, frames: list[Prepared], runs: Runs, repeats: int) -> list[Row]:
    """Return the same with three brokers, three copies of each message, two confirmed."""
    three = brokers.Three(bench.home / "three")
    try:
        pids = tuple(running.pid for node in three.nodes if (running := node.find()) is not None)
        return compete(replace(bench, kafka=three.bootstrap, brokers=pids), frames, runs, repeats)
    finally:
        three.close()


def _processes(count: int) -> Setup:
    return Setup(processes=count)


if __name__ == "__main__":
    sys.exit(main())
