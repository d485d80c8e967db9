"""A server of pages on a made-up ward, whose every word to the browser a test decides.

It speaks as the monitor's own server does; that one is tried elsewhere. Here the page is.
"""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles
from support.pretend_ward import NOW, SIZE_PX

from monitor import pages, views
from monitor.known import Known
from monitor.shapes import Role

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


@dataclass(frozen=True)
class Person:
    """Who looks."""

    name: str = "dr x"
    role: Role = "clinician"


@dataclass
class Pretence:
    """What the server says. A test changes it while a page is open.

    alerts : (offset, alert) on the feed; those below a client's Last-Event-ID are repeated on
        purpose where `forgetful`.
    last_beat_ms : when the last beat was said, by the clock of this computer.
    wanted : what clients asked to resume after, one entry a connection.
    """

    known: Known
    silent: bool = False
    beats: bool = True
    broker: str = "ok"
    cache: str = "ok"
    ready: bool = True
    forgetful: bool = False
    spoil: str = ""
    drop: bool = False
    status: int = 202
    alerts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    last_beat_ms: float = 0.0
    url: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        """Return the time of the made-up ward; it runs."""
        return NOW + (datetime.now(UTC) - self.started)

    def sheet(self, view: pages.View, patient_id: str) -> pages.Sheet:
        """Return a view."""
        beat = self.known.heartbeat
        fresh = beat and beat.model_copy(update={"time": self.now()})
        known, role = replace(self.known, heartbeat=fresh), Person().role
        if view == "patient":
            found = views.patient(known, patient_id, role, self.now())
            assert found is not None
            return found
        made: pages.Sheet = getattr(views, view)(known, role, self.now())
        return made

    async def events(self, request: Request) -> AsyncIterator[str]:
        """Yield the stream of one client."""
        asked = request.query_params
        after = request.headers.get("last-event-id") or asked.get("last_event_id", "")
        self.wanted.append(after)
        after_offset = int(after) if after and not self.forgetful else -1
        said: tuple[dict[str, str], dict[str, list[str]]] = ({}, {})
        yield "retry: 300\n\n"
        for turn in range(1_000_000):
            if self.drop:
                return
            if not self.silent:
                parts = pages.fragments(
                    asked["view"],  # type: ignore[arg-type]
                    self.sheet(asked["view"], asked.get("id", "")),  # type: ignore[arg-type]
                    self.now(),
                )
                html = {k: v for k, v in parts.html.items() if said[0].get(k) != v}
                lists = {k: v for k, v in parts.lists.items() if said[1].get(k) != v}
                said = parts.html, parts.lists
                if self.spoil:
                    lists, self.spoil = {self.spoil: ["nothing-of-that-name"]}, ""
                yield _event("patch", {"html": html, "lists": lists})
                for offset, alert in self.alerts:
                    if offset > after_offset:
                        after_offset = offset
                        yield f"id: {offset}\n" + _event("alert", alert)
                if self.beats and turn % 5 == 0:
                    self.last_beat_ms = datetime.now(UTC).timestamp() * 1000
                    yield _event("beat", self.beat())
            await asyncio.sleep(0.2)

    def beat(self) -> dict[str, Any]:
        """Return the beat."""
        newest = max((offset for offset, _ in self.alerts), default=100)
        return {
            "time": self.now().isoformat(),
            "broker": self.broker,
            "cache": self.cache,
            "ready": self.ready,
            "newest_offset": newest,
        }


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _app(pretence: Pretence) -> FastAPI:
    app = FastAPI()

    def page(view: pages.View, patient_id: str = "") -> Response:
        sheet = pretence.sheet(view, patient_id)
        html = pages.page(view, sheet, Person(), demo=True, now=pretence.now())
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY})

    @app.get("/")
    def ward() -> Response:
        return page("ward")

    @app.get("/alarms")
    def alarms() -> Response:
        return page("alarms")

    @app.get("/system")
    def system() -> Response:
        return page("system")

    @app.get("/patients/{patient_id}")
    def patient(patient_id: str) -> Response:
        return page("patient", patient_id)

    @app.get("/login")
    def login() -> Response:
        return HTMLResponse(pages.login("", "/"), headers={"Content-Security-Policy": POLICY})

    @app.get("/api/alerts/stream")
    async def stream(request: Request) -> Response:
        return StreamingResponse(pretence.events(request), media_type="text/event-stream")

    @app.post("/api/actions")
    async def act(request: Request) -> Response:
        pretence.acts.append(await request.json())
        return JSONResponse({"detail": "said by the test"}, pretence.status)

    @app.get("/api/frames/{uid}/{number}.png")
    def frame(uid: str, number: int, layer: str = "image") -> Response:
        channels = 4 if layer == "heat" else 1
        picture = np.full((SIZE_PX, SIZE_PX, channels), 90, np.uint8)
        return Response(cv2.imencode(".png", picture)[1].tobytes(), media_type="image/png")

    app.mount("/static", StaticFiles(directory=pages.STATIC))
    return app


@contextmanager
def served(pretence: Pretence) -> Iterator[Pretence]:
    """Serve it on a free port while the context lasts."""
    listening = socket.create_server(("127.0.0.1", 0))
    pretence.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(_app(pretence), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield pretence
    finally:
        pretence.drop = True
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
