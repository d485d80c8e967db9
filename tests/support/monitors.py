"""The bedside monitor as a process, and clients of its feed."""

import contextlib
import json
import signal
import socket
import threading
import time
from typing import Any, NamedTuple

import httpx
from support.stack import Stack, eventually

from lesionstream.surface import run_folder
from monitor.users import ROLES, Users

STARTED_S = 60.0


class Event(NamedTuple):
    """One event of the feed. at_s : when it was heard (monotonic)."""

    name: str
    offset: int | None
    data: str
    at_s: float

    @property
    def json(self) -> Any:
        """Return the data."""
        return json.loads(self.data)


class Monitor:
    """`lesionstream monitor` on a stack, with a token for each role."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._home = stack.folder / "home"
        self.users = Users(self._home / "users.toml")
        self.tokens: dict[str, str] = {
            role: self.users.add_token(f"{role}-1", role) for role in ROLES
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Any = None

    def start(self, *words: object) -> None:
        """Start it, and wait until it has read everything."""
        self.process = self._stack.start("monitor", "--port", self.port, *words)
        eventually(self.ready, within_s=STARTED_S, what="the monitor has read everything")

    def ready(self) -> bool:
        """Tell whether it answers, and has read everything."""
        assert self.process.poll() is None, "the monitor ended"
        with contextlib.suppress(httpx.HTTPError):
            return bool(httpx.get(f"{self.url}/live").json()["ready"])
        return False

    def stop(self) -> float:
        """Send SIGTERM; return how long the end took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        return time.monotonic() - began

    def kill(self) -> None:
        """Send SIGKILL."""
        self._stack.kill(self.process)

    def facts(self) -> dict[str, Any]:
        """Return what its operators' surface says."""
        (file,) = run_folder(self._home).glob(f"monitor@*-{self.process.pid}.json")
        place = json.loads(file.read_text())[0]["targets"][0]
        facts: dict[str, Any] = httpx.get(f"http://{place}/live").json()["facts"]
        return facts

    def headers(self, role: str | None) -> dict[str, str]:
        """Return the headers by which a role is let in."""
        return {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}

    def get(self, path: str, role: str | None = "clinician", **more: Any) -> httpx.Response:
        """Ask for something."""
        return httpx.get(self.url + path, headers=self.headers(role), timeout=30, **more)

    def act(self, role: str, **wish: Any) -> httpx.Response:
        """Do something."""
        headers = self.headers(role)
        return httpx.post(f"{self.url}/api/actions", headers=headers, json=wish, timeout=30)

    def listen(self, role: str = "viewer", **query: Any) -> "Listener":
        """Return a client of the feed that has begun to listen."""
        return Listener(f"{self.url}/api/alerts/stream", self.headers(role), query)

    def subscribe(self) -> "Subscriber":
        """Return a client that begins at the beginning and resumes wherever it was cut off."""
        return Subscriber(f"{self.url}/api/alerts/stream", self.headers("viewer"))

    def listen_as(self, browser: httpx.Client) -> "Listener":
        """Return a client of the feed with the session of a browser."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        return Listener(f"{self.url}/api/alerts/stream", {"Cookie": cookies}, {})


class Listener:
    """A client of the feed, in a thread: hears until it is cut off or closed."""

    def __init__(self, url: str, headers: dict[str, str], query: dict[str, Any]) -> None:
        self._url = url
        self._headers = headers
        self._query = query
        self._client = httpx.Client(timeout=httpx.Timeout(10, read=30))
        self.events: list[Event] = []
        self.status: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offsets(self) -> list[int]:
        """Return the ids that were heard, in order."""
        return [e.offset for e in self.events if e.offset is not None]

    def beats(self) -> list[Event]:
        """Return the beats that were heard."""
        return [e for e in self.events if e.name == "beat"]

    def wait(self, count: int, *, within_s: float = 30.0) -> list[int]:
        """Wait until so many ids were heard; return them."""
        eventually(
            lambda: len(self.offsets()) >= count, within_s=within_s, what=f"{count} messages"
        )
        return self.offsets()

    def ended(self, within_s: float = 10.0) -> bool:
        """Tell whether it was cut off within a time."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _run(self) -> None:
        # A server that is killed, and a client that hangs up, end a stream in many ways.
        with (
            contextlib.suppress(httpx.HTTPError, httpx.StreamError, OSError, RuntimeError),
            self._client.stream(
                "GET", self._url, params=self._query, headers=self._headers
            ) as answer,
        ):
            self.status = answer.status_code
            fields: dict[str, str] = {}
            data: list[str] = []
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "data":
                    data.append(value)
                elif line:
                    fields[name] = value
                elif "event" in fields:
                    offset = int(fields["id"]) if "id" in fields else None
                    self.events.append(
                        Event(fields["event"], offset, "\n".join(data), time.monotonic())
                    )
                    fields, data = {}, []
                else:
                    fields, data = {}, []


class Subscriber:
    """A bedside: one client after another, each from where the one before was cut off."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._before: list[Event] = []
        self._now: Listener | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def heard(self, name: str) -> list[Any]:
        """Return what came of one name (`alert`, `heartbeat`, `beat`), in order."""
        return [event.json for event in self.events() if event.name == name]

    def events(self) -> list[Event]:
        """Return all that came, in order."""
        with self._lock:
            return self._before + (self._now.events if self._now else [])

    def close(self) -> None:
        """Hang up."""
        self._closed.set()
        if self._now is not None:
            self._now.close()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closed.is_set():
            heard = [e.offset for e in self.events() if e.offset is not None]
            query = {"last_event_id": heard[-1]} if heard else {"from": 0}
            self._now = Listener(self._url, self._headers, query)
            while not self._now.ended(within_s=0.5) and not self._closed.is_set():
                pass
            with self._lock:
                self._before, self._now = self._before + self._now.events, None
