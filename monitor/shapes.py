"""What the pages show, and what `/api` answers: the same objects. Pure data.

Every number in them stands on a topic, or is the count or the age of what does.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from wire.assessment import Lesion, Response, Trend
from wire.records import (
    Adjustment,
    AlarmSituation,
    EngineCheck,
    EngineUsed,
    Inactivation,
    ModelView,
    Priority,
    SignOff,
)

Role = Literal["viewer", "nurse", "clinician", "operator"]


class Shape(BaseModel):
    """Base of what is shown: frozen."""

    model_config = ConfigDict(frozen=True)


class Who(Shape):
    """How a patient is called here; name and bed are null where not known, or not for this role."""

    patient_id: str = Field(description="pseudonym")
    name: str | None
    bed: str | None
    why: str = Field(description="why there is no name, in words; empty where there is one")


class Spot(Shape):
    """One point of a trend."""

    time: datetime
    value: float


class AlarmLine(Shape):
    """One alarm in a list."""

    alarm_id: UUID
    who: Who | None = Field(description="null: about no patient")
    category: Literal["clinical", "technical"]
    priority: Priority
    state: AlarmSituation
    inactivation: Inactivation
    cause: str
    text: str
    since: datetime | None
    paused_until: datetime | None
    by: str | None = Field(description="who acknowledged or silenced it")
    may_acknowledge: bool
    may_silence: bool


class Pause(Shape):
    """An alarm whose sound is paused."""

    until: datetime | None = Field(description="null: nobody said when it ends")
    priority: Priority


class Bar(Shape):
    """All alarms in short, on every page: who looks at one patient misses no other."""

    high: int = Field(description="alarms that stand and are not acknowledged")
    medium: int
    low: int
    acknowledged: int
    foremost: AlarmLine | None = Field(description="the first of those not acknowledged")
    loud: Priority | None = Field(description="highest of those not acknowledged nor paused")
    paused: tuple[Pause, ...] = Field(description="those that sound again after a time")
    blind: tuple[str, ...] = Field(
        description="technical alarms about no patient, in words: what may blind the page"
    )
    heartbeat: datetime | None = Field(description="of the watchdog; null: none heard yet")


class Tile(Shape):
    """One patient on the ward."""

    who: Who
    probability: float | None = Field(description="greatest of the newest series; null: none yet")
    trend: tuple[Spot, ...] = Field(description="of the last frames")
    last_frame: datetime | None
    priority: Priority | None = Field(description="of the highest alarm that is not inactive")
    inactivation: Inactivation
    state: AlarmSituation | None = Field(description="of that alarm")
    cause: str
    since: datetime | None = Field(description="of that alarm")
    paused_until: datetime | None
    alarms: int = Field(description="that are not inactive")
    unattended: int = Field(description="of these, that nobody has acknowledged")
    questions: int = Field(description="about its lesions, that a clinician has not answered")
    stage: str = Field(description="of the newest series: early, updated, final; empty: none")
    quality: tuple[str, ...] = Field(description="what is wrong with the newest series")
    response: Response | None
    trend_words: Trend
    sum_mm: float | None
    change_percent: float | None
    recommendation: str = Field(description="in words; empty where there is none yet")
    action: Adjustment | None
    sign_off: SignOff | None


class Ward(Shape):
    """The ward: patients by need, most needy first."""

    tiles: tuple[Tile, ...]
    technical: tuple[AlarmLine, ...] = Field(description="that stand: what may blind the page")
    names: str = Field(description="where names and beds come from, or that there are none")
    ready: bool
    bar: Bar


class SliceLine(Shape):
    """One frame of a series."""

    finding_id: UUID
    sop_instance_uid: str | None = Field(description="null: expired")
    frame_number: int | None
    location_mm: float | None
    probability: float | None
    reason: str | None
    image: str | None = Field(description="address of the image; null: expired, see PACS")
    heat: bool = Field(description="whether there is a heat map over the image")
    note: str | None = Field(None, description="of a name in the image; why it is null")
    outlines: tuple["Outline", ...]


class Outline(Shape):
    """Where a lesion lies on a frame, in the frame's pixels (whole = centre of a pixel)."""

    x_px: float
    y_px: float
    box: tuple[float, float, float, float]
    diameter_mm: float | None
    probability: float


class SeriesSheet(Shape):
    """One series of a patient, with its images."""

    series_instance_uid: str
    study_instance_uid: str | None
    time: datetime | None
    stage: str
    version: int
    response: Response | None
    clauses: tuple[str, ...]
    quality: tuple[str, ...]
    lesions: tuple[Lesion, ...]
    sum_mm: float | None
    baseline_sum_mm: float | None
    nadir_sum_mm: float | None = Field(description="least before this study, baseline included")
    change_percent: float | None = Field(description="of the sum since baseline")
    trend: Trend
    suspected: bool = Field(description="a lesion appeared or is gone, and nobody has confirmed it")
    slices: tuple[SliceLine, ...] = Field(description="from the feet to the head")
    shown: int = Field(description="index of the slice to show first: the most probable")


class Advice(Shape):
    """One recommendation, and what was said to it."""

    recommendation_id: UUID
    series_instance_uid: str
    rule: str
    action: Adjustment
    text: str
    rationale: str
    evidence: tuple[UUID, ...] = Field(description="ids of findings, assessments or actions")
    models: tuple[ModelView, ...] = Field(description="what models say beside it")
    sign_off: SignOff
    decided_by: str | None
    decided: datetime | None
    reason: str | None
    withdrawn: bool
    may_sign: bool


class StudyPoint(Shape):
    """One study on the trend chart."""

    time: datetime | None
    series_instance_uid: str
    sum_mm: float | None
    probability: float | None
    response: Response | None
    lesions: dict[str, float | None] = Field(description="label -> diameter_mm")


class TherapyMark(Shape):
    """A therapy on the trend chart."""

    start: datetime | None
    plan: str | None
    flags: tuple[str, ...]
    entered_by: str


class PatientSheet(Shape):
    """One patient."""

    tile: Tile
    baseline: SeriesSheet | None = Field(description="null: no comparison yet")
    now: SeriesSheet | None
    studies: tuple[StudyPoint, ...]
    therapies: tuple[TherapyMark, ...]
    advice: tuple[Advice, ...] = Field(description="newest first")
    alarms: tuple[AlarmLine, ...]
    bar: Bar


class HistoryLine(Shape):
    """One alert as it was said. `offset`: its SSE id."""

    offset: int
    id: UUID
    alarm_id: UUID
    who: Who | None
    time: datetime | None = Field(description="when it was said")
    category: Literal["clinical", "technical"]
    priority: Priority
    phase: str
    text: str
    delay_ms: float | None


class AlarmSheet(Shape):
    """The alarm list: what stands, by priority and age; then what was said."""

    alarms: tuple[AlarmLine, ...]
    history: tuple[HistoryLine, ...] = Field(description="newest first")
    bar: Bar


class WorkerLine(Shape):
    """One consumer group."""

    name: str
    lag: int | None
    members: int | None
    missed: bool = Field(False, description="none works, and one is needed")
    oldest: datetime | None = Field(
        None, description="when the first message that waits was handed to Kafka"
    )


class ShadowLine(Shape):
    """A shadow engine beside the active one."""

    active: EngineUsed
    shadow: EngineUsed
    compared: int
    disagreed: int


class LetterLine(Shape):
    """One dead letter."""

    time: datetime
    place: str
    reason: str
    detail: str


class SystemSheet(Shape):
    """How the system runs."""

    broker: Literal["ok", "away", "unknown"]
    cache: Literal["ok", "away", "unknown"]
    heartbeat: datetime | None
    newest_frame: datetime | None
    workers: tuple[WorkerLine, ...]
    frames: int
    frames_per_s: float
    delay_p50_ms: float | None
    delay_p99_ms: float | None
    not_scored: dict[str, int]
    engines: tuple[EngineUsed, ...]
    checks: tuple[EngineCheck, ...]
    shadows: tuple[ShadowLine, ...]
    dead_letters: int
    letters: tuple[LetterLine, ...]
    technical: tuple[AlarmLine, ...]
    bar: Bar
