"""The scoring worker: frames in, findings to `results`, dead letters to `frames.dead-letter`.

The shell around `stream.scoring`. Frames are looked at ahead, in a process of their own, while the
engine is asked about those before them; findings are sent as they come. A frame is acknowledged
once its finding is confirmed by the broker, in order; until then another worker may score it again,
and gives it the same ids.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import faust
import structlog
from faust.types import EventT

from engines import Engine, EngineError, Prepared, Score
from stream import metrics
from stream.faust_app import (
    Outgoing,
    acknowledge,
    headers_of,
    start_send,
)
from stream.health import Pulse
from stream.line import Call, Line, Post
from stream.retrying import Retry
from stream.scoring import Look, Message, Outcome, Readied, Scorer, key_of, noted
from stream.shadow import compare
from stream.strikes import Strikes
from stream.watched import WatchedEngine
from wire.envelope import Envelope
from wire.records import Finding, FrameAddress

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/scoring"
AHEAD = 8
"""Frames that were taken up and are not answered: what has to be waited for when partitions move or
the worker ends, 0.4 s at 50 ms a frame, and enough to keep the engine busy. More where more than
four are looked at beside one another: two for each."""


@dataclass(slots=True, eq=False)
class _InHand:
    """A frame that was taken up and is not acknowledged; goes through a `stream.line.Line`.

    answer : what is done with it in turn.
    screen : of the engine that is asked about it.
    failure : what ends the worker.
    """

    event: EventT[bytes]
    message: Message
    taken_s: float
    taken: datetime
    scorer: Scorer
    screen: float
    answer: "Callable[[_InHand], None]"
    readied: Readied | None = None
    failure: BaseException | None = None
    finding: Finding | None = None
    confirmations: list[Awaitable[object]] = field(default_factory=list)

    def look(self) -> None:
        """Look at the frame; the engine is busy with those before it."""
        try:
            self.readied = self.scorer.ready(self.message, self.taken)
        except BaseException as failure:  # `publish` raises it, and the worker ends
            self.failure = failure

    def work(self) -> None:
        """Have it answered."""
        self.answer(self)


@dataclass(frozen=True, slots=True)
class _Said:
    """What is to be sent about a frame; `last`: then all is said. `left`: others shall have it."""

    frame: _InHand
    messages: list[Outgoing]
    last: bool
    left: bool = False


class ScoringWorker:
    """Take up events, answer them in order. Inference has one thread of its own.

    Parameters
    ----------
    looking : frames that are looked at beside one another; `look` is called on so many threads.
    ending : asked before each frame: whether it shall be left to others.
    leave : leaves it to them.
    committed : tells whether an acknowledged frame will be given to nobody again.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        pulse: Pulse,
        look: Look,
        results: faust.TopicT,
        dead_letters: faust.TopicT,
        strikes: Strikes | None = None,
        shadow: Engine | None = None,
        looking: int = 1,
        ending: Callable[[], bool] = lambda: False,
        leave: Callable[[EventT[bytes]], None] = lambda event: None,
        committed: Callable[[EventT[bytes]], bool] = lambda event: True,
    ) -> None:
        self._pulse = pulse
        self._strikes = strikes
        self._ending, self._leave, self._committed = ending, leave, committed
        self._struck: list[tuple[EventT[bytes], str]] = []
        self._look = look
        self._shadow = None if shadow is None else WatchedEngine(shadow, pulse)
        # A shadow that fails delays nobody: it is asked once.
        self._shadow_scorer = None if self._shadow is None else self._scorer_of(self._shadow, None)
        self._use(engine)
        self._results = results
        self._dead_letters = dead_letters
        self._room = asyncio.Semaphore(max(AHEAD, 2 * looking))
        self._in_hand: deque[_InHand] = deque()
        self._line = Line("engine", looking)
        self._said: Post[_Said] = Post()
        self._sent: asyncio.Queue[_InHand] = asyncio.Queue()

    async def take(self, event: EventT[bytes]) -> None:
        """Take up a frame, once there is room; once it is `ending` others shall have it."""
        await self._room.acquire()
        if self._ending():
            self._room.release()
            self._leave(event)
            return
        now_s = time.monotonic()
        if not self._in_hand:
            self._pulse.taken(now_s)
        frame = _InHand(
            event,
            message_of(event),
            now_s,
            datetime.now(UTC),
            self._scorer,
            self._engine.card.operating_points.screen,
            self._answer,
        )
        self._in_hand.append(frame)
        self._line.put(frame)

    async def publish(self) -> None:
        """Send what is said of frames, in order, until cancelled.

        Raises
        ------
        DecoderUnavailable   nothing can be decoded; no frame is to blame.
        """
        self._said.open()
        while True:
            said = await self._said.get()
            frame = said.frame
            if frame.failure is not None:
                raise frame.failure
            for message in said.messages:
                frame.confirmations.append(await start_send(message))
            if said.left:
                self._in_hand.remove(frame)
                self._leave(frame.event)
            elif said.last:
                self._sent.put_nowait(frame)
            if said.last:
                self._room.release()

    async def confirm(self) -> None:
        """Acknowledge what the broker has confirmed, in order, until cancelled.

        Raises
        ------
        Exception   something was not confirmed; the process must end, so that it is repeated.
        """
        while True:
            frame = await self._sent.get()
            for confirmation in frame.confirmations:
                await confirmation
            acknowledge([frame.event])
            self._in_hand.popleft()
            since_s = self._in_hand[0].taken_s if self._in_hand else None
            self._pulse.acknowledged(time.monotonic(), 1, since_s)
            finding = frame.finding
            if finding is not None:
                name = noted(finding.frame_id, finding.engine)
                if self._strikes is not None and self._strikes.knows(name):
                    self._struck.append((frame.event, name))
                _count(finding, datetime.now(UTC))

    def settle(self) -> None:
        """Forget the deaths over frames that are answered for good."""
        if self._strikes is None:
            return
        for event, name in self._struck:
            if self._committed(event):
                self._strikes.settle(name)
        self._struck = [(event, name) for event, name in self._struck if self._strikes.knows(name)]

    def _answer(self, frame: _InHand) -> None:
        """Ask the engine, and the shadow, and say what they say; on the engine's thread."""
        if self._ending():  # as of all behind it
            self._said.put(_Said(frame, [], last=True, left=True))
            return
        if frame.readied is not None:
            try:
                outcome = frame.scorer.finish(frame.readied)
                frame.finding = outcome.finding
                messages = self._outgoing(outcome, frame.message)
                self._said.put(_Said(frame, messages, last=self._shadow_scorer is None))
                if self._shadow_scorer is None:
                    return
                second = self._shadow_scorer.answer(frame.message, datetime.now(UTC))
                compared = self._compared(outcome.finding, second.finding, frame.screen)
                self._said.put(_Said(frame, [compared], last=True))
                return
            except BaseException as failure:
                frame.failure = failure
        self._said.put(_Said(frame, [], last=True))

    async def check(self) -> None:
        """Ask the engine what is known; the answer goes to the pulse."""
        engine = self._engine
        found = await engine.check(self._in_turn)
        if engine is not self._engine:  # another one was promoted, and this one may be closed
            return
        self._pulse.checked(found)
        if not found.ok:
            log.error("known-answer check", engine=found.name, failed=found.detail)

    async def _in_turn(self, infer: Callable[[Prepared], Score], prepared: Prepared) -> Score:
        """Ask an engine in between two frames."""
        call = Call(lambda: infer(prepared))
        self._line.put(call)
        return await call.done

    async def follow(self, promoted: Callable[[], Engine | None]) -> None:
        """Go on with another engine where `promoted` has one; no frame is left out or scored twice.

        An engine that cannot be loaded changes nothing: frames go on being scored by the old one.
        """
        loop = asyncio.get_running_loop()
        try:
            engine = await loop.run_in_executor(None, promoted)
        except EngineError as error:
            log.error("the promoted engine cannot be used", why=str(error))
            return
        if engine is not None:
            before = self._engine
            self._use(engine)
            self._line.put(Call(before.close))  # behind what it was to score
            log.info("engine", now=engine.card.name, before=before.card.name)
            await self.check()

    def _use(self, engine: Engine) -> None:
        self._engine = WatchedEngine(engine, self._pulse)
        self._pulse.checked(self._engine.unasked())
        self._scorer = self._scorer_of(self._engine, patient())
        card = engine.card
        metrics.ENGINE.clear()
        metrics.ENGINE.labels(
            card.name, card.version, card.sha256, engine.backend, engine.precision
        ).set(1)

    def _scorer_of(self, engine: Engine, retry: Retry | None) -> Scorer:
        return Scorer(
            engine,
            look=self._look,
            now_ms=lambda: time.monotonic() * 1000,
            retry=retry,
            strikes=self._strikes,
        )

    def _compared(self, active: Finding, shadow: Finding, screen: float) -> Outgoing:
        """Return the comparison of a frame's two findings; both scored the same message."""
        assert self._shadow is not None  # noqa: S101 -- asked only where there is one
        comparison = compare(
            active,
            shadow,
            active_screen=screen,
            shadow_screen=self._shadow.card.operating_points.screen,
        )
        if comparison.disagree:
            metrics.DISAGREEMENTS.inc()
        envelope = Envelope(
            kind=comparison.kind, id=str(comparison.id), source=SOURCE, time=datetime.now(UTC)
        )
        return Outgoing(self._results, key_of(active), comparison.to_json(), envelope.headers())

    def _outgoing(self, outcome: Outcome, message: Message) -> list[Outgoing]:
        finding = outcome.finding
        envelope = Envelope(
            kind="finding",
            id=str(finding.id),
            source=SOURCE,
            subject=f"{finding.sop_instance_uid or ''}/{finding.frame_number or ''}",
            time=datetime.now(UTC),
        )
        sends = [Outgoing(self._results, outcome.key, outcome.value, envelope.headers())]
        letter = outcome.dead_letter
        if letter is not None:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
            log.warning(
                "not scored",
                reason=letter.reason,
                detail=letter.detail,
                frame_id=letter.id,
                frame=message.where.model_dump(),
            )
            sends.append(
                Outgoing(self._dead_letters, outcome.key, letter.value, letter.headers(SOURCE))
            )
        return sends


def _count(finding: Finding, now: datetime) -> None:
    """Count a frame that is answered for good."""
    metrics.FINDINGS.labels(finding.status, finding.reason or "").inc()
    if finding.received_time is not None:
        delay = (now - finding.received_time).total_seconds()
        metrics.FRAME_DELAY.observe(max(0.0, delay))
    if finding.times_ms.inference is not None:
        metrics.INFERENCE.observe(finding.times_ms.inference / 1000)


def message_of(event: EventT[bytes]) -> Message:
    """Return the scorer's message of a Faust event."""
    message = event.message
    return Message(
        value=message.value,
        envelope=Envelope.of(headers_of(event)),
        where=FrameAddress(topic=message.topic, partition=message.partition, offset=message.offset),
    )


def patient() -> Retry:
    """Return how a failing engine, or a decoder that cannot be had, is asked again."""
    return Retry(chance=random.random, sleep=time.sleep)
