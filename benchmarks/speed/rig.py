"""Filled topics, and one contender draining them: how fast, at what cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from benchmarks.speed.processes import Usage, together
from lesionstream import children
from producers.prepare import Prepared
from producers.publisher import Publisher
from wire import topic_admin
from wire.cluster import Cluster
from wire.reading import read
from wire.topics import FRAMES, RESULTS, Names

SOURCE = "/lesionstream/benchmark"
LIMIT_S = 300.0
LOOK_S = 0.1
BEGIN = 0.25
"""Share of the frames that do not count, where one process answers."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that answers frames.

    Attributes
    ----------
    command : words after the interpreter; ``--kafka`` and ``--prefix`` are added where it is not
        ours, which learns them from its environment.
    processes : so many of it, in one consumer group.
    python : interpreter; the peers live in an environment of their own.
    """

    name: str
    command: tuple[str, ...]
    ours: bool = False
    processes: int = 1
    environment: Mapping[str, str] | None = None
    python: str = sys.executable

    @contextmanager
    def running(
        self, kafka: str, names: Names, home: Path
    ) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run it; what it says goes to a file in `home`."""
        home.mkdir(parents=True, exist_ok=True)
        told = [] if self.ours else ["--kafka", kafka, "--prefix", names.prefix]
        environment = {
            "LESIONSTREAM_KAFKA": kafka,
            "LESIONSTREAM_HOME": str(home),
            "LESIONSTREAM_TOPIC_PREFIX": names.prefix,
            **(self.environment or {}),
        }
        with (home / "log.txt").open("ab") as log:
            processes = [
                children.start_program(
                    [self.python, *self.command, *told],
                    environment=environment,
                    stdout=log,
                    stderr=log,
                )
                for _ in range(self.processes)
            ]
        try:
            yield processes
        finally:
            children.end(processes)


@dataclass(frozen=True, slots=True)
class Drained:
    """One run on a filled topic.

    Attributes
    ----------
    rate : answered frames a second, from a quarter of the frames on.
    cpu_s : of CPU a frame, in that time, all its processes.
    peak_bytes : greatest resident memory; what processes share counts for each.
    broker_s : of CPU a frame, of the brokers.
    """

    rate: float
    cpu_s: float
    peak_bytes: int
    broker_s: float = 0.0


def make(kafka: str, names: Names) -> None:
    """Make the topics; the broker notes when an answer came."""
    topic_admin.create(Cluster.plain(kafka), names)
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    when = {"message.timestamp.type": "LogAppendTime"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, names.of(RESULTS), when)])
    admin.close()


def fill(kafka: str, names: Names, frames: Sequence[Prepared]) -> None:
    """Make the topics, and publish the frames."""
    make(kafka, names)
    with Publisher(Cluster.plain(kafka), names=names, source=SOURCE) as publisher:
        for frame in frames:
            publisher.frame(frame)
        publisher.flush()


def remove_frames(kafka: str, names: Names) -> None:
    """Delete the topic with the frames: they take room."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_topics([names.of(FRAMES)])
    admin.close()


def drain(
    contender: Contender,
    kafka: str,
    names: Names,
    frames: int,
    home: Path,
    brokers: Sequence[int],
    begin: float,
) -> Drained:
    """Let a contender answer everything; its answers go to topics of its own.

    Parameters
    ----------
    brokers : their processes.
    begin : share of the frames that do not count: start, joining the group, warming up.

    Raises
    ------
    RuntimeError  it ended, or was not done in time; the message names its log.
    """
    marks: list[tuple[int, Usage, Usage]] = []
    with contender.running(kafka, names, home) as processes, answers(kafka, names) as count:
        deadline = time.monotonic() + LIMIT_S
        while len(marks) < 2:
            if time.monotonic() > deadline or any(p.poll() is not None for p in processes):
                raise RuntimeError(f"{contender.name} did not answer all. Read {home / 'log.txt'}.")
            done = count()
            if done >= (frames if marks else begin * frames):
                used = together(process.pid for process in processes)
                marks.append((done, used, together(brokers)))
            else:
                time.sleep(LOOK_S)
    came = sorted(
        record.timestamp / 1000 for record in read(Cluster.plain(kafka), names.of(RESULTS))
    )
    began = int(begin * len(came))
    (at_first, first, broker_first), (at_last, last, broker_last) = marks
    counted = max(1, at_last - at_first)
    return Drained(
        (len(came) - 1 - began) / (came[-1] - came[began]),
        (last.cpu_s - first.cpu_s) / counted,
        last.peak_bytes,
        (broker_last.cpu_s - broker_first.cpu_s) / counted,
    )


@contextmanager
def answers(kafka: str, names: Names) -> Iterator[Callable[[], int]]:
    """Yield a function that counts the messages of `results`."""
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    places = [TopicPartition(names.of(RESULTS), p) for p in range(RESULTS.partitions)]
    try:
        yield lambda: sum(consumer.end_offsets(places).values())
    finally:
        consumer.close()
