"""Scoring, the pure part: one message of `frames` in, one finding out, whatever came before.

Stateless. Every message gets exactly one finding; what cannot be scored gets a reason and a dead
letter. No Kafka, no clock: what comes in and what time it is are arguments.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import Candidate, Engine, Score
from stream.asking import EngineGaveUp, ask
from stream.looking import Looked, Wanted
from stream.retrying import Retry
from stream.strikes import MOST, Strikes
from wire import burned_in, ids
from wire.dead_letters import DeadLetter
from wire.decode_pool import DecoderUnavailable
from wire.envelope import Envelope
from wire.errors import FrameError, Reason
from wire.frame import Attributes
from wire.records import (
    NO_ENGINE_USED,
    EngineUsed,
    Finding,
    FrameAddress,
    FramePath,
    LesionCandidate,
    Plane,
    StageTimes,
)

MAX_LESIONS = 32
ONCE = Retry(chance=lambda: 0.0, sleep=lambda pause_s: None, pauses_s=())
"""No retry: what fails is asked once."""

Look = Callable[[bytes | None, int | None, Wanted], Looked]
"""`stream.looking.look`, or the same in a process that may die."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of `frames`, or one file in `lesionstream infer`.

    where : the way back to it.
    """

    value: bytes | None
    envelope: Envelope
    where: FrameAddress | FramePath


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one message.

    key : Kafka key of the finding, the pseudonym where known.
    value : the finding as JSON.
    """

    key: str
    finding: Finding
    value: bytes
    dead_letter: DeadLetter | None


@dataclass(frozen=True, slots=True)
class Readied:
    """A message whose frame was looked at, or why it could not be.

    started_ms : when it was taken up, on the scorer's clock.
    queued_ms : how long it had waited by then; None where nobody says.
    looked_ms : how long it was looked at.
    """

    message: Message
    looked: Looked | FrameError
    started_ms: float
    queued_ms: float | None
    looked_ms: float


class Scorer:
    """Score messages with one engine. Blocking: `ready` on any threads, `finish` on one.

    Parameters
    ----------
    look : `stream.looking.look`, or the same in a process that may die.
    now_ms : a clock that only moves forward, ms; its zero does not matter.
    retry : how an engine that failed is asked again; None: it is not.
    strikes : over which frames workers died; None: that is not kept.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        look: Look,
        now_ms: Callable[[], float],
        retry: Retry | None = None,
        strikes: Strikes | None = None,
    ) -> None:
        self._strikes = strikes
        self._engine = engine
        self._look = look
        self._now_ms = now_ms
        self._retry = retry or ONCE
        card = engine.card
        self._wanted = Wanted.by(engine)
        self._used = EngineUsed(
            name=card.name,
            version=card.version,
            sha256=card.sha256,
            backend=engine.backend,
            precision=engine.precision,
            screen=card.operating_points.screen,
            alarm=card.operating_points.alarm,
        )

    def answer(self, message: Message, taken: datetime) -> Outcome:
        """Answer one message, whatever is in it; see `ready` and `finish`."""
        return self.finish(self.ready(message, taken))

    def ready(self, message: Message, taken: datetime) -> Readied:
        """Look at a message; the engine is not asked yet.

        Parameters
        ----------
        taken : when the message was taken up.

        Raises
        ------
        DecoderUnavailable   nothing can be decoded at all; no frame is to blame.
        """
        started = self._now_ms()
        looked: Looked | FrameError
        try:
            looked = self._look(message.value, message.envelope.frame_number, self._wanted)
        except FrameError as error:
            looked = error
        except DecoderUnavailable:
            raise
        except Exception as unexpected:  # the message boundary, as in `finish`
            looked = _unexpected(unexpected)
        queued = _queued_ms(message.envelope.time, taken)
        return Readied(message, looked, started, queued, self._now_ms() - started)

    def finish(self, readied: Readied) -> Outcome:
        """Ask the engine: no message may stop all that come after it."""
        message = readied.message
        try:
            return self._score(readied)
        except Exception as unexpected:  # the message boundary
            error = _unexpected(unexpected)
            frame_id = ids.payload_id(message.value)
            return unscored(message, error, frame_id, NO_ENGINE_USED, StageTimes())

    def _score(self, readied: Readied) -> Outcome:
        message, looked = readied.message, readied.looked
        if isinstance(looked, FrameError):
            times = StageTimes(queued=readied.queued_ms, total=readied.looked_ms)
            return unscored(message, looked, ids.payload_id(message.value), NO_ENGINE_USED, times)
        try:
            score = self._ask(looked)
        except FrameError as error:
            times = StageTimes(
                queued=readied.queued_ms,
                decode=looked.decode_ms,
                total=self._now_ms() - readied.started_ms,
            )
            chosen = error.reason is not Reason.MODALITY_NOT_SUPPORTED
            used = self._used if chosen else NO_ENGINE_USED
            attempts = error.attempts if isinstance(error, EngineGaveUp) else 1
            return unscored(message, error, looked.frame_id, used, times, attempts)
        times = StageTimes(
            queued=readied.queued_ms,
            decode=looked.decode_ms,
            preprocess=score.preprocess_ms,
            inference=score.inference_ms,
            total=self._now_ms() - readied.started_ms,
        )
        finding = _finding(message, looked.about, looked.frame_id, self._used, times, score=score)
        return Outcome(key_of(finding), finding, finding.to_json(), None)

    def _ask(self, looked: Looked) -> Score:
        """Ask the engine; `FrameError` says why it has no answer."""
        if isinstance(looked.ready, FrameError):
            raise looked.ready
        if self._strikes is None:
            return ask(self._engine, looked.ready, looked.about, self._retry)
        died = self._strikes.begin(noted(looked.frame_id, self._used))
        try:
            if died >= MOST:
                words = (
                    f"engine {self._used.name} {self._used.version}: {died} workers ended over it"
                )
                raise EngineGaveUp(words, looked.about, died)
            return ask(self._engine, looked.ready, looked.about, self._retry)
        finally:
            self._strikes.end()


def noted(frame_id: UUID, used: EngineUsed) -> str:
    """Return under what name `Strikes` knows that an engine is asked about a frame."""
    return f"{frame_id} {used.name} {used.version}"


def _unexpected(error: Exception) -> FrameError:
    words = f"scoring failed in an unexpected way ({type(error).__name__})"
    return FrameError(Reason.UNDECODABLE, words)


def unscored(
    message: Message,
    error: FrameError,
    frame_id: UUID,
    used: EngineUsed,
    times: StageTimes,
    attempts: int = 1,
) -> Outcome:
    """Return the finding and the dead letter of a frame that has no score."""
    finding = _finding(message, error.about, frame_id, used, times, error=error)
    deidentified = error.about is not None and error.about.deidentified
    letter = DeadLetter(
        id=str(frame_id),
        value=message.value if deidentified and error.reason is not Reason.TOO_LARGE else None,
        reason=error.reason.value,
        detail=error.detail,
        attempts=attempts,
        engine=None if used is NO_ENGINE_USED else f"{used.name} {used.version}",
        time=message.envelope.time,
        where=message.where if isinstance(message.where, FrameAddress) else None,
        frame_number=message.envelope.frame_number,
    )
    return Outcome(key_of(finding), finding, finding.to_json(), letter)


def key_of(finding: Finding) -> str:
    """Return the Kafka key: the pseudonym, else something that is never anybody else's."""
    return finding.patient_id or f"frame-{finding.frame_id}"


def _finding(
    message: Message,
    about: Attributes | None,
    frame_id: UUID,
    used: EngineUsed,
    times: StageTimes,
    *,
    score: Score | None = None,
    error: FrameError | None = None,
) -> Finding:
    received = message.envelope.time
    status: Literal["scored", "not-scored"] = "not-scored" if score is None else "scored"
    lesions = score.lesions[:MAX_LESIONS] if score is not None else ()
    return Finding(
        id=ids.finding_id(frame_id, used.name, used.version, used.sha256),
        frame_id=frame_id,
        patient_id=about.patient_id if about else None,
        study_instance_uid=about.study_instance_uid if about else None,
        series_instance_uid=about.series_instance_uid if about else None,
        sop_instance_uid=about.sop_instance_uid if about else None,
        frame_number=about.frame_number if about else None,
        instance_number=about.instance_number if about else None,
        modality=about.modality if about else None,
        event_time=(about.event_time if about else None) or received,
        received_time=received,
        status=status,
        reason=error.reason if error else None,
        detail=error.detail if error else None,
        lesion_probability=score.lesion_probability if score else None,
        lesions=tuple(_candidate(about, lesion) for lesion in lesions if about is not None),
        heat_map=_png(score.heat_map) if score is not None and score.heat_map is not None else None,
        engine=used,
        quality=_quality(about, score),
        plane=_plane(about, score) if about else Plane(),
        times_ms=times,
        frame=message.where,
    )


def _quality(about: Attributes | None, score: Score | None) -> dict[str, float | str]:
    """Return what the engine measured, and what the frame says of names in its pixels."""
    measured: dict[str, float | str] = dict(score.quality) if score else {}
    return measured if about is None else measured | {burned_in.KEY: about.burned_in}


def _plane(about: Attributes, score: Score | None) -> Plane:
    """Return where the slice lies in its series."""
    lungs = None
    if score is not None and "lung_centre_x_px" in score.quality:
        x_px, y_px = (score.quality[f"lung_centre_{axis}_px"] for axis in "xy")
        lungs = about.to_mm(x_px, y_px)
    return Plane(
        location_mm=about.location_mm,
        slice_thickness_mm=about.slice_thickness_mm,
        pitch_mm=about.spacing_between_slices_mm or about.slice_thickness_mm,
        images=about.images_in_series,
        lung_centre_mm=lungs,
    )


def _png(picture: NDArray[np.uint8]) -> str:
    """Return an 8-bit picture as PNG in base64."""
    _, png = cv2.imencode(".png", picture)
    return base64.b64encode(png.tobytes()).decode("ascii")


def _candidate(about: Attributes, lesion: Candidate) -> LesionCandidate:
    x_mm, y_mm, z_mm = about.to_mm(lesion.x_px, lesion.y_px) or (None, None, None)
    return LesionCandidate(
        probability=lesion.probability,
        x_px=lesion.x_px,
        y_px=lesion.y_px,
        x_mm=x_mm,
        y_mm=y_mm,
        z_mm=z_mm,
        diameter_mm=lesion.diameter_mm,
        box=lesion.box,
    )


def _queued_ms(received: datetime | None, taken: datetime) -> float | None:
    """Return how long the frame waited, ms; 0 where the producer's clock runs ahead of ours."""
    if received is None:
        return None
    return max(0.0, (taken - received).total_seconds() * 1000)
