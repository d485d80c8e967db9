"""From the bytes of a frame to what an engine's network takes: decode, check, prepare.

Pure, and all of it runs in a process that may die: what strangers sent is taken apart nowhere else.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import cv2

from engines import Accepted, CtSlice, Engine, NotScorable, Preparation, Prepared, prepare
from stream import quality
from wire.errors import FrameError, Reason
from wire.frame import Attributes, Frame, decode_frame


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an engine wants to see, and how; data, for another process.

    name : of the engine, for words.
    modalities, sop_class_uids, body_parts : see `engines.Accepted`.
    """

    name: str
    modalities: tuple[str, ...]
    sop_class_uids: tuple[str, ...]
    body_parts: tuple[str, ...]
    preparation: Preparation

    @classmethod
    def by(cls, engine: Engine) -> Self:
        """Return what `engine` wants."""
        accepted = engine.card.accepted
        return cls(
            engine.card.name,
            accepted.modalities,
            accepted.sop_class_uids,
            accepted.body_parts,
            engine.preparation,
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """A decoded frame, and what the network takes of it or why there is nothing for it.

    decode_ms : how long decoding took.
    """

    frame_id: UUID
    about: Attributes
    ready: Prepared | FrameError
    decode_ms: float


MOST_PIXELS = 2 * 800 * 800
"""Of all views of a frame: two lungs, each as large as the largest field of view there is."""


def plausible(looked: Looked) -> bool:
    """Tell whether a process that may have been taken over answers with what an engine can take."""
    ready = looked.ready
    if isinstance(ready, FrameError):
        return True
    views = ready.views
    return all(view.ndim == 2 for view in views) and 0 < sum(v.size for v in views) <= MOST_PIXELS


def look(payload: bytes | None, frame_number: int | None, wanted: Wanted) -> Looked:
    """Decode a message of `frames`, and prepare it for an engine.

    Raises
    ------
    FrameError   it holds no single de-identified frame; see `wire.frame.decode_frame`.
    """
    began = time.perf_counter()
    frame = decode_frame(payload, frame_number)
    decode_ms = (time.perf_counter() - began) * 1000.0
    ready: Prepared | FrameError
    try:
        ready = _prepared(frame, wanted)
    except FrameError as error:
        ready = FrameError(error.reason, error.detail, frame.about)
    return Looked(frame.frame_id, frame.about, ready, decode_ms)


def looks(payload: bytes | None, frame_number: int | None, wanted: Wanted) -> Iterator[Looked]:
    """`look` as a task for `wire.decode_pool`.

    On one thread: OpenCV's own wait for work by spinning, which costs more than it wins.
    """
    cv2.setNumThreads(1)
    yield look(payload, frame_number, wanted)


def _prepared(frame: Frame, wanted: Wanted) -> Prepared:
    about = frame.about
    accepted = Accepted(
        modalities=wanted.modalities,
        sop_class_uids=wanted.sop_class_uids,
        body_parts=wanted.body_parts,
    )
    if not accepted.accepts(
        modality=about.modality,
        sop_class_uid=about.sop_class_uid,
        body_part=about.body_part_examined,
    ):
        words = f"engine {wanted.name} does not take this modality or body part"
        raise FrameError(Reason.MODALITY_NOT_SUPPORTED, words)
    unfit = quality.unfit(about)
    if unfit is not None or about.pixel_spacing_mm is None:
        raise FrameError(Reason.QUALITY, unfit or "PixelSpacing missing")
    ct = CtSlice(frame.hu(), about.pixel_spacing_mm)
    try:
        return prepare(ct, wanted.preparation)
    except NotScorable as error:
        raise FrameError(Reason(error.reason), error.detail) from error
    except Exception as error:  # no frame may stop those behind it
        words = f"preparing it for engine {wanted.name} raised {type(error).__name__}"
        raise FrameError(Reason.ENGINE_FAILED, words) from error
