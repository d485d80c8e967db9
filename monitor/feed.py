"""The alert feed (Server-Sent Events): each message once, in order, from wherever a client was.

A client is a position in `alerts` and has no buffer: what it has not taken yet waits in the ring,
or on Kafka. One that takes nothing for long is cut off, and resumes by its Last-Event-ID.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from monitor.hub import Hub
from monitor.screens import Key, Screen, Screens
from monitor.source import Bell, Part, Source
from wire.envelope import rfc3339

BEAT_S = 1.0
ALLOWED_S = 5.0
"""Between two looks whether a client may still listen: a session can end while it does."""

SLOW_S = 20.0
"""Who takes nothing for so long is cut off."""

MOST_CLIENTS = 500
RETRY = b"retry: 1000\n\n"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants.

    offset : in `alerts`, the first one; None: what comes from now on.
    key : the view whose changes it wants, too.
    allowed : whether it may still listen.
    """

    offset: int | None
    key: Key | None
    allowed: Callable[[], bool]


class Feed:
    """The feed of one server.

    Parameters
    ----------
    bell : rung when there is something new: a message, a view that was drawn, the end.
    """

    def __init__(self, hub: Hub, source: Source, screens: Screens, bell: Bell) -> None:
        self._hub = hub
        self._source = source
        self._screens = screens
        self._bell = bell
        self._ended = False
        self.clients = 0

    def end(self) -> None:
        """End all streams. From any thread, or a signal."""
        self._ended = True
        self._bell.ring_from_outside()

    async def events(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Yield the feed as bytes of an event stream, until the client may not listen any more."""
        self.clients += 1
        client = _Client(self._source, wanted.offset)
        try:
            async with AsyncExitStack() as stack:
                screen, shown = None, None
                if wanted.key is not None:
                    screen = await stack.enter_async_context(self._screens.watched(wanted.key))
                yield RETRY
                beat_s = look_s = 0.0
                while not self._ended:
                    now_s = time.monotonic()
                    if now_s >= look_s:
                        if not wanted.allowed():
                            return
                        look_s = now_s + ALLOWED_S
                    if (part := client.part()) is not None:
                        yield as_events(part)
                    if now_s >= beat_s:
                        yield self._beat(client, wanted.key, screen)
                        beat_s = now_s + BEAT_S
                    latest = screen.latest if screen is not None else None
                    if latest is not None and latest is not shown:
                        if shown is not None and latest.fragments is None:
                            return  # a patient was forgotten: no page may go on showing them
                        if (patch := latest.since(shown)) is not None:
                            yield event("patch", patch.decode())
                        shown = latest
                    await self._something(client, beat_s)
        finally:
            self.clients -= 1
            await client.close()

    async def _something(self, client: "_Client", until_s: float) -> None:
        """Wait until there is something to do."""
        rung = asyncio.ensure_future(self._bell.wait(until_s - time.monotonic()))
        waiting: set[asyncio.Future[Any]] = {rung}
        if client.coming is not None:
            waiting.add(client.coming)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        rung.cancel()

    def _beat(self, client: "_Client", key: Key | None, screen: Screen | None) -> bytes:
        """Return the beat: how the server is, so that nobody takes old values for new ones."""
        late = key is not None and screen is not None and screen.late(key.view, time.monotonic())
        said = {
            "time": rfc3339(datetime.now(UTC)),
            "broker": self._hub.broker,
            "cache": self._hub.cache,
            "ready": not self._hub.not_ready() and not late,
            "newest_offset": client.newest,
        }
        return event("beat", json.dumps(said))


class _Client:
    """How far a client has come in `alerts`, and what comes next.

    newest : offset up to which it has been told all there is; None: none, or not known yet.
    """

    def __init__(self, source: Source, offset: int | None) -> None:
        self._source = source
        self._parts: AsyncGenerator[Part, None] | None = None
        self.coming: asyncio.Future[Part] | None = None
        self.newest: int | None = None
        self._begin(offset)

    def part(self) -> Part | None:
        """Return the next messages, if they have come."""
        if self.coming is None:  # from now on, and nobody knew yet when that is
            self._begin(None)
        if self._parts is None or self.coming is None or not self.coming.done():
            return None
        part = self.coming.result()
        self.coming = asyncio.ensure_future(anext(self._parts))
        self.newest = part.offset - 1
        return part

    async def close(self) -> None:
        """Let go of what is being read for it."""
        if self.coming is not None:
            self.coming.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self.coming
        if self._parts is not None:
            await self._parts.aclose()

    def _begin(self, offset: int | None) -> None:
        begin = self._source.now() if offset is None else offset
        if begin is not None:
            self.newest = begin - 1 if begin > 0 else None
            self._parts = self._source.follow(begin)
            self.coming = asyncio.ensure_future(anext(self._parts))


class Stream(EventSourceResponse):
    """The answer that is a feed. Its own beat makes pings needless."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, ping=0, sep="\n", send_timeout=SLOW_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends it, or the client is too slow."""
        with suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


def event(name: str, data: str, offset: int | None = None) -> bytes:
    """Return one event of an event stream."""
    lines = [] if offset is None else [f"id: {offset}"]
    lines += [f"event: {name}", *(f"data: {line}" for line in data.splitlines() or [""])]
    return ("\n".join(lines) + "\n\n").encode()


def as_events(part: Part) -> bytes:
    """Return messages as events; a gap before them says what nobody has any more."""
    gap = b""
    if part.gap is not None:
        first, end = part.gap
        gap = event("gap", json.dumps({"from": first, "to": end}))
    return gap + b"".join(event(m.event, m.data, m.offset) for m in part.messages)
