"""The operators' surface of a long-running process: `/metrics`, `/live`, `/ready`.

Each process writes its address into the state folder, in the form of Prometheus' file-based
service discovery: `.lesionstream/run/*.json`. `doctor` reads the same files.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from lesionstream.settings import settings
from wire.health import Health

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 -- compared with, not bound to
READY = Gauge("lesionstream_ready", "Whether the process does its work now (1) or not (0).")

log = structlog.get_logger(__name__)


def run_folder(home: Path) -> Path:
    """Return where running processes say their addresses."""
    return home / "run"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process of this machine said that its surface is.

    running : whether there is a process of this number; one that was killed leaves its file.
    """

    file: Path
    name: str
    address: str
    pid: int
    running: bool


def places() -> list[Place]:
    """Return what processes of this machine said; what cannot be read is left out."""
    found = []
    for file in sorted(run_folder(settings().home).glob(f"*@{socket.gethostname()}-*.json")):
        with suppress(OSError, ValueError, LookupError):  # it ended meanwhile, or is not ours
            address = str(json.loads(file.read_text())[0]["targets"][0])
            pid = int(file.stem.rpartition("-")[2])
            found.append(Place(file, file.stem, address, pid, Path(f"/proc/{pid}").exists()))
    return found


def surface_of(pid: int) -> str | None:
    """Return host:port of a process' surface; None where it has said none yet."""
    return next((place.address for place in places() if place.pid == pid), None)


@contextmanager
def surface(name: str, health: Callable[[], Health]) -> Iterator[str]:
    """Serve the surface of this process; yield its URL.

    Parameters
    ----------
    name : of the process, such as `scoring`: the job in Prometheus.

    Raises
    ------
    OSError   the port is taken.
    """
    host, _, port = settings().http.rpartition(":")
    server = _Server((host, int(port)), _Handler)
    server.daemon_threads = True
    server.health = health
    thread = threading.Thread(target=server.serve_forever, name="surface", daemon=True)
    thread.start()
    here = "127.0.0.1" if host == ANY_ADDRESS else host
    place = f"{here}:{server.server_address[1]}"
    for other in places():
        if not other.running:
            other.file.unlink(missing_ok=True)
    file = run_folder(settings().home) / f"{name}@{socket.gethostname()}-{os.getpid()}.json"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps([{"targets": [place], "labels": {"job": name}}]))
    draft.rename(file)
    log.info("surface", url=f"http://{place}", paths="/metrics /live /ready")
    try:
        yield f"http://{place}"
    finally:
        file.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    health: Callable[[], Health]


class _Handler(BaseHTTPRequestHandler):
    """Answers GET; everything else is 501."""

    server: _Server

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        found = self.server.health()
        READY.set(found.ready)
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            return
        good = {"/live": found.live, "/ready": found.ready}.get(path)
        if good is None:
            self._answer(404, "text/plain", b"/metrics, /live or /ready\n")
            return
        body = json.dumps(found.to_json(), allow_nan=False).encode() + b"\n"
        self._answer(200 if good else 503, "application/json", body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a probe every second is no news."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
