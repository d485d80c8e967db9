"""What a scoring worker holds in memory while far more waits than it does.

Run as ``python -m benchmarks.held``. Starts a Kafka and a Redis of its own; each line is a worker
of its own on topics of its own, all 24 partitions filled. Prints the table of docs/operations.md:
the greatest resident memory of the worker's process, without its decoder's.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import local
from lesionstream import children
from lesionstream.console import say
from producers.messages import Message
from producers.prepare import Prepared, prepare
from producers.publisher import Publisher
from producers.scanner.course import patients
from producers.scanner.series import scans
from wire import topic_admin
from wire.cluster import Cluster
from wire.groups import GroupWatch
from wire.part10 import to_bytes
from wire.topics import FRAMES, Names, partition_of

SOURCE = "/lesionstream/benchmark"
KEY = b"benchmark" * 4
LIMIT_S = 300.0
CASES = ((512, 60), (2048, 12), (4000, 4))
"""(rows and columns, frames on each partition): 0.5 MiB, 8 MiB and nearly the 31 MiB that pass."""


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[side for side, _ in CASES])
    parser.add_argument("--answered", type=int, default=24, help="frames, then it is enough")
    args = parser.parse_args(argv)
    lines = ["| frame | waiting | most held by the worker |", "|---|---|---|"]
    with tempfile.TemporaryDirectory(prefix="lesionstream-held-") as folder, ExitStack() as end:
        home = Path(folder)
        end.callback(local.down, home)
        found = local.up(home, say=say)
        environment = {
            "LESIONSTREAM_KAFKA": str(found.kafka),
            "LESIONSTREAM_REDIS": str(found.redis),
            "LESIONSTREAM_HOME": str(home),
        }
        for side, each in CASES:
            if side in args.sides:
                peak, waiting = _held(side, each, args.answered, environment)
                frame = f"{side} x {side}, {side * side * 2 / 2**20:.1f} MiB"
                lines.append(f"| {frame} | {waiting / 2**20:,.0f} MiB | {peak / 2**20:,.0f} MiB |")
    print("\n".join(lines))
    return 0


def _held(side: int, each: int, answered: int, environment: dict[str, str]) -> tuple[int, int]:
    """Return (greatest resident memory of a worker, bytes that waited for it)."""
    kafka, names = Cluster.plain(environment["LESIONSTREAM_KAFKA"]), Names(f"held-{side}-")
    topic_admin.create(kafka, names)
    waiting = _fill(kafka, names, _frame(side), each)
    environment = environment | {"LESIONSTREAM_TOPIC_PREFIX": names.prefix}
    with open(os.devnull, "wb") as nowhere:
        worker = children.start(
            ["worker", "scoring"], environment=environment, stdout=nowhere, stderr=nowhere
        )
    try:
        group, topic = names.group("scoring"), names.of(FRAMES)
        until_s = time.monotonic() + LIMIT_S
        with GroupWatch(kafka, group, topic) as watch:
            while _done(watch) < answered and worker.poll() is None:
                if time.monotonic() > until_s:
                    raise SystemExit(f"not {answered} frames within {LIMIT_S:g} s")
                time.sleep(0.5)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
        return int(peak_kib) << 10, waiting
    finally:
        children.end([worker])


def _done(watch: GroupWatch) -> int:
    try:
        return sum(watch.look().done.values())
    except topic_admin.BrokerUnavailable:
        return 0  # nobody has joined yet


def _frame(side: int) -> Prepared:
    """Return a simulated slice, so large."""
    (scan,) = scans(list(patients(1, studies=1, slices=8, seed=1)), 8)
    ds = next(iter(scan.images())).dataset
    pixels = np.frombuffer(ds.PixelData, np.int16).reshape(ds.Rows, ds.Columns)
    times = -(-side // ds.Rows)
    large = np.kron(pixels, np.ones((times, times), np.int16))[:side, :side]
    ds.PixelData, ds.Rows, ds.Columns = large.tobytes(), side, side
    ds.PixelSpacing = [spacing / times for spacing in ds.PixelSpacing]
    (frame,) = prepare(to_bytes(ds), KEY)
    assert isinstance(frame, Prepared)
    return frame


def _fill(kafka: Cluster, names: Names, frame: Prepared, each: int) -> int:
    """Publish a frame so often to every partition; return the bytes."""
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < FRAMES.partitions:
        keys.setdefault(partition_of(f"p-{number}", FRAMES.partitions), f"p-{number}")
        number += 1
    with Publisher(kafka, names=names, source=SOURCE) as publisher:
        for _ in range(each):
            for key in keys.values():
                publisher.send(Message(FRAMES, key.encode(), frame.payload, []))
        publisher.flush()
    return len(frame.payload) * each * len(keys)


if __name__ == "__main__":
    sys.exit(main())
