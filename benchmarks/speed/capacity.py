"""What so many scanners need, from the figures of `make bench`, and how far the model holds.

Run as ``python -m benchmarks.speed.capacity [--scanners N ...] [--frames-per-second F]
[--hours H]``; prints a table. Rates are means over the busy hours: a worker lags in a burst, and
catches up.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.contest import ENGINE, OURS
from benchmarks.speed.overhead import LOOK
from wire.topics import FRAMES, RESULTS

FULL = 0.8
"""Share of a core or a worker that is planned with; the check's points say what can be had."""

REPLICAS = 3
SCANNERS = (1, 10, 100, 1000, 5000)
FPS, HOURS = 0.5, 10.0
"""A scanner's slices a second, mean of its busy hours (18,000 a day), and those hours."""

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one frame costs; medians of `make bench`.

    Attributes
    ----------
    worker_s, broker_s, patients_s : CPU seconds of a scoring worker, the broker (no copies), and a
        patients worker.
    engine_s : of an inference, by threads; frames go through it one after the other.
    patients_rate : findings a second of one patients worker.
    frame_bytes, finding_bytes : on the broker's disk; findings are compressed.
    """

    worker_s: float
    broker_s: float
    patients_s: float
    engine_s: Mapping[int, float]
    patients_rate: float
    frame_bytes: float
    finding_bytes: float

    @classmethod
    def of(cls, figures: Figures) -> Costs:
        """Read them."""
        rows = figures["throughput"]
        ours = next(row for row in rows if _is(row, OURS, threads=1))
        look_s = next(_median(row, "cpu_s") for row in figures["parts"] if row["name"] == LOOK)
        alone = {
            row["setup"]["threads"]: 1 / _median(row, "rates") - look_s
            for row in rows
            if row["name"] == ENGINE
        }
        deciding, stored = figures["deciding"], figures["stored"]
        return cls(
            worker_s=_median(ours, "cpu_s"),
            broker_s=_median(ours, "broker_s"),
            patients_s=deciding["cpu_s"],
            engine_s=alone,
            patients_rate=deciding["rate"],
            frame_bytes=stored["frame"],
            finding_bytes=stored["finding"],
        )

    def rate(self, cores: float, processes: int = 1, threads: int = 1) -> float:
        """Return the frames a second that scoring processes do, the broker on the same cores.

        Bound by their engines, or by the cores. What waits for another's turn is left out.
        """
        by_engine = processes / self.engine_s[threads]
        return min(by_engine, cores / (self.worker_s + self.broker_s))


def points(figures: Figures) -> Iterator[tuple[str, float, float]]:
    """Yield what was measured in words, frames a second by the model, and as measured."""
    costs, cores = Costs.of(figures), int(figures["machine"]["cores"])
    rows = [row for row in figures["throughput"] if row["name"] == OURS]
    rows += [row for row in figures["scale"] if row["setup"]["processes"] > 2]
    for row in rows:
        processes, threads = row["setup"]["processes"], row["setup"]["threads"]
        words = f"{processes} x {threads} engine thread{'s' * (threads > 1)}"
        yield words, costs.rate(cores, processes, threads), _median(row, "rates")


@dataclass(frozen=True, slots=True)
class Need:
    """What some scanners need.

    Attributes
    ----------
    fps : frames a second, mean of the busy hours.
    scoring, patients : workers.
    cores : of scoring, patients workers and brokers.
    network : bytes a second into the brokers, out to workers and between brokers.
    disk : bytes of a day's frames, with copies.
    kept_h : hours that `frames` keeps within its limit of bytes.
    """

    scanners: int
    fps: float
    scoring: int
    patients: int
    cores: float
    network: float
    disk: float
    kept_h: float


def need(costs: Costs, scanners: int, fps: float, hours: float) -> Need:
    """Return what so many scanners need, with one engine thread in a worker."""
    rate = scanners * fps
    one = FULL * costs.rate(math.inf)
    cores = rate * (costs.worker_s + costs.patients_s + costs.broker_s * REPLICAS) / FULL
    a_day = rate * hours * 3600 * costs.frame_bytes
    most = FRAMES.partitions * int(FRAMES.config["retention.bytes"])
    return Need(
        scanners=scanners,
        fps=rate,
        scoring=math.ceil(rate / one),
        patients=math.ceil(rate / (FULL * costs.patients_rate)),
        cores=cores,
        network=rate * costs.frame_bytes * (2 + REPLICAS - 1),
        disk=min(a_day, most) * REPLICAS,
        kept_h=min(24.0, hours * most / a_day if a_day > most else 24.0),
    )


def limits(costs: Costs) -> list[tuple[float, str, str]]:
    """Return from how many frames a second what is short, and what to do; the first one first."""
    most = FRAMES.partitions * int(FRAMES.config["retention.bytes"])
    ten_gigabit = 1.25e9 * FULL / (costs.frame_bytes * (2 + REPLICAS - 1))
    return sorted(
        [
            (
                most / (HOURS * 3600 * costs.frame_bytes),
                f"`frames` keeps less than a day ({HOURS:.0f} busy hours): 8 GiB a partition",
                "raise `retention.bytes` of the topic, with the disks for it",
            ),
            (
                FRAMES.partitions * FULL * costs.rate(math.inf),
                f"{FRAMES.partitions} partitions, a worker each, one engine thread",
                "more threads and decoders, a GPU, then more partitions (operations.md)",
            ),
            (
                ten_gigabit,
                f"one link of 10 Gbit/s to the brokers, {REPLICAS} copies",
                "more brokers: partitions spread over them",
            ),
            (
                RESULTS.partitions * FULL * costs.patients_rate,
                f"{RESULTS.partitions} patients workers",
                "more partitions, or a stack of its own for each house",
            ),
        ]
    )


def needs_table(needs: Sequence[Need]) -> str:
    """Return the table of what is needed."""
    lines = [
        "| scanners | frames a second | scoring workers | patients workers | cores in all "
        "| network, Gbit/s | disk of `frames`, TB | kept, h |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.scanners:,} | {one.fps:,.1f} | {one.scoring} | {one.patients} "
        f"| {_short(one.cores)} | {_short(one.network * 8e-9)} | {_short(one.disk / 1e12)} "
        f"| {_short(one.kept_h)} |"
        for one in needs
    ]
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def tables(figures: Figures) -> dict[str, str]:
    """Return the tables of docs/capacity.md by the names of their marks."""
    costs = Costs.of(figures)
    engine_ms = ", ".join(f"{1000 * s:.1f} ({n})" for n, s in sorted(costs.engine_s.items()))
    inputs = [
        "| | |",
        "|---|---|",
        f"| CPU ms a frame: scoring worker | {1000 * costs.worker_s:.1f} |",
        f"| of it the engine, ms (threads) | {engine_ms} |",
        f"| CPU ms a frame: broker, one copy | {1000 * costs.broker_s:.1f} |",
        f"| CPU ms a finding: patients worker | {1000 * costs.patients_s:.1f} |",
        f"| findings a second of one patients worker | {costs.patients_rate:.0f} |",
        f"| KB of a frame of 512 x 512, stored as it comes | {costs.frame_bytes / 1e3:.0f} |",
        f"| KB of a finding, stored in lz4 | {costs.finding_bytes / 1e3:.2f} |",
    ]
    check = ["| scoring | by the model | measured | measured to model |", "|---|---|---|---|"]
    check += [
        f"| {words} | {model:.1f} | {found:.1f} | {found / model:.2f} |"
        for words, model, found in points(figures)
    ]
    breaks = ["| from frames a second | what is short | what to do |", "|---|---|---|"]
    breaks += [f"| {rate:,.0f} | {what} | {then} |" for rate, what, then in limits(costs)]
    return {
        "costs": "\n".join(inputs),
        "check": "\n".join(check),
        "needs": needs_table([need(costs, n, FPS, HOURS) for n in SCANNERS]),
        "limits": "\n".join(breaks),
    }


def main(argv: list[str] | None = None) -> int:
    """Print what is needed; return the exit code."""
    from benchmarks.speed.page import FIGURES

    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.capacity")
    parser.add_argument("--scanners", type=int, nargs="+", default=list(SCANNERS))
    parser.add_argument("--frames-per-second", type=float, default=FPS, help="of each scanner")
    parser.add_argument("--hours", type=float, default=HOURS, help="a day that they scan")
    args = parser.parse_args(argv)
    costs = Costs.of(json.loads(FIGURES.read_text()))
    wanted = [need(costs, n, args.frames_per_second, args.hours) for n in args.scanners]
    print(needs_table(wanted))
    return 0


def _is(row: Mapping[str, Any], name: str, *, threads: int) -> bool:
    return (row["name"], row["setup"]) == (name, {"threads": threads, "processes": 1})


def _median(row: Mapping[str, Any], key: str) -> float:
    return float(statistics.median(row[key]))


if __name__ == "__main__":
    sys.exit(main())
