"""Training jobs: a process each, side by side, with a bar for every one.

A job's folder holds `job.json`, which says what it was told, and `done` when it has finished: what
is done is not done again, what broke off goes on, what was told something else is thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn

DONE = "done"

_ROOT = Path(__file__).parents[1]

Watch = Callable[[int, str], None]
"""Told how many steps were made, and a word beside the bar."""


class JobFailed(RuntimeError):
    """A training process ended with an error. Operator action: read the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """One process's work.

    Attributes
    ----------
    name : beside its bar.
    data : folder with luna16-slices and luna16-patches.
    folder : the job's own.
    threads : that it may use.
    """

    name: str
    data: Path
    folder: Path
    threads: int = 1

    @property
    @abstractmethod
    def steps(self) -> int:
        """How long its bar is."""

    @abstractmethod
    def do(self, watch: Watch) -> None:
        """Do it, in this process."""

    @abstractmethod
    def told(self) -> Any:
        """Return what its result depends on besides code and data, as JSON."""

    @property
    def done(self) -> bool:
        """Whether it has finished, as it is told now."""
        return (self.folder / DONE).is_file() and self._same_as_before()

    def write(self) -> Path:
        """Write the job into its folder, emptied if another job lay there; return the file."""
        if self.folder.is_dir() and not self._same_as_before():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).unlink(missing_ok=True)
        path, part = self.folder / "job.json", self.folder / "job.part"
        written = {
            "told": self.told(),
            "job": TypeAdapter(type(self)).dump_python(self, mode="json"),
        }
        part.write_text(json.dumps(written, indent=2) + "\n")
        part.replace(path)
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return TypeAdapter(cls).validate_python(json.loads(path.read_text())["job"])

    def _same_as_before(self) -> bool:
        try:
            before = json.loads((self.folder / "job.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return bool(before["told"] == json.loads(json.dumps(self.told())))


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
    command = [sys.executable, "-m", type(job).__module__, str(path)]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=_ROOT) as process,  # noqa: S603
    ):
        assert process.stdout is not None  # noqa: S101 -- it is a pipe
        for line in process.stdout:
            step, note = json.loads(line)
            bars.update(bar, completed=step, note=note)
            if not bars.console.is_terminal and step % 500 == 0:
                bars.console.print(f"{job.name}: {step} of {job.steps}, {note}")
    if process.returncode:
        raise JobFailed(f"{job.name} failed ({process.returncode}). Read {log}.")


def main(kind: type[Job]) -> int:
    """Do the job whose file the command line names; say where it stands on standard output."""
    (path,) = sys.argv[1:]
    job = kind.read(Path(path))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # heavy, training only

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    job.do(lambda step, note: print(json.dumps((step, note)), flush=True))
    (job.folder / DONE).write_text("")
    return 0
