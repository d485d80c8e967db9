"""The server of the bedside monitor: what is put together, and how it starts and ends."""

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from monitor import pages, routes_api, routes_pages
from monitor.feed import Feed
from monitor.gate import Gate
from monitor.hub import Hub
from monitor.screens import Screens
from monitor.site import Site
from monitor.source import Bell, Source

SHUTDOWN_S = 3


def make_app(site: Site) -> FastAPI:
    """Return the application. It reads Kafka while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bell, hub = Bell(), site.hub
        source = Source(hub.board.ring, hub.alerts_read, bell, site.cluster, site.alerts_topic)
        screens = Screens(site.draw, lambda: _state(hub), bell.ring)
        site.feed = Feed(hub, source, screens, bell)
        hub.on_alert(bell.ring_from_outside)
        hub.start()
        for warm_up in (site.pictures.warm_up, site.recorder.warm_up):
            threading.Thread(target=warm_up, name="warm up", daemon=True).start()
        try:
            yield
        finally:
            site.feed.end()
            source.close()
            screens.close()
            await asyncio.to_thread(hub.stop)
            site.recorder.close()
            site.pictures.close()

    app = FastAPI(
        title="Lesionstream",
        summary="What the bedside monitor shows. Decision support, not a medical device.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(routes_api.routes(site))
    app.include_router(routes_pages.routes(site))
    app.mount("/static", StaticFiles(directory=pages.STATIC))
    app.add_middleware(Gate, access=site.access)
    return app


class _Server(uvicorn.Server):
    """A server that ends when it is told to, though clients of the feed never hang up."""

    def __init__(self, config: uvicorn.Config, site: Site) -> None:
        super().__init__(config)
        self._site = site

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the feed, then the server.

        Unlike the library's it does not raise the signal again: an end that was asked for is exit
        code 0.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
        if self._site.feed is not None:
            self._site.feed.end()


def serve(site: Site, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, on a socket that is bound already."""
    config = uvicorn.Config(
        make_app(site),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address itself says who may speak for others (monitor.access)
        timeout_graceful_shutdown=SHUTDOWN_S,
        lifespan="on",
        ws="none",
    )
    _Server(config, site).run(sockets=[listening])


def _state(hub: Hub) -> Hashable:
    """Return what changes whenever a view may."""
    return hub.board.revision, hub.broker, hub.cache, hub.not_ready()
