"""Where each finding of the last day lies, and what is drawn over its frame: compact, bounded."""

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from monitor.known import FrameRef
from monitor.shapes import Outline
from wire import burned_in
from wire.records import Finding, FrameAddress, LesionCandidate

MOST = 300_000
"""Findings. One takes 0.5 kB; a CT scanner makes a few hundred an hour."""

KEPT_S = 24 * 3600
"""As long as `frames` keeps what they are about."""

_FIXED = struct.Struct("<16sHQHQQIBB")
# frame id, two addresses, time, frame number, heat map, level of burned-in annotation
_OUTLINE = struct.Struct("<8f")


class _Entry(NamedTuple):
    """What is kept of one finding: numbers packed, texts shared."""

    packed: bytes
    patient_id: str | None
    sop_instance_uid: str
    topic: str


class FrameIndex(Mapping[UUID, FrameRef]):
    """Findings by id, in the order in which they came. Thread-safe.

    Parameters
    ----------
    clock : seconds since 1970. What is older than a day is not there any more.
    """

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._by_place: dict[int, int] = {}  # hash of UID and frame number -> newest finding
        self._texts: dict[str, str] = {}

    def put(self, finding: Finding, at: tuple[int, int], time_s: float) -> bool:
        """Take a finding in; tell whether it is new. A repeated one leads to the newer place.

        Parameters
        ----------
        at : (partition, offset) in `results`.
        time_s : when it was said.
        """
        entry = self._entry(finding, at, time_s)
        key = finding.id.int
        with self._lock:
            new = key not in self._entries
            self._entries[key] = entry
            if entry.sop_instance_uid:
                self._by_place[_place(entry.sop_instance_uid, finding.frame_number or 1)] = key
            if new:
                self._make_room()
            return new

    def at(self, sop_instance_uid: str, frame_number: int) -> FrameRef | None:
        """Return the newest finding about a frame."""
        key = self._by_place.get(_place(sop_instance_uid, frame_number))
        found = None if key is None else self.get(UUID(int=key))
        same = found is not None and (found.sop_instance_uid, found.frame_number) == (
            sop_instance_uid,
            frame_number,
        )
        return found if same else None

    def __getitem__(self, finding_id: UUID) -> FrameRef:
        entry = self._entries[finding_id.int]
        found = _ref(finding_id, entry, not_before=self._clock() - KEPT_S)
        if found is None:
            raise KeyError(finding_id)
        return found

    def __iter__(self) -> Iterator[UUID]:
        with self._lock:
            keys = list(self._entries)
        return (UUID(int=key) for key in keys)

    def __len__(self) -> int:
        return len(self._entries)

    def _entry(self, finding: Finding, at: tuple[int, int], time_s: float) -> _Entry:
        frame = finding.frame
        address = frame if isinstance(frame, FrameAddress) else None
        packed = _FIXED.pack(
            finding.frame_id.bytes,
            at[0],
            at[1],
            address.partition if address else 0,
            address.offset if address else 0,
            int(time_s),
            finding.frame_number or 1,
            finding.heat_map is not None,
            _level(finding),
        ) + b"".join(map(_packed, finding.lesions))
        uid = finding.sop_instance_uid if address else None
        patient_id = finding.patient_id
        return _Entry(
            packed,
            None if patient_id is None else self._shared(patient_id),
            uid or "",
            self._shared(address.topic) if address else "",
        )

    def _shared(self, text: str) -> str:
        """Return the one copy of a text that many findings have."""
        if len(self._texts) > self._most:
            self._texts.clear()
        return self._texts.setdefault(text, text)

    def _make_room(self) -> None:
        """Let go of the oldest; each time one comes, up to two go."""
        for _ in range(2):
            key, entry = next(iter(self._entries.items()))
            fixed = _FIXED.unpack_from(entry.packed)
            if len(self._entries) <= self._most and fixed[5] > self._clock() - KEPT_S:
                return
            del self._entries[key]
            place = _place(entry.sop_instance_uid, fixed[6])
            if self._by_place.get(place) == key:
                del self._by_place[place]
            if not self._entries:
                return


def _place(sop_instance_uid: str, frame_number: int) -> int:
    return hash((sop_instance_uid, frame_number))


def _level(finding: Finding) -> int:
    said = finding.quality.get(burned_in.KEY)
    return next((n for n, level in enumerate(burned_in.LEVELS) if level == said), 0)


def _packed(lesion: LesionCandidate) -> bytes:
    unknown = float("nan")
    diameter = unknown if lesion.diameter_mm is None else lesion.diameter_mm
    return _OUTLINE.pack(lesion.x_px, lesion.y_px, *lesion.box, diameter, lesion.probability)


def _ref(finding_id: UUID, entry: _Entry, *, not_before: float) -> FrameRef | None:
    frame_id, *numbers = _FIXED.unpack_from(entry.packed)
    at_partition, at_offset, partition, offset, time_s, frame_number, heat_map, level = numbers
    if not entry.sop_instance_uid or time_s < not_before:
        return None
    return FrameRef(
        finding_id=finding_id,
        frame_id=UUID(bytes=frame_id),
        patient_id=entry.patient_id,
        sop_instance_uid=entry.sop_instance_uid,
        frame_number=frame_number,
        finding=(at_partition, at_offset),
        frame=FrameAddress(topic=entry.topic, partition=partition, offset=offset),
        outlines=tuple(
            Outline(
                x_px=x,
                y_px=y,
                box=(left, top, width, height),
                diameter_mm=None if diameter != diameter else diameter,
                probability=p,
            )
            for x, y, left, top, width, height, diameter, p in _OUTLINE.iter_unpack(
                entry.packed[_FIXED.size :]
            )
        ),
        heat_map=bool(heat_map),
        burned_in=burned_in.LEVELS[level],
    )
