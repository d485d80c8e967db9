"""What pages show, drawn once for all who look: at most twice a second, and only what changed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple, Protocol

import structlog

from monitor.shapes import Role

log = structlog.get_logger(__name__)

EVERY_S = 0.5
AGAIN_S: dict[str, float] = {"system": 1.0}
"""Drawn anew after so long, though nothing came: rates fall and silences end by the clock alone."""

AGAIN_ELSE_S = 5.0
LATE_S = 5.0
"""So much later than that the drawing hangs or fails, and what is shown is old."""


View = Literal["ward", "patient", "alarms", "system"]


class Key(NamedTuple):
    """One view as one role sees it."""

    view: View
    patient_id: str | None
    role: Role


class Fragments(Protocol):
    """Parts of a page: element id -> outer HTML, container id -> ids of its children, in order."""

    @property
    def html(self) -> dict[str, str]:
        """Return the elements."""
        ...

    @property
    def lists(self) -> dict[str, list[str]]:
        """Return the containers."""
        ...


class Drawn:
    """A view at one moment. `number` grows."""

    def __init__(self, number: int, fragments: Fragments | None) -> None:
        self.number = number
        self.fragments = fragments
        self._since: dict[int, bytes] = {}

    def since(self, before: "Drawn | None") -> bytes | None:
        """Return what changed since another moment, as JSON; None where nothing did.

        The answer is kept: all who looked at the same moment get the same bytes.
        """
        number = -1 if before is None else before.number
        if number not in self._since:
            self._since[number] = _changes(before.fragments if before else None, self.fragments)
        return self._since[number] or None


class Screen:
    """One view that somebody looks at."""

    def __init__(self) -> None:
        self.latest: Drawn | None = None
        self.drawn_s = time.monotonic()
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None

    def late(self, view: str, now_s: float) -> bool:
        """Tell whether it should have been drawn again long ago."""
        return now_s - self.drawn_s > AGAIN_S.get(view, AGAIN_ELSE_S) + LATE_S


class Screens:
    """All views that somebody looks at. For one event loop.

    Parameters
    ----------
    draw : makes a view; None where there is none, as of a patient who was forgotten. Blocking.
    state : changes whenever a view may.
    drawn : called in the loop whenever one was drawn.
    """

    def __init__(
        self,
        draw: Callable[[Key], Fragments | None],
        state: Callable[[], Hashable],
        drawn: Callable[[], None],
    ) -> None:
        self._draw = draw
        self._state = state
        self._drawn = drawn
        self._screens: dict[Key, Screen] = {}
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="draw")

    @asynccontextmanager
    async def watched(self, key: Key) -> AsyncIterator[Screen]:
        """Yield a view that is drawn for as long as somebody looks."""
        screen = self._screens.get(key)
        if screen is None:
            screen = self._screens[key] = Screen()
        screen.watchers += 1
        if screen.task is None:
            screen.task = asyncio.create_task(self._keep(key, screen))
        try:
            yield screen
        finally:
            screen.watchers -= 1
            if screen.watchers == 0:
                screen.task.cancel()
                del self._screens[key]

    def close(self) -> None:
        """End the drawing."""
        self._hand.shutdown(wait=False, cancel_futures=True)

    async def _keep(self, key: Key, screen: Screen) -> None:
        loop, seen = asyncio.get_running_loop(), None
        while True:
            state = self._state()
            age_s = time.monotonic() - screen.drawn_s
            if state != seen or age_s > AGAIN_S.get(key.view, AGAIN_ELSE_S):
                try:
                    fragments = await loop.run_in_executor(self._hand, self._draw, key)
                except Exception as error:  # nothing wrong with one patient may end the feed
                    log.exception("not drawn", view=key.view, error=type(error).__name__)
                else:
                    seen, screen.drawn_s = state, time.monotonic()
                    number = 0 if screen.latest is None else screen.latest.number + 1
                    screen.latest = Drawn(number, fragments)
                    self._drawn()
            await asyncio.sleep(EVERY_S)


def _changes(before: Fragments | None, after: Fragments | None) -> bytes:
    """Return what changed as JSON, nothing where nothing did."""
    if after is None:
        return b""
    html, lists = (before.html, before.lists) if before is not None else ({}, {})
    changed = {
        "html": {name: text for name, text in after.html.items() if html.get(name) != text},
        "lists": {name: ids for name, ids in after.lists.items() if lists.get(name) != ids},
    }
    if before is not None and not changed["html"] and not changed["lists"]:
        return b""
    return json.dumps(changed, ensure_ascii=False).encode()
