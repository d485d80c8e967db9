"""Who answers frames, and how they compare: shuffled runs, medians, ratios within a repeat."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path

from benchmarks.speed.rig import BEGIN, Contender, Drained, drain, fill, remove_frames
from lesionstream.console import progress_bar
from producers.prepare import Prepared
from wire.topics import Names

_RUNS = count(1)
MODULE = "benchmarks.speed.contenders."
LIMIT_S = 600.0
KERAS_TIMES = 0.25

ENGINE, OURS, KERAS = "engine alone", "Lesionstream", "Keras predict"
PEERS = {
    "kafka-python loop": "kafka_loop",
    "FastStream": "faststream_worker",
    "Quix Streams": "quix_worker",
}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a contender runs.

    Attributes
    ----------
    threads : of the engine, in each process.
    processes : of the contender; FastStream has so many workers in one process instead.
    """

    threads: int = 1
    processes: int = 1


SETUPS = (Setup(), Setup(threads=2), Setup(processes=2))


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share.

    Attributes
    ----------
    python : interpreter of the environment that has the peers.
    brokers : their processes.
    """

    kafka: str
    redis: str
    home: Path
    python: str
    brokers: tuple[int, ...] = ()

    @contextmanager
    def topics(self, frames: Sequence[Prepared]) -> Iterator[Names]:
        """Make topics of their own for one run, filled; the frames are removed afterwards."""
        names = Names(f"speed-{next(_RUNS)}-")
        fill(self.kafka, names, frames)
        try:
            yield names
        finally:
            remove_frames(self.kafka, names)

    def contender(self, name: str, setup: Setup) -> Contender:
        """Return a contender by its name in the table."""
        if name == OURS:
            scale = ("--scale", str(setup.processes)) if setup.processes > 1 else ()
            environment = {
                "LESIONSTREAM_REDIS": self.redis,
                "LESIONSTREAM_ENGINE_THREADS": str(setup.threads),
            }
            words = ("-m", "lesionstream", "worker", "scoring", *scale)
            return Contender(name, words, ours=True, environment=environment)
        module = {**PEERS, KERAS: "keras_predict"}[name]
        words = ("-m", MODULE + module, "--threads", str(setup.threads))
        if name == "FastStream":
            words = (*words, "--workers", str(setup.processes))
            return Contender(name, words, python=self.python)
        return Contender(name, words, processes=setup.processes, python=self.python)

    def bare_kafka(self) -> Contender:
        """Return the program that answers without looking."""
        return Contender("aiokafka", ("-m", MODULE + "bare_kafka"))

    def no_engine(self, *words: str) -> Contender:
        """Return Lesionstream's scoring worker with an engine that answers at once."""
        return Contender("no engine", ("-m", MODULE + "no_engine", *words))


@dataclass(slots=True)
class Row:
    """All runs of one contender, in the order of the repeats."""

    name: str
    setup: Setup
    rates: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    broker_s: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Median of frames a second."""
        return statistics.median(self.rates)

    def add(self, drained: Drained) -> None:
        """Add a run."""
        self.rates.append(drained.rate)
        self.cpu_s.append(drained.cpu_s)
        self.broker_s.append(drained.broker_s)
        self.peak_bytes.append(drained.peak_bytes)

    def to_json(self) -> dict[str, object]:
        """Return it as the JSON has it."""
        return asdict(self)


Run = Callable[[Bench, Sequence[Prepared]], Drained]
Runs = Sequence[tuple[str, Setup, Run]]


def draining(
    contender: Callable[[Bench], Contender], *, times: float = 1, begin: float = BEGIN
) -> Run:
    """Return a run of a contender on a filled topic.

    Parameters
    ----------
    times : so many times the frames, for who is slow or fast.
    begin : see `drain`.
    """

    def run(bench: Bench, frames: Sequence[Prepared]) -> Drained:
        some = list(islice(cycle(frames), int(len(frames) * times)))
        with bench.topics(some) as names:
            home = bench.home / names.prefix.strip("-")
            one = contender(bench)
            return drain(one, bench.kafka, names, len(some), home, bench.brokers, begin)

    return run


def drained_by(name: str, setup: Setup) -> Run:
    """Return a run of a contender by its name.

    Where several processes join a group, each that comes holds up the others: they get twice the
    frames, and only the second half counts.
    """
    contender = partial(Bench.contender, name=name, setup=setup)
    if setup.processes > 1:
        return draining(contender, times=2, begin=0.5)
    return draining(contender, times=KERAS_TIMES if name == KERAS else 1)


def in_memory(module: str, setup: Setup) -> Run:
    """Return a run of a program that reads the topic first, and prints what it measured."""

    def run(bench: Bench, frames: Sequence[Prepared]) -> Drained:
        with bench.topics(frames) as names:
            told = ["--kafka", bench.kafka, "--prefix", names.prefix]
            done = subprocess.run(  # noqa: S603 -- our own program
                [sys.executable, "-m", MODULE + module, *told, "--threads", str(setup.threads)],
                capture_output=True,
                text=True,
                check=True,
                timeout=LIMIT_S,
            )
        return Drained(**json.loads(done.stdout))

    return run


def compete(bench: Bench, frames: Sequence[Prepared], runs: Runs, repeats: int) -> list[Row]:
    """Let each run as often, one after the other, each repeat in another order.

    Parameters
    ----------
    runs : name, set-up, and how.
    """
    rows = [Row(name, setup) for name, setup, _ in runs]
    chance = random.Random(1)
    with progress_bar("runs") as bar:
        task = bar.add_task("measuring", total=repeats * len(runs), note="")
        for _ in range(repeats):
            for at in chance.sample(range(len(runs)), len(runs)):
                name, _, run = runs[at]
                bar.update(task, note=name)
                rows[at].add(run(bench, frames))
                bar.advance(task)
    return rows


def everybody(setups: Sequence[Setup]) -> list[tuple[str, Setup, Run]]:
    """Return (a) to (f): the engine alone, Lesionstream, a loop, two frameworks, Keras."""
    runs: list[tuple[str, Setup, Run]] = []
    for setup in setups:
        if setup.processes == 1:
            runs.append((ENGINE, setup, in_memory("bare_engine", setup)))
        runs += [(name, setup, drained_by(name, setup)) for name in (OURS, *PEERS)]
    runs.append((KERAS, Setup(), drained_by(KERAS, Setup())))
    return runs
