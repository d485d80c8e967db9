"""Run training jobs side by side, a process each, with a bar for every one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn

from training.lesion_job import Job

_ROOT = Path(__file__).parents[1]


class JobFailed(RuntimeError):
    """A training process ended with an error. Operator action: read the end of its log."""


def run(jobs: Sequence[Job], *, workers: int, console: Console) -> None:
    """Run every job that is not done yet, `workers` at a time.

    Raises
    ------
    JobFailed  one of them failed; those that run beside it are finished first.
    """
    waiting = [job for job in jobs if not job.done]
    columns = (
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars, ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda job: _run(job, bars), waiting):
            pass


def _run(job: Job, bars: Progress) -> None:
    path = job.write()
    log = job.folder / "log.txt"
    bar = bars.add_task(job.name, total=job.steps, note="")
    command = [sys.executable, "-m", "training.lesion_job", str(path)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT) as process,  # noqa: S603
    ):
        assert process.stdout is not None  # noqa: S101 -- it is a pipe
        for line in process.stdout:
            told = json.loads(line)
            bars.update(bar, completed=told["step"], note=f"loss {told['loss']:.3f}")
            if not bars.console.is_terminal and told["step"] % 500 == 0:
                bars.console.print(
                    f"{job.name}: {told['step']} of {told['steps']}, {told['loss']:.3f}"
                )
    if process.returncode:
        raise JobFailed(f"{job.name} failed ({process.returncode}). Read {log}.")
