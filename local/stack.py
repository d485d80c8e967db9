"""The two servers of a state folder together, one caller at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local import process
from local.broker import Broker
from local.cache import Cache
from local.errors import LocalError
from local.jars import fetch_kafka
from local.says import Say, silent
from local.server import Server

LOCK_S = 240.0
"""How long to wait for another caller: longer than both servers may take to start."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers of a state folder are reached."""

    kafka: str | None
    """``127.0.0.1:PORT``; None: not running, or not asked for."""

    redis: str | None
    """``redis://127.0.0.1:PORT/0``; None: not running, or not asked for."""


def up(home: Path, *, kafka: bool = True, redis: bool = True, say: Say = silent) -> Endpoints:
    """Start what is asked for and does not run yet; return once it answers.

    The servers outlive the caller and hold none of its streams. Called again, or by two programs at
    the same time, it finds what runs. After a kill the data and the ports are the same again;
    a port that someone else has taken meanwhile is replaced.

    Parameters
    ----------
    home : the state folder, made if missing; the data are in ``kafka`` and ``redis``, what the
        servers print in ``logs``.
    kafka, redis : which servers.
    say : hears what is going on, one line at a time.

    Raises
    ------
    LocalError   something is missing, or a server did not start.
    """
    home = home.resolve()
    broker, cache = Broker(home), Cache(home)
    try:
        if kafka and broker.find() is None:
            fetch_kafka(say, home=home)  # may take minutes: not while others wait for the lock
        with _locked(home):
            return Endpoints(
                redis=cache.up(say) if redis else None,
                kafka=broker.up(say) if kafka else None,
            )
    except OSError as error:
        raise LocalError(f"{home} cannot be used as a state folder: {error}") from error


def down(home: Path, *, say: Say = silent) -> list[str]:
    """Stop what runs of `home`; return its names. Data, logs and ports stay.

    Raises
    ------
    LocalError   a server belongs to another user, or another caller holds the folder.
    """
    servers = _servers(home)
    if not any(server.find() for server in servers) and not home.exists():
        return []
    try:
        with _locked(home.resolve()):
            return [server.name for server in servers if server.down(say)]
    except OSError as error:
        raise LocalError(f"{home} cannot be used as a state folder: {error}") from error


def status(home: Path) -> Endpoints:
    """Return what of `home` runs and answers now; starts and changes nothing."""
    broker, cache = _servers(home)
    return Endpoints(kafka=broker.status(), redis=cache.status())


def remembered(home: Path) -> Endpoints:
    """Return where the servers of `home` ran last time, whether they run or not."""
    broker, cache = _servers(home)
    return Endpoints(kafka=broker.remembered(), redis=cache.remembered())


def _servers(home: Path) -> tuple[Server, Server]:
    home = home.resolve()
    return Broker(home), Cache(home)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "local.lock").open("w") as file:
        if not process.until(lambda: _try_lock(file), LOCK_S):
            raise LocalError(
                f"another `up` or `down` has been at work in {home} for {LOCK_S:.0f} s: "
                "end it, then run this again"
            )
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
