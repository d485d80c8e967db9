"""How much a frame and its finding take on the broker's disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.contest import OURS, Bench, Setup
from benchmarks.speed.rig import BEGIN, drain
from producers.prepare import Prepared
from wire.topics import FRAMES, RESULTS, Topic


def measure(bench: Bench, frames: Sequence[Prepared]) -> dict[str, float]:
    """Return the bytes of a frame and of a finding, envelopes included; findings are compressed.

    The broker must be that of the state folder `bench.home`.
    """
    with bench.topics(frames) as names:

        def each(topic: Topic) -> float:
            return _bytes(bench.home, names.of(topic)) / len(frames)

        frame = each(FRAMES)
        home = bench.home / names.prefix.strip("-")
        drain(
            bench.contender(OURS, Setup()), bench.kafka, names, len(frames), home, (), begin=BEGIN
        )
        return {"frame": frame, "finding": each(RESULTS)}


def _bytes(home: Path, topic: str) -> int:
    return sum(file.stat().st_size for file in home.glob(f"kafka/data/{topic}-*/*.log"))
