"""How long a finding and an alert take while frames come at a steady rate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, cycle, islice
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from benchmarks.handover_frames import POLICY
from benchmarks.handover_frames import frames as patients
from benchmarks.speed.contest import OURS, Bench, Setup
from benchmarks.speed.rig import SOURCE, Contender, make
from lesionstream.console import progress_bar
from producers.prepare import Prepared
from producers.publisher import Publisher
from wire.cluster import Cluster
from wire.topics import ALERTS, RESULTS, Names, Topic

READY_S, LAST_S = 60.0, 20.0
WARM = 200
"""Frames that come first, all at once, and do not count: by then each partition of each topic was
written to once, for which a broker that has just started takes its time."""

QUANTILES = (50.0, 95.0, 99.0, 99.9)
ENOUGH = 1000
"""Frames, for a p99.9."""

SIDE_BY_SIDE = 0.75
"""At this share of each other's capacity Lesionstream gets the same frames, in turn with it."""


@dataclass(frozen=True, slots=True)
class Delays:
    """From the moment a frame was due at its producer to where a reader has what came of it, ms.

    Attributes
    ----------
    what : finding or alert.
    whose : of whose capacity `load` is a share.
    fps : frames a second.
    frames : that were answered, in all runs.
    quantiles : p50, p95, p99, p99.9; the last one says little of fewer than 1,000 frames.
    missing : frames of which nothing came within 20 s of the last one.
    """

    name: str
    what: str
    whose: str
    load: float
    fps: float
    frames: int
    quantiles: tuple[float, ...]
    missing: int

    def to_json(self) -> dict[str, object]:
        """Return it as the JSON has it."""
        return asdict(self)


def measure(
    bench: Bench,
    frames: Sequence[Prepared],
    capacity: Mapping[str, float],
    *,
    loads: Sequence[float],
    seconds: float,
    repeats: int,
) -> list[Delays]:
    """Measure all at shares of their own capacity, with one engine thread.

    Parameters
    ----------
    capacity : frames a second of each contender, ours among them.
    seconds : of each run; ours at its own loads runs as long as `ENOUGH` frames take.
    repeats : of each run that stands `SIDE_BY_SIDE`.
    """

    def found(name: str, fps: float, seconds: float) -> _Came:
        some = islice(cycle(frames), WARM + int(fps * seconds))
        return _measured(bench, [bench.contender(name, Setup())], list(some), RESULTS, fps)

    rows = []
    for load in loads:
        fps = load * capacity[OURS]
        lasting = max(seconds, ENOUGH / fps + 1)
        rows.append(_delays(OURS, "finding", OURS, load, fps, [found(OURS, fps, lasting)]))
        rows.append(_delays(OURS, "alert", OURS, load, fps, [_alerts(bench, fps, lasting)]))
        for whose in (name for name in capacity if name != OURS):
            fps = load * capacity[whose]
            beside = (whose, OURS) if load == SIDE_BY_SIDE else (whose,)
            came: dict[str, list[_Came]] = {name: [] for name in beside}
            for name in beside * (repeats if len(beside) > 1 else 1):
                came[name].append(found(name, fps, seconds))
            rows += [_delays(name, "finding", whose, load, fps, came[name]) for name in beside]
    return rows


class Reader:
    """Reads a topic on a thread of its own, and notes when each name came first."""

    def __init__(
        self, kafka: str, topic: str, partitions: int, name_of: Callable[[Any], str | None]
    ) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=100)
        self._consumer.assign([TopicPartition(topic, p) for p in range(partitions)])
        self._consumer.seek_to_beginning()
        self._name_of = name_of
        self._over = threading.Event()
        self.came: dict[str, float] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            for records in self._consumer.poll(timeout_ms=100).values():
                now = time.time()
                for record in records:
                    name = self._name_of(record)
                    if name is not None:
                        self.came.setdefault(name, now)

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join()
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of one run: delays in ms, and how many frames had no answer."""

    late: list[float]
    missing: int


def _delays(
    name: str, what: str, whose: str, load: float, fps: float, runs: Sequence[_Came]
) -> Delays:
    late = list(chain.from_iterable(run.late for run in runs))
    quantiles = tuple(float(np.percentile(late, q)) for q in QUANTILES)
    missing = sum(run.missing for run in runs)
    return Delays(name, what, whose, load, fps, len(late), quantiles, missing)


def _alerts(bench: Bench, fps: float, seconds: float) -> _Came:
    """Measure Lesionstream's clinical alerts: each frame is another patient's, and alarms."""
    policy = bench.home / "policy.toml"
    policy.write_text(POLICY)
    some = list(islice(patients(), WARM + int(fps * seconds)))
    environment = {"LESIONSTREAM_REDIS": bench.redis, "LESIONSTREAM_POLICY": str(policy)}
    words = ("-m", "lesionstream", "worker", "patients")
    deciding = Contender(OURS, words, ours=True, environment=environment)
    contenders = [bench.contender(OURS, Setup()), deciding]
    return _measured(bench, contenders, some, ALERTS, fps)


def _measured(
    bench: Bench,
    contenders: Sequence[Contender],
    frames: Sequence[Prepared],
    topic: Topic,
    fps: float,
) -> _Came:
    """Let frames come at a rate, once those that come first were answered."""
    names = Names(f"late-{time.time_ns()}-")
    make(bench.kafka, names)
    home = bench.home / names.prefix.strip("-")
    with ExitStack() as end:
        publisher = Publisher(Cluster.plain(bench.kafka), names=names, source=SOURCE)
        end.callback(publisher.close)
        for contender in contenders:
            end.enter_context(contender.running(bench.kafka, names, home))
        reader = Reader(
            bench.kafka,
            names.of(topic),
            topic.partitions,
            _received if topic is RESULTS else _patient,
        )
        end.callback(reader.close)
        for frame in frames[:WARM]:
            publisher.frame(frame)
        _wait(lambda: len(reader.came) >= WARM, READY_S)
        if len(reader.came) < WARM:
            raise RuntimeError(f"{contenders[0].name} is too slow. Read {home / 'log.txt'}.")
        began = time.time()
        wanted = {}
        with progress_bar("frames") as bar:
            for number, frame in enumerate(bar.track(frames[WARM:], description="publishing")):
                due = began + number / fps
                time.sleep(max(0.0, due - time.time()))
                received = datetime.fromtimestamp(due, UTC)
                publisher.frame(frame, received)
                wanted[received.isoformat() if topic is RESULTS else frame.patient_id] = due
        publisher.flush()
        _wait(lambda: wanted.keys() <= reader.came.keys(), LAST_S)
        came = dict(reader.came)
    late = [(came[name] - at) * 1000 for name, at in wanted.items() if name in came]
    return _Came(late, len(wanted) - len(late))


def _received(record: Any) -> str | None:
    """Return when the frame of an answer was received: that is another moment for each."""
    received = json.loads(record.value).get("received_time")
    return datetime.fromisoformat(received).isoformat() if received else None


def _patient(record: Any) -> str | None:
    """Return of whom an alert is; None for a heartbeat."""
    return record.key.decode() if record.key else None


def _wait(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
