"""How long a finding and an alert take while frames come at a steady rate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import cycle
from pathlib import Path

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from benchmarks.speed.contest import Bench
from benchmarks.speed.rig import Contender, fill
from producers.prepare import Prepared
from producers.publisher import Publisher
from wire.cluster import Cluster
from wire.topics import RESULTS, Names

SOURCE = "/lesionstream/benchmark"
READY_S, SETTLE_S, LAST_S = 60.0, 3.0, 20.0
QUANTILES = (50.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Delays:
    """From the producer's last byte to where a reader has the answer, ms.

    Attributes
    ----------
    load : of the contender's own capacity.
    fps : frames a second that came.
    quantiles : p50, p95, p99, p99.9; the last one says little of fewer than 1,000 frames.
    missing : frames that were not answered within 20 s of the last one.
    """

    name: str
    threads: int
    load: float
    fps: float
    frames: int
    quantiles: tuple[float, ...]
    missing: int

    def to_json(self) -> dict[str, object]:
        """Return it as the JSON has it."""
        return asdict(self)


class Reader:
    """Reads `results` on a thread of its own: when the producer had a frame, and how late it is."""

    def __init__(self, kafka: str, names: Names) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=100)
        self._consumer.assign(
            [TopicPartition(names.of(RESULTS), p) for p in range(RESULTS.partitions)]
        )
        self._consumer.seek_to_beginning()
        self._over = threading.Event()
        self.delays: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            for records in self._consumer.poll(timeout_ms=100).values():
                now = time.time()
                for record in records:
                    received = json.loads(record.value).get("received_time")
                    if received:
                        sent = datetime.fromisoformat(received).timestamp()
                        self.delays.append((sent, now - sent))

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._consumer.close()


def measure(
    bench: Bench,
    contender: Contender,
    threads: int,
    frames: Sequence[Prepared],
    *,
    load: float,
    capacity: float,
    seconds: float,
) -> Delays:
    """Let frames come at `load` of `capacity` for some seconds, once the contender is at work."""
    names = Names(f"late-{time.time_ns()}-")
    fill(bench.kafka, names, frames[:4])
    home: Path = bench.home / names.prefix.strip("-")
    fps = load * capacity
    with ExitStack() as end:
        end.enter_context(contender.running(bench.kafka, names, home))
        reader = Reader(bench.kafka, names)
        end.callback(reader.close)
        deadline = time.monotonic() + READY_S
        while len(reader.delays) < 4:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{contender.name} answers nothing. Read {home / 'log.txt'}.")
            time.sleep(0.1)
        publisher = Publisher(Cluster.plain(bench.kafka), names=names, source=SOURCE)
        end.callback(publisher.close)
        began, sent = time.time(), 0
        for frame in cycle(frames):
            due = began + sent / fps
            if due > began + SETTLE_S + seconds:
                break
            time.sleep(max(0.0, due - time.time()))
            publisher.frame(frame)
            sent += 1
        publisher.flush()
        deadline = time.monotonic() + LAST_S
        while len(reader.delays) < sent + 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        missing = max(0, sent + 4 - len(reader.delays))
    late = [delay * 1000 for at, delay in reader.delays if at >= began + SETTLE_S]
    quantiles = tuple(float(np.percentile(late, q)) for q in QUANTILES)
    return Delays(contender.name, threads, load, fps, len(late), quantiles, missing)
