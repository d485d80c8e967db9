"""Scale `worker scoring` on a filled topic: one process against several, side by side.

Run as ``python -m benchmarks.scaling [--frames N] [--workers 1 2]``. Starts a Kafka and a Redis of
its own; every number of workers answers the same frames from topics of its own. Prints the table
of docs/operations.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import local
from lesionstream import children
from lesionstream.console import progress_bar, say
from producers.prepare import Prepared, prepare
from producers.publisher import Publisher
from producers.scanner.course import patients
from producers.scanner.series import scans
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.groups import GroupWatch
from wire.part10 import to_bytes
from wire.reading import read
from wire.topics import FRAMES, RESULTS, Names

SOURCE = "/lesionstream/benchmark"
KEY = b"benchmark" * 4
LIMIT_S = 900.0


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--patients", type=int, default=24, help="keys; spread over partitions")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="lesionstream-scaling-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        found = local.up(home, say=say)
        kafka, redis = str(found.kafka), str(found.redis)
        frames = simulated(args.frames, args.patients)
        rates = [
            (count, measured(count, frames, kafka, redis, home / str(count)))
            for count in args.workers
        ]
    print(table(rates, args.frames))
    return 0


def simulated(count: int, people: int) -> list[Prepared]:
    """Return simulated frames, published under so many identities."""
    (scan,) = scans(list(patients(1, studies=1, slices=8, seed=1)), 8)
    images = list(scan.images())
    frames = []
    with progress_bar("frames") as bar:
        task = bar.add_task("preparing", total=count, note="")
        for number in range(count):
            ds = images[number % len(images)].dataset
            ds.PatientID = f"BENCH-{number % people:04d}"
            ds.SOPInstanceUID = f"2.25.{number + 1}"
            (frame,) = prepare(to_bytes(ds), KEY)
            assert isinstance(frame, Prepared)
            frames.append(frame)
            bar.advance(task)
    return frames


def measured(
    count: int, frames: Sequence[Prepared], kafka: str, redis: str, home: Path
) -> tuple[float, int]:
    """Return (frames a second, distinct findings) of `count` workers."""
    names = Names(f"scaling-{count}-")
    topic_admin.create(Cluster.plain(kafka), names)
    with Publisher(Cluster.plain(kafka), names=names, source=SOURCE) as publisher:
        for frame in frames:
            publisher.frame(frame)
        publisher.flush()
    environment = {
        "LESIONSTREAM_KAFKA": kafka,
        "LESIONSTREAM_REDIS": redis,
        "LESIONSTREAM_HOME": str(home),
        "LESIONSTREAM_TOPIC_PREFIX": names.prefix,
        "LESIONSTREAM_ENGINE_THREADS": "1",
    }
    words = ["worker", "scoring", *(["--scale", str(count)] if count > 1 else [])]
    with open(os.devnull, "wb") as nowhere:
        process = children.start(words, environment=environment, stdout=nowhere, stderr=nowhere)
    try:
        return _rate(names, kafka, len(frames))
    finally:
        children.end([process])


def _rate(names: Names, kafka: str, frames: int) -> tuple[float, int]:
    """Wait until all is answered; time from a tenth of the frames on, when all workers run."""
    group, topic = names.group("scoring"), names.of(FRAMES)
    deadline = time.monotonic() + LIMIT_S
    began: tuple[float, int] | None = None
    with GroupWatch(Cluster.plain(kafka), group, topic) as watch, progress_bar("frames") as bar:
        task = bar.add_task(f"scoring {names.prefix}", total=frames, note="")
        while time.monotonic() < deadline:
            time.sleep(0.5)
            try:
                behind = watch.look().behind
            except topic_admin.BrokerUnavailable:
                continue  # nobody has joined yet
            done, now = frames - behind, time.monotonic()
            bar.update(task, completed=done)
            if began is None and done >= frames / 10:
                began = (now, done)
            if began is not None and behind == 0:
                return (done - began[1]) / (now - began[0]), _distinct(kafka, names)
    raise SystemExit(f"not done within {LIMIT_S:g} s")


def _distinct(kafka: str, names: Names) -> int:
    """Return how many distinct findings there are."""
    return len({Envelope.of(r.headers).id for r in read(Cluster.plain(kafka), names.of(RESULTS))})


def table(rates: Sequence[tuple[int, tuple[float, int]]], frames: int) -> str:
    """Return the table; ratios are to the first line."""
    first = rates[0][1][0]
    lines = [
        "| scoring processes | frames a second | ratio | frames | distinct findings |",
        "|---|---|---|---|---|",
    ]
    for count, (rate, distinct) in rates:
        lines.append(f"| {count} | {rate:.1f} | {rate / first:.2f} | {frames} | {distinct} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
