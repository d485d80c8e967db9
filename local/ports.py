"""Ports of one's own: picked once, remembered, picked again only when someone else has them."""

import json
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from local.errors import LocalError

PORTS = range(20_000, 30_000)
"""Below Linux's ephemeral range (from 32768) and Kubernetes' node ports (from 30000), so that no
outgoing connection takes a server's port while it is down."""

_TRIES = 200

FREED_S = 1.0
"""What was killed a moment ago may hold its port a moment longer: the first of its threads is gone,
and the last one, which closes the files, is not. Seen on a busy machine."""


def remembered(file: Path) -> dict[str, int]:
    """Return the ports noted in `file`; none where it is missing or broken."""
    try:
        noted = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(noted, dict):
        return {}
    return {name: port for name, port in noted.items() if isinstance(port, int)}


def claim(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Return a free port for each of `names`, the remembered one where it is free, and note them.

    To be called while the server is down and its folder is locked.

    Raises
    ------
    LocalError   no free port was found.
    """
    noted = remembered(file)
    ports: dict[str, int] = {}
    for name in names:
        port = noted.get(name, 0)
        keep = port in PORTS and port not in ports.values() and _is_freed(port)
        ports[name] = port if keep else _pick(set(ports.values()))
    file.write_text(json.dumps(ports) + "\n")
    return ports


def _is_freed(port: int) -> bool:
    """Whether `port` is free, or becomes it in a moment."""
    ends_s = time.monotonic() + FREED_S
    while not is_free(port):
        if time.monotonic() > ends_s:
            return False
        time.sleep(0.02)
    return True


def is_free(port: int) -> bool:
    """Whether a server may listen on `port` of 127.0.0.1.

    With SO_REUSEADDR, as the servers themselves do: what is left of a killed server's connections
    does not count, or each kill would move the broker away from its clients.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _pick(taken: set[int]) -> int:
    for _ in range(_TRIES):
        port = PORTS[secrets.randbelow(len(PORTS))]
        if port not in taken and is_free(port):
            return port
    raise LocalError(
        f"no free port between {PORTS.start} and {PORTS.stop}: stop what holds them (`ss -ltn`)"
    )
