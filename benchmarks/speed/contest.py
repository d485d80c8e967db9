"""Who answers frames, and how they compare: interleaved runs, medians, ratios within a run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from types import MappingProxyType

from kafka import KafkaAdminClient

from benchmarks.speed.rig import Contender, Drained, drain, fill
from lesionstream.console import progress_bar
from producers.prepare import Prepared
from wire.topics import FRAMES, Names

_RUNS = count(1)
MODULE = "benchmarks.speed.contenders."
LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share.

    Attributes
    ----------
    python : interpreter of the environment that has the peers.
    """

    kafka: str
    redis: str
    home: Path
    python: str

    @contextmanager
    def topics(self, frames: Sequence[Prepared]) -> Iterator[Names]:
        """Make topics of their own for one run, filled; the frames are removed afterwards."""
        names = Names(f"speed-{next(_RUNS)}-")
        fill(self.kafka, names, frames)
        try:
            yield names
        finally:
            admin = KafkaAdminClient(bootstrap_servers=self.kafka)
            admin.delete_topics([names.of(FRAMES)])
            admin.close()

    def ours(self, threads: int, processes: int = 1) -> Contender:
        """Return Lesionstream's scoring worker, or several under one parent."""
        environment = {
            "LESIONSTREAM_REDIS": self.redis,
            "LESIONSTREAM_ENGINE_THREADS": str(threads),
        }
        scale = ("--scale", str(processes)) if processes > 1 else ()
        words = ("-m", "lesionstream", "worker", "scoring", *scale)
        return Contender("Lesionstream", words, ours=True, environment=environment)

    def no_engine(self, *words: str) -> Contender:
        """Return Lesionstream's scoring worker with an engine that answers at once."""
        return Contender("no engine", ("-m", MODULE + "no_engine", *words))

    def peer(self, name: str, module: str, threads: int) -> Contender:
        """Return another program; see `benchmarks.speed.contenders`."""
        words = ("-m", MODULE + module, "--threads", str(threads))
        return Contender(name, words, python=self.python)


@dataclass(slots=True)
class Row:
    """All runs of one contender, in the order of the repeats."""

    name: str
    threads: int
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of frames a second."""
        return statistics.median(self.rates)

    def add(self, drained: Drained) -> None:
        """Add a run."""
        self.rates.append(drained.rate)
        self.cpu_s.append(drained.cpu_s)
        self.peak_bytes.append(drained.peak_bytes)

    def over(self, other: Row) -> float:
        """Return the median ratio of the rates, repeat by repeat."""
        return statistics.median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    def to_json(self) -> dict[str, object]:
        """Return it as the JSON has it."""
        return asdict(self)


Run = Callable[[Bench, Sequence[Prepared]], Drained]


def draining(contender: Callable[[Bench], Contender]) -> Run:
    """Return a run of a contender on a filled topic."""

    def run(bench: Bench, frames: Sequence[Prepared]) -> Drained:
        one = contender(bench)
        with bench.topics(frames) as names:
            home = bench.home / names.prefix.strip("-")
            return drain(one, bench.kafka, names, len(frames), home)

    return run


def in_memory(module: str, threads: int) -> Run:
    """Return a run of a program that reads the topic first, and prints what it measured."""

    def run(bench: Bench, frames: Sequence[Prepared]) -> Drained:
        with bench.topics(frames) as names:
            told = ["--kafka", bench.kafka, "--prefix", names.prefix, "--threads", str(threads)]
            done = subprocess.run(  # noqa: S603 -- our own program
                [sys.executable, "-m", MODULE + module, *told],
                capture_output=True,
                text=True,
                check=True,
                timeout=LIMIT_S,
            )
        return Drained(**json.loads(done.stdout))

    return run


def compete(
    bench: Bench,
    frames: Sequence[Prepared],
    runs: Sequence[tuple[str, int, Run]],
    repeats: int,
    *,
    times: Mapping[str, float] = MappingProxyType({}),
) -> list[Row]:
    """Let each run as often, one after the other; who begins changes with each repeat.

    Parameters
    ----------
    runs : name, threads of the engine, and how.
    times : so many times the frames for these names, which are slow or fast.
    """
    rows = [Row(name, threads) for name, threads, _ in runs]
    with progress_bar("runs") as bar:
        task = bar.add_task("measuring", total=repeats * len(runs), note="")
        for repeat in range(repeats):
            for turn in range(len(runs)):
                at = (turn + repeat) % len(runs)
                name, threads, run = runs[at]
                bar.update(task, note=f"{name}, {threads} threads")
                some = list(islice(cycle(frames), int(len(frames) * times.get(name, 1))))
                rows[at].add(run(bench, some))
                bar.advance(task)
    return rows


def everybody(threads: Sequence[int]) -> list[tuple[str, int, Run]]:
    """Return (a) to (f): the engine alone, Lesionstream, a loop, two frameworks, Keras."""
    runs: list[tuple[str, int, Run]] = []
    for n in threads:
        runs.append((ENGINE, n, in_memory("bare_engine", n)))
        runs.append((OURS, n, draining(partial(Bench.ours, threads=n))))
        for name, module in PEERS.items():
            how = draining(partial(Bench.peer, name=name, module=module, threads=n))
            runs.append((name, n, how))
    runs.append((KERAS, 1, draining(lambda bench: bench.peer(KERAS, "keras_predict", 1))))
    return runs


ENGINE, OURS, KERAS = "engine alone", "Lesionstream", "Keras predict"
PEERS = {
    "kafka-python loop": "kafka_loop",
    "FastStream": "faststream_worker",
    "Quix Streams": "quix_worker",
}
