"""The scoring worker: frames in, findings to `results`, dead letters to `frames.dead-letter`.

The shell around `stream.scoring`. A frame is acknowledged once its finding is confirmed by the
broker; until then another worker may score it again, and gives it the same ids.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import faust
import structlog
from faust.types import EventT, StreamT

from engines import Engine, EngineError
from stream import metrics
from stream.faust_app import (
    SESSION_TIMEOUT_S,
    Outgoing,
    acknowledge,
    batches,
    headers_of,
    keep_pulse,
    leave,
    make_app,
    raw_topic,
    start_send,
)
from stream.health import Pulse
from stream.retrying import GaveUp, Retry
from stream.scoring import Decoder, Message, Outcome, Scorer, key_of
from stream.shadow import compare
from stream.strikes import Strikes
from stream.watched import WatchedEngine
from wire.cluster import Cluster
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.envelope import Envelope
from wire.frame import Frame, decode_message
from wire.records import Finding, FrameAddress
from wire.topics import DEAD_LETTERS, INPUT, RESULTS, Names

log = structlog.get_logger(__name__)

SOURCE = "/lesionstream/scoring"
BATCH = 16
WITHIN_S = 0.02


FOLLOW_S = 2.0
"""How often a worker asks whether another engine was promoted."""


CHECK_EVERY_S = 30.0
"""How often the engine is asked what is known: two frames, 0.7 % of the time at 0.1 s a frame."""


def scoring_app(
    cluster: Cluster,
    *,
    names: Names,
    worker: str = "scoring",
    engine: Engine,
    folder: Path,
    pulse: Pulse,
    strikes: Strikes,
    shadow: Engine | None = None,
    promoted: Callable[[], Engine | None] = lambda: None,
    session_timeout_s: float = SESSION_TIMEOUT_S,
) -> faust.App:
    """Return the Faust app that scores with `engine`; `stream.faust_app.run` runs it.

    Parameters
    ----------
    worker : ``scoring``, or ``scoring-stat`` for urgent series alone.
    pulse : gets the marks by which others see that the worker works.
    strikes : over which frames workers died.
    shadow : scores every frame, too; compared, never believed.
    promoted : asked every two seconds: the engine to go on with, loaded, or None for no change.
    session_timeout_s : see `make_app`.
    """
    app = make_app(cluster, names.group(worker), folder, session_timeout_s=session_timeout_s)
    frames = raw_topic(app, names, INPUT[worker])
    pool = DecodePool(decode_message)
    pool.warm_up()
    scorer = ScoringWorker(
        engine,
        pulse=pulse,
        strikes=strikes,
        shadow=shadow,
        decode=in_child(pool, _patient()),
        results=raw_topic(app, names, RESULTS),
        dead_letters=raw_topic(app, names, DEAD_LETTERS),
        ending=lambda: app.should_stop,
    )

    keep_pulse(app, pulse, names.of(INPUT[worker]))

    @app.agent(frames, name="scoring", concurrency=1)
    async def scoring(stream: StreamT[bytes]) -> None:
        async for events in batches(stream, BATCH, WITHIN_S):
            await scorer.answer(events)
            leave(app, events)

    @app.timer(interval=FOLLOW_S)  # type: ignore[untyped-decorator]
    async def follow() -> None:
        await scorer.follow(promoted)

    @app.task  # type: ignore[untyped-decorator]
    async def check() -> None:
        while not app.should_stop:
            await scorer.check()
            await app.sleep(CHECK_EVERY_S)

    return app


class ScoringWorker:
    """Answer batches of events. Inference runs in one thread of its own, off the event loop.

    Parameters
    ----------
    ending : asked before each frame: whether it shall be left to others.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        pulse: Pulse,
        decode: Decoder,
        results: faust.TopicT,
        dead_letters: faust.TopicT,
        strikes: Strikes | None = None,
        shadow: Engine | None = None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pulse = pulse
        self._strikes = strikes
        self._ending = ending
        self._decode = decode
        self._shadow = None if shadow is None else WatchedEngine(shadow, pulse)
        # A shadow that fails delays nobody: it is asked once.
        self._shadow_scorer = None if self._shadow is None else self._scorer_of(self._shadow, None)
        self._use(engine)
        self._results = results
        self._dead_letters = dead_letters
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    async def answer(self, events: list[EventT[bytes]]) -> None:
        """Score each frame and send its finding at once; acknowledge when all are confirmed.

        Once it is `ending`, no other frame is begun, and those not begun are not acknowledged.
        """
        loop = asyncio.get_running_loop()
        confirmations: list[Awaitable[object]] = []
        answered: list[Finding] = []
        for event in events:
            if self._ending():
                break
            self._pulse.taken(time.monotonic())
            message = message_of(event)
            screen = self._engine.card.operating_points.screen
            outcome = await loop.run_in_executor(
                self._thread, self._scorer.answer, message, datetime.now(UTC)
            )
            answered.append(outcome.finding)
            for outgoing in self._outgoing(outcome, message):
                confirmations.append(await start_send(outgoing))
            if self._shadow_scorer is not None:
                second = await loop.run_in_executor(
                    self._thread, self._shadow_scorer.answer, message, datetime.now(UTC)
                )
                outgoing = self._compared(outcome.finding, second.finding, screen)
                confirmations.append(await start_send(outgoing))
        for confirmation in confirmations:
            await confirmation
        acknowledge(events[: len(answered)])
        if self._strikes is not None:
            self._strikes.settle()
        self._pulse.acknowledged(time.monotonic(), len(answered))
        _count(answered, datetime.now(UTC))

    async def check(self) -> None:
        """Ask the engine what is known; the answer goes to the pulse."""
        engine = self._engine
        run = partial(asyncio.get_running_loop().run_in_executor, self._thread)
        found = await engine.check(run)
        if engine is self._engine:  # else another one was promoted, and this one may be closed
            self._pulse.checked(found)

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
            self._thread.submit(before.close)  # after what it is scoring now
            log.info("engine", now=engine.card.name, before=before.card.name)
            await self.check()

    def _use(self, engine: Engine) -> None:
        self._engine = WatchedEngine(engine, self._pulse)
        self._pulse.checked(self._engine.unasked())
        self._scorer = self._scorer_of(self._engine, _patient())
        card = engine.card
        metrics.ENGINE.clear()
        metrics.ENGINE.labels(
            card.name, card.version, card.sha256, engine.backend, engine.precision
        ).set(1)

    def _scorer_of(self, engine: Engine, retry: Retry | None) -> Scorer:
        return Scorer(
            engine,
            decode=self._decode,
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
        sends = [Outgoing(self._results, outcome.key, finding.to_json(), envelope.headers())]
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


def _count(findings: list[Finding], now: datetime) -> None:
    """Count frames that are answered for good."""
    for finding in findings:
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


def _patient() -> Retry:
    return Retry(chance=random.random, sleep=time.sleep)


def in_child(pool: DecodePool, retry: Retry) -> Decoder:
    """Return `decode_frame` that runs in a process which may die.

    That no process can be had (memory, processes) may pass. Where it does not, this one ends, and
    whatever supervises it starts it again: no frame is to blame.
    """

    def decode(payload: bytes | None, frame_number: int | None) -> Frame:
        try:
            frame: Frame = retry.ask(
                lambda: pool.one(payload, frame_number),
                lambda error: isinstance(error, DecoderUnavailable),
            )
        except GaveUp as gave_up:
            raise DecoderUnavailable(str(gave_up.__cause__)) from gave_up
        return frame

    return decode
