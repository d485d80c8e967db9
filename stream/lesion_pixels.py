"""A lesion's picture: from Kafka, decoded in a process that may die, cut out of its slice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engines.effects import SIDE, lesion_view
from engines.errors import NotForecastable
from wire.assessment import Assessment, Lesion
from wire.cluster import BrokerUnavailable, Cluster
from wire.decode_pool import DecodePool
from wire.envelope import Envelope
from wire.errors import FrameError, Reason
from wire.frame import decode_frame
from wire.reading import Reader
from wire.records import Finding, FrameAddress
from wire.topics import RESULTS, Names, partition_of

WITHIN_S = 10.0
KEPT = timedelta(hours=26)
"""Frames are kept for 24 hours (`wire.topics`): findings from before lead to nothing any more."""

_SHAPE = (SIDE, SIDE)


@dataclass(frozen=True, slots=True)
class Cut:
    """A lesion cut out of its slice, (32, 32), and the series that the slice says it is of."""

    view: NDArray[np.float32]
    series_instance_uid: str | None


def cut(
    payload: bytes | None,
    frame_number: int | None,
    place: tuple[float, float, float],
    window: tuple[float, float],
) -> Iterator[Cut]:
    """Decode a message of `frames` and cut out what lies at a place; a task for the decode pool.

    Parameters
    ----------
    place : (x, y, z) mm in the patient.
    window : HU that become 0 and 1.

    Raises
    ------
    FrameError   it cannot be decoded, or does not say where it lies.
    """
    frame = decode_frame(payload, frame_number)
    spacing, at = frame.about.pixel_spacing_mm, frame.about.to_px(*place)
    if spacing is None or at is None:
        raise FrameError(Reason.QUALITY, "the frame does not say where it lies", frame.about)
    yield Cut(lesion_view(frame.hu(), spacing, *at, window), frame.about.series_instance_uid)


class LesionPixels:
    """Finds pictures of lesions. Blocking; not thread-safe."""

    def __init__(self, cluster: Cluster, names: Names, window: tuple[float, float]) -> None:
        self._cluster = cluster
        self._results = names.of(RESULTS)
        self._window = window
        self._pool = DecodePool(cut)
        self._reader: Reader | None = None

    def view(self, lesion: Lesion, sheet: Assessment) -> NDArray[np.float32]:
        """Return the picture of a lesion; see `engines.effects.lesion_view`.

        Raises
        ------
        NotForecastable     there is none: Kafka has it no more, or it cannot be decoded.
        BrokerUnavailable   no broker answers.
        DecoderUnavailable  no process can be started to decode it.
        """
        x, y, z = lesion.x_mm, lesion.y_mm, lesion.z_mm
        if x is None or y is None or z is None:
            raise NotForecastable(f"nobody knows where {lesion.label} is")
        record = self._frame(lesion, sheet.patient_id)
        if record is None or record.value is None:
            raise NotForecastable(f"the picture of {lesion.label} has expired: see the PACS")
        number = Envelope.of(record.headers).frame_number
        try:
            found: Cut = self._pool.one(record.value, number, (x, y, z), self._window)
        except FrameError as error:
            words = f"the picture of {lesion.label} cannot be used ({error.detail})"
            raise NotForecastable(words) from error
        if found.series_instance_uid != sheet.series_instance_uid or found.view.shape != _SHAPE:
            raise NotForecastable(f"the picture of {lesion.label} is not there any more")
        return found.view

    def _frame(self, lesion: Lesion, patient_id: str) -> Any | None:
        """Return the message with the lesion's most probable frame: its finding says where.

        The finding stands in `results` before the assessment, mostly right before it. A state that
        kept the address of every frame would not be the same after a replay.
        """
        wanted = {str(finding) for finding in lesion.findings[:1]}
        try:
            if self._reader is None:
                self._reader = Reader(self._cluster)
            partition = partition_of(patient_id, self._reader.partitions(self._results))
            record = self._reader.newest(
                self._results,
                partition,
                lambda one: Envelope.of(one.headers).id in wanted,
                since=datetime.now(UTC) - KEPT,
                within_s=WITHIN_S,
            )
            if record is None:
                return None
            where = Finding.model_validate_json(record.value).frame
            if not isinstance(where, FrameAddress):
                return None
            return self._reader.one(where.topic, where.partition, where.offset, within_s=WITHIN_S)
        except ValidationError:
            return None  # nothing of ours
        except BrokerUnavailable:
            if self._reader is not None:
                self._reader.close()
            self._reader = None
            raise

    def close(self) -> None:
        """End the decode process, and release the connection."""
        self._pool.close()
        if self._reader is not None:
            self._reader.close()
