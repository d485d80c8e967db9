"""Processes of our own command, started beside this one: they end when it ends, however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

PR_SET_PDEATHSIG = 1
END_S = 15.0
"""A worker ends within 10 s of SIGTERM; after this it is killed."""


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `lesionstream COMMAND...` as a child that gets SIGTERM when this process ends."""
    return start_program(
        [sys.executable, "-m", "lesionstream", *command],
        environment=environment,
        stdout=stdout,
        stderr=stderr,
    )


def start_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | int | None = None,
    stderr: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start any program of ours as such a child."""
    return subprocess.Popen(  # noqa: S603 -- our own programs
        list(command),
        env=dict(os.environ) | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        preexec_fn=_die_with_parent,
    )


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, wait for them, and kill what does not."""
    asked = list(processes)
    for process in asked:
        process.terminate()
    for process in asked:
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
