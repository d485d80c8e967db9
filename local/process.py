"""Detached processes: started, found again by their command line, stopped.

There are no pid files. A server is ours when the process table holds its program with our state
folder in its arguments: a killed server is simply not there, a reused pid belongs to another
command line, and a server whose starter died before it could note anything down is still found.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.errors import LocalError

POLL_S = 0.05
"""Pause between two looks at something awaited."""

KILL_S = 10.0
"""How long a process may take to vanish after SIGKILL; longer means a hung disk."""

LOG_MAX_BYTES = 8 << 20
"""A log larger than this is set aside (``.1``) at the next start."""

_DETACH = 'log=$1; shift; LC_ALL=C.UTF-8 "$@" </dev/null >>"$log" 2>&1 & echo $!'
"""The shell starts the server in the background and leaves: the server is nobody's child, so that
a caller that lives long keeps no zombie. UTF-8, or Java cannot open a path with an umlaut."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this machine; a later one that got the same pid is not equal to it."""

    pid: int
    started_ticks: int  # since boot, /proc/PID/stat field 22

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return _started_ticks(self.pid) == self.started_ticks

    def signal(self, number: signal.Signals) -> None:
        """Send `number`; nothing happens where the process is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, deadline_s: float) -> bool:
        """Ask it to end and, after `deadline_s`, kill it; True: it ended by itself.

        Raises
        ------
        LocalError   it may not be signalled, or outlives SIGKILL.
        """
        try:
            self.signal(signal.SIGTERM)
            if until(lambda: not self.alive(), deadline_s):
                return True
            self.signal(signal.SIGKILL)
        except PermissionError as error:
            raise LocalError(
                f"process {self.pid} belongs to another user: stop it as that user"
            ) from error
        if not until(lambda: not self.alive(), KILL_S):
            raise LocalError(f"process {self.pid} outlives SIGKILL: look at the disk, then reboot")
        return False


def find(program: str, argument: str) -> Process | None:
    """Return the process that runs `program` (a prefix of its file name) with `argument`."""
    for pid, argv in _command_lines():
        if Path(argv[0]).name.startswith(program) and argument in argv[1:]:
            started_ticks = _started_ticks(pid)
            if started_ticks is not None:
                return Process(pid, started_ticks)
    return None


def start(argv: Sequence[str], *, cwd: Path, log: Path) -> Process:
    """Run `argv` in a session of its own, with none of the caller's streams.

    Raises
    ------
    LocalError   the command ended at once.
    """
    done = subprocess.run(  # noqa: S603 - our own command line, no user's words in the script
        ["/bin/sh", "-c", _DETACH, "sh", str(log), *argv],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        start_new_session=True,
    )
    pid = int(done.stdout)
    started_ticks = _started_ticks(pid)
    if started_ticks is None:
        raise LocalError(f"{argv[0]} ended at once; its log is {log}")
    return Process(pid, started_ticks)


def run(argv: Sequence[str], *, cwd: Path, timeout_s: float) -> tuple[int, str]:
    """Run `argv` to its end; return its exit code and all it printed.

    Raises
    ------
    LocalError   it took longer than `timeout_s`.
    """
    try:
        done = subprocess.run(  # noqa: S603 - as above
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"`{' '.join(argv)}` did not end within {timeout_s:.0f} s") from error
    return done.returncode, done.stdout


def program(name: str, advice: str) -> str:
    """Return the path of the command `name`.

    Raises
    ------
    LocalError   it is not installed; the message is `advice`.
    """
    path = shutil.which(name)
    if path is None:
        raise LocalError(f"`{name}` is missing: {advice}")
    return path


def until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Wait until `condition` holds; False: it did not within `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def set_aside(log: Path) -> int:
    """Rename `log` if it has grown large; return the size at which the next start begins."""
    size = log.stat().st_size if log.exists() else 0
    if size <= LOG_MAX_BYTES:
        return size
    log.replace(log.with_name(f"{log.name}.1"))
    return 0


def last_lines(log: Path, since: int, count: int = 12) -> str:
    """Return the last lines that `log` holds beyond its byte `since`, indented."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(since, size - 16_384))
        lines = file.read().decode(errors="replace").splitlines()
    return "".join(f"\n    {line[:500]}" for line in lines[-count:])


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # A process may end while we look, and a kernel thread has no command line.
            with contextlib.suppress(OSError):
                raw = (entry / "cmdline").read_bytes()
                if raw:
                    yield int(entry.name), [os.fsdecode(word) for word in raw[:-1].split(b"\0")]


def _started_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return None if state in {"Z", "X"} else int(fields[18])
