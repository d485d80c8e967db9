"""`watchdog`: heartbeats and technical alarms, as a process."""

import fcntl
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from lesionstream import endpoints
from lesionstream.console import set_up_logging
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import places, surface
from monitor.watchdog import Site, Watchdog

log = structlog.get_logger(__name__)

NAME = "watchdog"


def watch() -> None:
    """Watch until SIGTERM or SIGINT.

    Raises
    ------
    SettingsError   one runs already for these topics.
    """
    wanted = settings()
    set_up_logging(wanted.log_level)
    site = Site(
        kafka=endpoints.kafka(),
        redis=endpoints.redis(),
        names=wanted.names,
        workers=_workers,
        quiet_s=wanted.frames_quiet_s,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _alone(wanted.home / f"{wanted.topic_prefix}watchdog.lock"):
        watchdog = Watchdog(site, stop)
        with surface(NAME, watchdog.health):
            log.info("watching", kafka=str(site.kafka), redis=str(site.redis))
            watchdog.run()


def _workers() -> Iterator[tuple[str, str]]:
    """Yield the processes of this machine, but for this one, and those that were named."""
    for place in places():
        if place.running and not place.name.startswith(f"{NAME}@"):
            yield place.name, f"http://{place.address}"
    for address in filter(None, (settings().workers or "").split(",")):
        yield from _behind(address)


def _behind(address: str) -> Iterator[tuple[str, str]]:
    """Yield each process behind an address: a service's name may stand for many containers."""
    parts = urlsplit(address)
    found: set[str] = set()
    if parts.scheme == "http":
        with suppress(OSError):  # a name that is not known does not answer: that is told
            infos = socket.getaddrinfo(parts.hostname, parts.port, socket.AF_INET)
            found = {str(info[4][0]) for info in infos}
    if len(found) < 2:
        yield parts.netloc, address
        return
    for host in sorted(found):
        yield f"{parts.hostname} {host}", f"http://{host}:{parts.port or 80}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of this state folder: two watchdogs would say everything twice."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"a watchdog runs already: it holds {path}") from error
        yield
