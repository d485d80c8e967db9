"""What has been read from Kafka, kept small: records in, `Known` out. Thread-safe."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from monitor.flow import FlowMeter
from monitor.frame_index import FrameIndex
from monitor.known import Known, Letter, Newest, Said
from monitor.ring import Ring, heard
from wire.dead_letters import DeadLetter
from wire.envelope import Envelope
from wire.patient import Edition, Patient
from wire.records import Alert, Comparison, Finding, Heartbeat

log = structlog.get_logger(__name__)

HISTORY = 2_000
TREND = 60
LETTERS = 200
MOST_PATIENTS = 10_000
"""With frames; beyond it those whose last frame is oldest lose their trend. Frames without
PatientID make a patient for each study."""

FRESH_S = 1.0
"""`Known` is made anew after so long, though nothing came: rates fall while nothing comes."""

HEAD_BYTES = 1_000
"""Of a snapshot: its PatientID, version and generation stand in front."""


class Board:
    """Takes the records of each topic, in order within a partition; never raises for one.

    Parameters
    ----------
    clock : seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.frames = FrameIndex(clock)
        self.ring = Ring()
        self.revision = 0
        self.unreadable: Counter[str] = Counter()
        self._patients: dict[str, Patient] = {}
        self._editions: dict[str, Edition] = {}
        self._unread: dict[str, list[bytes]] = {}  # the last two that nobody has looked at yet
        self._newest: OrderedDict[str, tuple[Newest, deque[tuple[datetime, float]]]] = OrderedDict()
        self._meter = FlowMeter()
        self._history: deque[Said] = deque(maxlen=HISTORY)
        self._technical: dict[UUID, Alert] = {}
        self._heartbeat: Heartbeat | None = None
        self._letters: deque[Letter] = deque(maxlen=LETTERS)
        self._letter_count = 0
        self._known: tuple[int, float, Known] | None = None

    def take_patient(self, record: Any) -> None:
        """Take a snapshot from `patients`; without a value it forgets a patient."""
        with self._taking("patients", record):
            name = (record.key or b"").decode(errors="replace")
            if record.value is None:
                for known in (self._patients, self._editions, self._unread, self._newest):
                    known.pop(name, None)
                return
            name, edition = _head(record.value)
            before = self._editions.get(name)
            if before is None or edition.replaces(before):
                self._editions[name] = edition
                self._unread[name] = [*self._unread.get(name, [])[-1:], record.value]

    def take_result(self, record: Any) -> None:
        """Take a finding or a comparison from `results`; the rest stands in the snapshots."""
        kind = Envelope.of(record.headers).kind
        if kind not in (Finding.kind, Comparison.kind):
            return
        with self._taking("results", record):
            if kind == Comparison.kind:
                self._meter.compared(Comparison.model_validate_json(record.value or b""))
                return
            finding = Finding.model_validate_json(record.value or b"")
            time_s = record.timestamp / 1000
            if self.frames.put(finding, (record.partition, record.offset), time_s):
                self._meter.answered(finding, time_s, self._clock())
                self._note_newest(finding)

    def take_alert(self, record: Any) -> None:
        """Take an alert or a heartbeat from `alerts`."""
        with self._taking("alerts", record):
            message = None
            if record.offset < self.ring.next:  # the topic was made anew, or has lost its end
                self._history.clear()
            try:
                message = heard(record)
            finally:
                new = self.ring.add(record.offset, message)
            if message is None or not new:
                return
            if isinstance(message.record, Heartbeat):
                self._note_heartbeat(message.record)
                return
            self._history.append(Said(message.offset, message.record, message.time))
            self._note_technical(message.record)

    def take_letter(self, record: Any) -> None:
        """Take a dead letter from `frames.dead-letter`; its payload is not looked at."""
        with self._taking("dead letters", record):
            letter = DeadLetter.of(record.key, None, record.headers)
            where = letter.where
            self._letter_count += 1
            self._letters.append(
                Letter(
                    time=datetime.fromtimestamp(record.timestamp / 1000, UTC),
                    topic=where.topic if where else "",
                    partition=where.partition if where else record.partition,
                    offset=where.offset if where else record.offset,
                    reason=letter.reason,
                    detail=letter.detail,
                )
            )

    def passed_over(self, letters: int) -> None:
        """Say how many dead letters there are before those that are read."""
        with self._lock:
            self._letter_count += letters

    def known(self) -> Known:
        """Return what is known now. The same object until something changes, or a second passes."""
        with self._lock:
            now_s = self._clock()
            if self._known is not None:
                revision, made_s, known = self._known
                if revision == self.revision and abs(now_s - made_s) < FRESH_S:
                    return known
            self._read_snapshots()
            letters = sorted(self._letters, key=lambda letter: letter.time, reverse=True)
            known = Known(
                patients=dict(self._patients),
                newest={name: newest for name, (newest, _) in self._newest.items()},
                technical=dict(self._technical),
                history=tuple(self._history),
                frames=self.frames,
                flow=replace(
                    self._meter.flow(now_s),
                    dead_letters=self._letter_count,
                    letters=tuple(letters),
                ),
                heartbeat=self._heartbeat,
            )
            self._known = (self.revision, now_s, known)
            return known

    @contextmanager
    def _taking(self, topic: str, record: Any) -> Iterator[None]:
        """Let one record change the board; one that cannot be read is counted and passed over."""
        with self._lock:
            try:
                yield
            except Exception as error:  # the message boundary: none stops the reader
                self.unreadable[topic] += 1
                log.warning(
                    "record passed over",
                    topic=topic,
                    partition=record.partition,
                    offset=record.offset,
                    error=type(error).__name__,
                )
            self.revision += 1

    def _note_newest(self, finding: Finding) -> None:
        name, received, p = finding.patient_id, finding.received_time, finding.lesion_probability
        if name is None:
            return
        newest, trend = self._newest.get(name) or (Newest(None, ()), deque(maxlen=TREND))
        if received is not None and p is not None:
            trend.append((received, p))
        times = [moment for moment in (newest.received_time, received) if moment is not None]
        self._newest[name] = (Newest(max(times, default=None), tuple(trend)), trend)
        self._newest.move_to_end(name)
        if len(self._newest) > MOST_PATIENTS:
            self._newest.popitem(last=False)

    def _note_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._technical = {a.alarm_id: a for a in heartbeat.alarms if a.patient_id is None}

    def _note_technical(self, alert: Alert) -> None:
        """Keep a technical alarm about no patient while it stands."""
        if alert.category != "technical" or alert.patient_id is not None:
            return
        if alert.phase == "end":
            self._technical.pop(alert.alarm_id, None)
        else:
            self._technical[alert.alarm_id] = alert

    def _read_snapshots(self) -> None:
        """Read the newest snapshots: many are replaced before anybody looks at them."""
        for name, values in self._unread.items():
            for value in reversed(values):  # where the newest is damaged, the one before it
                try:
                    self._patients[name] = Patient.model_validate_json(value)
                    break
                except ValidationError as error:
                    problems = error.error_count()
                    self.unreadable["patients"] += 1
                    log.warning("snapshot passed over", patient_id=name, problems=problems)
        self._unread.clear()


def _head(value: bytes) -> tuple[str, Edition]:
    """Return of whom a snapshot is and which it is, without reading all of it.

    Raises
    ------
    ValueError   it does not say.
    """
    head = from_json(value[:HEAD_BYTES], allow_partial=True)
    if "series" not in head:  # what comes before it is whole, then
        head = from_json(value)
    return str(head["PatientID"]), Edition(version=head["version"], generation=head["generation"])
