"""How many findings a patients worker folds, and at what cost."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from benchmarks.many_patients import made, publish
from benchmarks.speed.contest import Bench
from benchmarks.speed.processes import usage
from benchmarks.speed.rig import BEGIN, LIMIT_S, LOOK_S, Contender, make
from lesionstream.console import say
from wire.cluster import Cluster
from wire.groups import GroupWatch
from wire.topics import RESULTS, Names

PATIENTS, SLICES = 300, 24


@dataclass(frozen=True, slots=True)
class Deciding:
    """One patients worker on a filled topic.

    Attributes
    ----------
    rate : findings a second, folded and confirmed.
    cpu_s : of CPU a finding.
    """

    rate: float
    cpu_s: float


def measure(bench: Bench) -> dict[str, float]:
    """Let a patients worker fold simulated findings, each patient's series in one piece.

    Raises
    ------
    RuntimeError  it was not done in time; the message names its log.
    """
    say("patients worker")
    names, count = Names("deciding-"), PATIENTS * SLICES
    make(bench.kafka, names)
    publish(bench.kafka, names.of(RESULTS), made(PATIENTS, SLICES, 1), count)
    words = ("-m", "lesionstream", "worker", "patients")
    environment = {"LESIONSTREAM_REDIS": bench.redis}
    worker = Contender("patients", words, ours=True, environment=environment)
    home = bench.home / "deciding"
    marks: list[tuple[int, float, float]] = []
    with (
        worker.running(bench.kafka, names, home) as (process,),
        GroupWatch(Cluster.plain(bench.kafka), names.group("patients"), names.of(RESULTS)) as watch,
    ):
        deadline = time.monotonic() + LIMIT_S
        while len(marks) < 2:
            if time.monotonic() > deadline:
                raise RuntimeError(f"patients worker too slow. Read {home / 'log.txt'}.")
            done = sum(watch.look().done.values())
            if done >= (count if marks else BEGIN * count):
                marks.append((min(done, count), time.monotonic(), usage(process.pid).cpu_s))
            time.sleep(LOOK_S)
    (n0, t0, c0), (n1, t1, c1) = marks
    return asdict(Deciding((n1 - n0) / (t1 - t0), (c1 - c0) / (n1 - n0)))
