"""An hour at half of what one scoring worker can do: no process grows, nothing stands still."""

import os
import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.chaos import write_scans
from support.monitors import Monitor
from support.record import recorded
from support.stack import eventually

from wire.envelope import Envelope
from wire.records import Finding
from wire.topics import RESULTS

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
WARM_UP = 1 / 6
"""Of the time: buffers, caches and the first round of frames fill it."""

SAMPLE_S = 10.0
GROWTH = 1.05
STALL_S = 15.0
"""Nobody is blind for longer without being told: so long a subscriber waits."""

COLUMNS = (
    "| process | minutes | frames/s | findings | longest pause, s | MiB after the warm-up "
    "| MiB at the end | growth |"
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 600)]


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and all its children, MiB."""
    total = 0.0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            total = int(line.split()[1]) / 1024
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        total += sum(resident_mib(int(child)) for child in children.read_text().split())
    return total


def test_an_hour_at_half_load(stack, tmp_path, monkeypatch):
    """The shipped engine; the same frames again and again, for states grow with patients."""
    monkeypatch.setenv("LESIONSTREAM_ENGINE_THREADS", "1")
    scans = write_scans(tmp_path / "scans", 8)
    monitor = Monitor(stack)
    processes = {name: stack.worker(name) for name in ("scoring", "patients")}
    processes["watchdog"] = stack.start("watchdog")
    monitor.start()
    processes["monitor"] = monitor.process
    feed = monitor.subscribe()
    for name in ("scoring", "patients"):
        stack.wait_for_members(name, 1)
    first = stack.start("replay", scans, "--fps", 50)
    eventually(lambda: first.poll() == 0, within_s=120, what="all sent once")
    findings = stack.answered(400, within_s=300)
    took_ms = statistics.median(f.times_ms.total for f in findings if f.status == "scored")
    fps = 500 / took_ms
    replay = stack.start("replay", scans, "--fps", fps, "--loop")

    began = time.monotonic()
    grown: dict[str, list[float]] = {name: [] for name in processes}
    while time.monotonic() < began + MINUTES * 60:
        time.sleep(SAMPLE_S)  # the time is the test
        for name, process in processes.items():
            assert process.poll() is None, f"{name} ended"
            if time.monotonic() > began + MINUTES * 60 * WARM_UP:
                grown[name].append(resident_mib(process.pid))
    assert replay.poll() is None
    stack.kill(replay)
    feed.close()

    results = sorted(
        record.timestamp / 1000
        for record in stack.records(RESULTS)
        if Envelope.of(record.headers).kind == Finding.kind
    )
    gaps = [b - a for a, b in pairwise(results)]
    ends = {name: _ends(sizes) for name, sizes in grown.items()}
    with recorded("hour", COLUMNS) as rows:
        for name, (early, late) in ends.items():
            rows.append(
                f"| {name} | {MINUTES:g} | {fps:.1f} | {len(results)} | {max(gaps):.1f} "
                f"| {early:.0f} | {late:.0f} | {late / early - 1:+.1%} |\n"
            )
    assert max(gaps) < STALL_S
    for name, (early, late) in ends.items():
        assert late < early * GROWTH, f"{name} grew from {early:.0f} to {late:.0f} MiB"


def _ends(sizes: list[float]) -> tuple[float, float]:
    """Return the median of the first tenth, and of the last."""
    tenth = max(1, len(sizes) // 10)
    return statistics.median(sizes[:tenth]), statistics.median(sizes[-tenth:])
