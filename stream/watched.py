"""An engine at work, as others see it: how long it has been asked, and whether it is well."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from engines import CtSlice, Engine, Prepared, Score, prepare
from engines.card import KnownAnswers
from engines.known_answer import known_frames, wrong
from stream.health import Pulse
from wire.records import EngineCheck

OnThread = Callable[[Callable[[Prepared], Score], Prepared], Awaitable[Score]]
"""Runs a function with a prepared slice on the engine's thread."""

APART_S = 0.5
"""Between the two questions of a check: a frame waits for one of them, not for both."""


class WatchedEngine:
    """An engine that says when it is asked and when it has answered; see `engines.Engine`."""

    def __init__(self, engine: Engine, pulse: Pulse) -> None:
        self._engine = engine
        self._pulse = pulse
        self._first: KnownAnswers | None = None
        self._known: tuple[Prepared, ...] = ()
        self.card, self.backend, self.precision = engine.card, engine.backend, engine.precision
        self.preparation = engine.preparation

    def score(self, ct: CtSlice) -> Score:
        """Prepare and score one slice."""
        return self.infer(prepare(ct, self.preparation))

    def infer(self, prepared: Prepared) -> Score:
        """Score one prepared slice; on the engine's thread, so the time is the engine's alone."""
        self._pulse.asked(time.monotonic())
        try:
            return self._engine.infer(prepared)
        finally:
            self._pulse.asked(None)

    def close(self) -> None:
        """Give back what it holds."""
        self._engine.close()

    def unasked(self) -> EngineCheck:
        """Return the known-answer check of an engine that was not asked yet."""
        return self._said(None, "not asked yet")

    async def check(self, on_thread: OnThread) -> EngineCheck:
        """Ask the engine what is known, in between two frames: each waits for one answer at most.

        Nothing is published: it is no finding.
        """
        answers: list[float] = []
        trouble = ""
        try:
            self._known = self._known or tuple(
                prepare(ct, self.preparation) for ct in known_frames()
            )
            for number, prepared in enumerate(self._known):
                if number and self._first is not None:
                    await asyncio.sleep(APART_S)
                answers.append((await on_thread(self.infer, prepared)).lesion_probability)
        except Exception as error:  # the engine boundary: researchers bring their own models
            trouble = f"it raised {type(error).__name__}"
        if not trouble:
            now: KnownAnswers = (answers[0], answers[1])
            self._first = self._first or now
            trouble = wrong(self.card, self.precision, self._first, now)
        return self._said(not trouble, trouble or "as known")

    def _said(self, ok: bool | None, detail: str) -> EngineCheck:
        checked = None if ok is None else datetime.now(UTC)
        name, version = self.card.name, self.card.version
        return EngineCheck(name=name, version=version, ok=ok, detail=detail, checked=checked)
