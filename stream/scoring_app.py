"""The Faust app that scores: the shell of `stream.scoring_worker`, and its timers.

Frames are looked at in processes that may die; see `stream.looking`.
"""

from collections.abc import Callable
from pathlib import Path

import faust
from faust.types import StreamT

from engines import Engine
from stream.faust_app import (
    SESSION_TIMEOUT_S,
    committed,
    events_of,
    keep_pulse,
    leave,
    make_app,
    raw_topic,
)
from stream.health import Pulse
from stream.looking import Looked, Wanted, looks, plausible
from stream.retrying import GaveUp, Retry
from stream.scoring import Look
from stream.scoring_worker import ScoringWorker, patient
from stream.strikes import Strikes
from wire.cluster import Cluster
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.errors import FrameError, Reason
from wire.topics import DEAD_LETTERS, INPUT, RESULTS, Names

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
    decoders: int = 1,
    look: Look | None = None,
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
    decoders : frames that are looked at beside one another, each in a process of its own.
    look : by default in processes that may die.
    """
    app = make_app(cluster, names.group(worker), folder, session_timeout_s=session_timeout_s)
    frames = raw_topic(app, names, INPUT[worker])
    if look is None:
        pool = DecodePool(looks, workers=decoders)
        pool.warm_up(decoders)
        look = in_child(pool, patient())
    scorer = ScoringWorker(
        engine,
        pulse=pulse,
        strikes=strikes,
        shadow=shadow,
        look=look,
        looking=decoders,
        results=raw_topic(app, names, RESULTS),
        dead_letters=raw_topic(app, names, DEAD_LETTERS),
        ending=lambda: app.should_stop,
        leave=lambda event: leave(app, [event]),
        committed=lambda event: committed(app, event),
    )

    keep_pulse(app, pulse, names.of(INPUT[worker]))

    @app.agent(frames, name="scoring", concurrency=1)
    async def scoring(stream: StreamT[bytes]) -> None:
        async for event in events_of(stream):
            await scorer.take(event)

    @app.task  # type: ignore[untyped-decorator]
    async def publish() -> None:
        await scorer.publish()

    @app.task  # type: ignore[untyped-decorator]
    async def confirm() -> None:
        await scorer.confirm()

    @app.timer(interval=FOLLOW_S)  # type: ignore[untyped-decorator]
    async def follow() -> None:
        await scorer.follow(promoted)
        scorer.settle()

    @app.task  # type: ignore[untyped-decorator]
    async def check() -> None:
        while not app.should_stop:
            await scorer.check()
            await app.sleep(CHECK_EVERY_S)

    return app


def in_child(pool: DecodePool, retry: Retry) -> Look:
    """Return `stream.looking.look` that runs in a process which may die.

    That no process can be had (memory, processes) may pass. Where it does not, this one ends, and
    whatever supervises it starts it again: no frame is to blame.
    """

    def look(payload: bytes | None, frame_number: int | None, wanted: Wanted) -> Looked:
        try:
            looked: Looked = retry.ask(
                lambda: pool.one(payload, frame_number, wanted),
                lambda error: isinstance(error, DecoderUnavailable),
            )
        except GaveUp as gave_up:
            raise DecoderUnavailable(str(gave_up.__cause__)) from gave_up
        if not plausible(looked):
            raise FrameError(Reason.UNDECODABLE, "the decoder answered nonsense", looked.about)
        return looked

    return look
