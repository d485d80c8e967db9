"""Whose lines the CPU time of a scoring worker goes to, by samples of all its threads (py-spy)."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.contest import Bench
from benchmarks.speed.processes import threads
from benchmarks.speed.rig import BEGIN, LIMIT_S, LOOK_S, Contender, answers
from lesionstream.console import say
from producers.prepare import Prepared

SECONDS, RATE = 6, 200

PARTS = (
    "engine",
    "lungs found and cut",
    "decoded",
    "to the decoder and back",
    "our worker and finding",
    "Faust",
    "aiokafka",
    "asyncio and threads",
)
"""What a sample may belong to; the first one it matches, `_part`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU time a frame of the worker's processes, seconds, by `PARTS`."""

    name: str
    parts: dict[str, float]


def profiled(
    bench: Bench, name: str, contender: Contender, frames: Sequence[Prepared]
) -> dict[str, Any]:
    """Sample a contender while it drains a topic that is longer than that takes.

    Raises
    ------
    RuntimeError  py-spy may not look into another process here, or the topic was too short.
    """
    say(f"profile: {name}")
    with bench.topics(frames) as names:
        home = bench.home / names.prefix.strip("-")
        raw = home / "samples.txt"
        running = contender.running(bench.kafka, names, home)
        with running as processes, answers(bench.kafka, names) as count:
            deadline = time.monotonic() + LIMIT_S
            while count() < BEGIN * len(frames):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{name} answers nothing. Read {home / 'log.txt'}.")
                time.sleep(LOOK_S)
            pid = processes[0].pid
            before, done = threads(pid), count()
            _sample(bench, pid, raw)
            after, done = threads(pid), count() - done
            if count() >= len(frames):
                raise RuntimeError(f"{name}: {len(frames)} frames last less than {SECONDS} s")
    used = {thread: cpu_s - before.get(thread, 0.0) for thread, cpu_s in after.items()}
    spent = divided(used, raw.read_text().splitlines())
    return asdict(Profile(name, {part: cpu_s / done for part, cpu_s in spent.items()}))


def _sample(bench: Bench, pid: int, raw: Path) -> None:
    spy = Path(bench.python).with_name("py-spy")
    told = ["--subprocesses", "--threads", "--format", "raw", "--output", str(raw)]
    ended = subprocess.run(  # noqa: S603 -- of the environment with the peers
        [spy, "record", *told, "-d", str(SECONDS), "-r", str(RATE), "--pid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode or not raw.exists():
        raise RuntimeError(f"py-spy: {ended.stderr.strip() or 'no samples'}")


def divided(used: Mapping[int, float], stacks: Iterable[str]) -> dict[str, float]:
    """Divide the CPU seconds of threads among the parts, each thread's by its samples.

    Parameters
    ----------
    stacks : lines ``outermost;...;innermost COUNT`` of py-spy, with ``thread (ID)`` in them.
    """
    samples: dict[int, Counter[str]] = {}
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        thread = next(int(m[1]) for frame in frames if (m := _THREAD.match(frame)))
        if not _WAITS.match(frames[-1]):
            samples.setdefault(thread, Counter())[_part(frames)] += int(count)
    spent = dict.fromkeys(PARTS, 0.0)
    for thread, cpu_s in used.items():
        found = samples.get(thread, Counter({PARTS[-1]: 1}))
        for part, seen in found.items():
            spent[part] += cpu_s * seen / found.total()
    return spent


_THREAD = re.compile(r"thread \((\d+)\)")
_WAITS = re.compile(r"(select|poll|wait|_worker|_recv) \(|_(look|work) \(stream/line")
"""Innermost of a thread that was seen just as it stopped, or began, to wait for something."""


def _part(stack: Sequence[str]) -> str:
    """Return whose line is the innermost, left out those of the standard library and numpy.

    What an asyncio loop calls is nobody's who runs the loop.
    """
    decoder = any("(wire/decode_child.py" in line for line in stack)
    for line in reversed(stack):
        if "_run_once (asyncio/" in line:
            break
        for place, part in _PLACES.items():
            if f"({place}" in line or f"/{place}" in line:
                if part == "engine" and decoder:
                    return "lungs found and cut"
                return part
    return "to the decoder and back" if decoder else "asyncio and threads"


_PLACES: Mapping[str, str] = {
    "engines/": "engine",
    "stream/quality": "decoded",
    "wire/decode_": "to the decoder and back",
    "wire/parcel": "to the decoder and back",
    "wire/frame": "decoded",
    "wire/part10": "decoded",
    "wire/explicit": "decoded",
    "pydicom/": "decoded",
    "stream/": "our worker and finding",
    "wire/": "our worker and finding",
    "pydantic/": "our worker and finding",
    "aiokafka/": "aiokafka",
    "faust/": "Faust",
    "mode/": "Faust",
}
"""Folder or file -> part. The first of a line counts."""


def draw(profiles: Sequence[Mapping[str, Any]], bare_s: float, picture: Path) -> None:
    """Draw a bar for each profile, and one of aiokafka alone."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(10, 1.3 + 0.75 * len(profiles)), layout="constrained")
    axes = plot.subplots()
    names = [*(str(one["name"]) for one in profiles), "aiokafka alone, the same frames"]
    left = [0.0] * len(names)
    for number, part in enumerate(PARTS):
        own = bare_s if part == "aiokafka" else 0.0
        ms = [*(1000 * one["parts"][part] for one in profiles), 1000 * own]
        axes.barh(range(len(names)), ms, left=left, label=part, color=f"C{number}")
        left = [a + b for a, b in zip(left, ms, strict=True)]
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="CPU ms a frame")
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    plot.savefig(picture, dpi=110)


def table(profiles: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the page."""
    lines = [
        f"| CPU ms a frame | {' | '.join(str(one['name']) for one in profiles)} |",
        "|---" * (len(profiles) + 1) + "|",
    ]
    for part in PARTS:
        ms = " | ".join(f"{1000 * one['parts'][part]:.2f}" for one in profiles)
        lines.append(f"| {part} | {ms} |")
    return "\n".join(lines)
