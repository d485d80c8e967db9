"""What a process and its children have used: CPU time and memory, from the kernel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process and all its living descendants, and of those that ended and were waited for.

    Attributes
    ----------
    cpu_s : user and system time.
    peak_bytes : greatest resident memory, each process at its own worst moment.
    """

    cpu_s: float
    peak_bytes: int


def usage(pid: int) -> Usage:
    """Return what the tree below `pid` has used so far; nothing where it is gone."""
    cpu_s, peak = 0.0, 0
    for one in _tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended: its parent has its time
        cpu_s += sum(map(int, fields[11:15])) * _TICK_S
        peak += sum(int(kib) << 10 for kib in re.findall(r"VmHWM:\s+(\d+) kB", status))
    return Usage(cpu_s, peak)


def together(pids: Iterable[int]) -> Usage:
    """Return what some processes and all below them have used so far."""
    used = [usage(pid) for pid in pids]
    return Usage(sum(one.cpu_s for one in used), sum(one.peak_bytes for one in used))


def threads(pid: int) -> dict[int, float]:
    """Return the CPU seconds of each living thread of a process and of all below it."""
    found = {}
    for one in _tree(pid):
        for task in Path(f"/proc/{one}/task").glob("*"):
            try:
                on_cpu_ns = (task / "schedstat").read_text().split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(task.name)] = int(on_cpu_ns) * 1e-9
    return found


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = listed.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in below:
            yield from _tree(int(child))
