"""What the monitor knows at one moment. Pure data: made by `monitor.board`, shown by `views`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from monitor.shapes import Outline
from wire.burned_in import BurnedIn
from wire.patient import Patient
from wire.records import Alert, EngineUsed, FrameAddress, Heartbeat

ProbeState = Literal["ok", "away", "unknown"]


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where one finding, and the frame it is about, can be read again; what is drawn over it.

    patient_id : None where the frame did not say.
    finding : (partition, offset) in `results`.
    outlines : its lesions, most probable first.
    heat_map : whether the finding has one.
    burned_in : whether the pixels may show a name.
    """

    finding_id: UUID
    frame_id: UUID
    patient_id: str | None
    sop_instance_uid: str
    frame_number: int
    finding: tuple[int, int]
    frame: FrameAddress
    outlines: tuple[Outline, ...]
    heat_map: bool
    burned_in: BurnedIn = "no"


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest frames of one patient.

    received_time : of the newest one.
    trend : (received_time, lesion_probability) of the last scored ones, in the order in which they
        were answered.
    """

    received_time: datetime | None
    trend: tuple[tuple[datetime, float], ...]


@dataclass(frozen=True, slots=True)
class Called:
    """How a patient is called on the ward. None: not known here."""

    name: str | None
    bed: str | None


@dataclass(frozen=True, slots=True)
class Roll:
    """Names and beds by PatientID, and what they were read from; None: there is none."""

    called: Mapping[str, Called] = field(default_factory=dict)
    names_from: str | None = None
    beds_from: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An alert with its offset in `alerts`: the SSE id.

    time : when it was said, by its envelope. An alert's own times are the device's, shifted.
    """

    offset: int
    alert: Alert
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: what could not be scored, and why."""

    time: datetime
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """A shadow engine beside the active one."""

    active: EngineUsed
    shadow: EngineUsed
    compared: int
    disagreed: int


@dataclass(frozen=True, slots=True)
class Flow:
    """How the stream runs. Unknown numbers are None.

    lag : worker (scoring, patients, scoring-stat once it was used) -> messages that wait.
    members : worker -> processes.
    oldest : worker -> when the first message that waits was handed to Kafka; None: none waits.
    delay_p50_ms, delay_p99_ms : from the last byte received to the finding, of the last minutes.
    frames_per_s : findings over the last 10 s.
    frames : findings of the last 24 h, each counted once however often it was said.
    not_scored : reason -> those of them that are not scored.
    engines : that answered in the last 24 h, the last one first.
    dead_letters : in all; `letters` are the last of them, newest first.
    """

    lag: Mapping[str, int | None] = field(default_factory=dict)
    members: Mapping[str, int | None] = field(default_factory=dict)
    oldest: Mapping[str, datetime | None] = field(default_factory=dict)
    delay_p50_ms: float | None = None
    delay_p99_ms: float | None = None
    frames_per_s: float = 0.0
    frames: int = 0
    not_scored: Mapping[str, int] = field(default_factory=dict)
    engines: tuple[EngineUsed, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    dead_letters: int = 0
    letters: tuple[Letter, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that can be shown.

    patients : by PatientID, from the snapshots.
    technical : technical alarms that stand and are about no patient, by alarm id.
    history : the last alerts, oldest first.
    frames : finding id -> where it can be read again; those too old for `frames` are missing.
    called, names_from, beds_from : see `Roll`.
    heartbeat : the last one; None before the first.
    broker, cache : as probed by the monitor itself.
    ready : whether all topics have been read up to where they ended when the monitor started.
    """

    patients: Mapping[str, Patient] = field(default_factory=dict)
    newest: Mapping[str, Newest] = field(default_factory=dict)
    technical: Mapping[UUID, Alert] = field(default_factory=dict)
    history: tuple[Said, ...] = ()
    frames: Mapping[UUID, FrameRef] = field(default_factory=dict)
    called: Mapping[str, Called] = field(default_factory=dict)
    names_from: str | None = None
    beds_from: str | None = None
    flow: Flow = Flow()
    heartbeat: Heartbeat | None = None
    broker: ProbeState = "unknown"
    cache: ProbeState = "unknown"
    ready: bool = False
