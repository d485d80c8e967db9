"""Filled topics, and one contender draining them: how fast, at what cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from benchmarks.speed.processes import Usage, usage
from lesionstream import children
from producers.prepare import Prepared
from producers.publisher import Publisher
from wire import topic_admin
from wire.cluster import Cluster
from wire.topics import RESULTS, Names

SOURCE = "/lesionstream/benchmark"
LIMIT_S = 300.0
LOOK_S = 0.02
BEGIN = 0.1  # of the frames: what comes before is start and warming up


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that answers frames.

    Attributes
    ----------
    command : words after the interpreter; ``--kafka`` and ``--prefix`` are added where it is not
        ours, which learns them from its environment.
    python : interpreter; the peers live in an environment of their own.
    """

    name: str
    command: tuple[str, ...]
    ours: bool = False
    environment: Mapping[str, str] | None = None
    python: str = sys.executable

    @contextmanager
    def running(self, kafka: str, names: Names, home: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Run it; what it says goes to a file of its name in `home`."""
        home.mkdir(parents=True, exist_ok=True)
        told = [] if self.ours else ["--kafka", kafka, "--prefix", names.prefix]
        environment = {
            "LESIONSTREAM_KAFKA": kafka,
            "LESIONSTREAM_HOME": str(home),
            "LESIONSTREAM_TOPIC_PREFIX": names.prefix,
            **(self.environment or {}),
        }
        with (home / "log.txt").open("wb") as log:
            process = children.start_program(
                [self.python, *self.command, *told], environment=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            children.end([process])


@dataclass(frozen=True, slots=True)
class Drained:
    """One run on a filled topic.

    Attributes
    ----------
    rate : answered frames a second, from a tenth of the frames on.
    cpu_s : of CPU a frame, in that time, all its processes.
    peak_bytes : greatest resident memory.
    """

    rate: float
    cpu_s: float
    peak_bytes: int


def fill(kafka: str, names: Names, frames: Sequence[Prepared]) -> None:
    """Make the topics, and publish the frames."""
    topic_admin.create(Cluster.plain(kafka), names)
    with Publisher(Cluster.plain(kafka), names=names, source=SOURCE) as publisher:
        for frame in frames:
            publisher.frame(frame)
        publisher.flush()


def drain(contender: Contender, kafka: str, names: Names, frames: int, home: Path) -> Drained:
    """Let a contender answer everything; its answers go to topics of its own.

    Raises
    ------
    RuntimeError  it ended, or was not done in time; the message names its log.
    """
    with contender.running(kafka, names, home) as process, answers(kafka, names) as count:
        deadline = time.monotonic() + LIMIT_S
        began: tuple[float, int, Usage] | None = None
        while time.monotonic() < deadline and process.poll() is None:
            done = count()
            now, used = time.monotonic(), usage(process.pid)
            if began is None and done >= BEGIN * frames:
                began = now, done, used
            elif began is not None and done >= frames:
                answered = done - began[1]
                return Drained(
                    answered / (now - began[0]),
                    (used.cpu_s - began[2].cpu_s) / answered,
                    used.peak_bytes,
                )
            time.sleep(LOOK_S)
        raise RuntimeError(f"{contender.name} did not answer all. Read {home / 'log.txt'}.")


@contextmanager
def answers(kafka: str, names: Names) -> Iterator[Callable[[], int]]:
    """Yield a function that counts the messages of `results`."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, consumer_timeout_ms=1000)
    places = [TopicPartition(names.of(RESULTS), p) for p in range(RESULTS.partitions)]
    try:
        yield lambda: sum(consumer.end_offsets(places).values())
    finally:
        consumer.close()
