"""`worker scoring --scale N`: several workers of one kind on one machine."""

import signal
import subprocess
import threading
import time

import structlog

from lesionstream import children
from lesionstream.console import set_up_logging
from lesionstream.settings import settings

log = structlog.get_logger(__name__)

LOOK_S = 0.2
RESTART_S = 1.0
"""A worker that ended is started again after this; twice as long each time, up to `LONGEST_S`."""

LONGEST_S = 30.0
WELL_S = 60.0
"""A worker that ran for so long was well: its next end is a first one again."""


def run(command: list[str], count: int) -> None:
    """Run `count` workers until SIGTERM or SIGINT; one that ends is started again.

    Parameters
    ----------
    command : of one worker, such as ``["worker", "scoring"]``.
    """
    set_up_logging(settings().log_level)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    workers = [_Worker(command, place) for place in range(count)]
    try:
        while not told.wait(LOOK_S):
            for worker in workers:
                worker.look()
    finally:
        children.end([worker.process for worker in workers if worker.process is not None])


class _Worker:
    """One place among the workers, and the process that fills it."""

    def __init__(self, command: list[str], place: int) -> None:
        self._command = command
        self._place = place
        self._pause_s = RESTART_S
        self._start_at_s = 0.0
        self._started_s = 0.0
        self.process: subprocess.Popen[bytes] | None = self._start()

    def look(self) -> None:
        """Start the process again if it ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._start_at_s:
                self.process = self._start()
        elif self.process.poll() is not None:
            well = now - self._started_s > WELL_S
            self._pause_s = RESTART_S if well else min(2 * self._pause_s, LONGEST_S)
            log.error(
                "worker ended",
                place=self._place,
                exit_code=self.process.returncode,
                started_again_in_s=self._pause_s,
            )
            self._start_at_s = now + self._pause_s
            self.process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._started_s = time.monotonic()
        host, _, port = settings().http.rpartition(":")
        own = int(port) + self._place if int(port) else 0
        process = children.start(self._command, environment={"LESIONSTREAM_HTTP": f"{host}:{own}"})
        log.info("worker started", place=self._place, pid=process.pid)
        return process
