"""The records on the topics: one definition, validated when made, frozen afterwards.

Python names are the DICOM keyword in snake_case, names on the wire the keyword itself. JSON
Schemas and the AsyncAPI document are generated from here (`wire.schemas`). A number that is not
known is null; NaN and infinity cannot be made.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from wire.errors import Reason
from wire.moments import in_utc

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


Moment = Annotated[datetime, AfterValidator(in_utc)]
"""Always with an offset: moments are compared, and one without cannot be."""
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """Base of all records: frozen, unknown fields of newer writers are passed over."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, extra="ignore", serialize_by_alias=True
    )
    kind: ClassVar[str] = "part"

    def to_json(self) -> bytes:
        """Return the record as one line of JSON, as it stands on a topic."""
        return self.model_dump_json(by_alias=True).encode()


class LesionCandidate(Record):
    """One place in the frame that may be a lesion, in the frame's own pixels."""

    probability: Probability
    x_px: Finite = Field(description="column of the centre, 0-based, whole = centre of a pixel")
    y_px: Finite = Field(description="row of the centre, 0-based, whole = centre of a pixel")
    x_mm: Finite | None = Field(description="centre in the patient's coordinates (LPS)")
    y_mm: Finite | None = None
    z_mm: Finite | None = None
    diameter_mm: Finite | None = Field(description="longest diameter")
    box: tuple[Finite, Finite, Finite, Finite] = Field(description="[x, y, width, height] in px")


class EngineUsed(Record):
    """The engine that looked at a frame; name `none` where none was chosen."""

    name: str
    version: str
    sha256: str = Field(description="of model.onnx; `precision` says which of the files computed")
    backend: str
    precision: str
    screen: Probability | None = Field(
        None, description="operating point on `lesion_probability`: positive at or above it"
    )
    alarm: Probability | None = Field(
        None, description="operating point on `lesions[].probability`: few false alarms"
    )


NO_ENGINE_USED = EngineUsed(name="none", version="", sha256="", backend="none", precision="none")


class StageTimes(Record):
    """Where the time of a finding went; null where a stage was not reached."""

    queued: Milliseconds | None = Field(None, description="last byte received to taken up")
    decode: Milliseconds | None = None
    preprocess: Milliseconds | None = None
    inference: Milliseconds | None = None
    total: Milliseconds | None = Field(None, description="taken up to finding made")


class Plane(Record):
    """Where a slice lies in its series, as far as the device said it; null where it did not."""

    location_mm: Finite | None = Field(
        None, description="ImagePositionPatient along the normal of the slice"
    )
    slice_thickness_mm: Finite | None = Field(None, alias="SliceThickness")
    pitch_mm: Finite | None = Field(
        None, description="to the next slice: SpacingBetweenSlices, else SliceThickness"
    )
    images: int | None = Field(
        None,
        description="in the series: NumberOfSeriesRelatedInstances, else ImagesInAcquisition",
    )
    lung_centre_mm: tuple[Finite, Finite, Finite] | None = Field(
        None, description="middle of the lungs on this slice, in the patient's coordinates (LPS)"
    )


class FrameAddress(Record):
    """Where the frame stands on Kafka: the way back from a finding to its pixels."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class FramePath(Record):
    """Where the frame came from in `lesionstream infer`: ``archive.zip#member`` for a zip."""

    path: str


class Finding(Record):
    """What one engine says of one frame, or why it says nothing. Exactly one for each message."""

    kind: ClassVar[str] = "finding"

    id: UUID
    frame_id: UUID
    patient_id: str | None = Field(alias="PatientID", description="pseudonym")
    study_instance_uid: str | None = Field(alias="StudyInstanceUID")
    series_instance_uid: str | None = Field(alias="SeriesInstanceUID")
    sop_instance_uid: str | None = Field(alias="SOPInstanceUID")
    frame_number: int | None = Field(alias="FrameNumber", ge=1)
    instance_number: int | None = Field(alias="InstanceNumber")
    modality: str | None = Field(alias="Modality")
    event_time: Moment | None = Field(
        description="acquisition (shifted), else when the producer received the frame"
    )
    received_time: Moment | None = Field(description="last byte received by the producer")
    status: Literal["scored", "not-scored"]
    reason: Reason | None
    detail: str | None = Field(description="the reason in words")
    lesion_probability: Probability | None
    lesions: tuple[LesionCandidate, ...] = Field(
        max_length=32, description="every candidate >= 0.01, most probable first"
    )
    heat_map: str | None = Field(
        None,
        description="8-bit PNG of at most 64 x 64, base64, over the whole frame; 255 is "
        "probability 1; at or above `screen` only",
    )
    engine: EngineUsed
    quality: dict[str, Finite | str] = Field(
        description="measurements the engine made of the frame; burned_in_annotation: whether its "
        "pixels may show a name (yes, possible, no)"
    )
    plane: Plane = Plane()
    times_ms: StageTimes
    frame: FrameAddress | FramePath

    @model_validator(mode="after")
    def _whole(self) -> Self:
        scored = self.status == "scored"
        if scored != (self.lesion_probability is not None):
            raise ValueError("lesion_probability is given if and only if the frame was scored")
        if scored != (self.reason is None):
            raise ValueError("a reason is given if and only if the frame was not scored")
        return self


class Opinion(Record):
    """What one engine said of a frame."""

    engine: EngineUsed
    status: Literal["scored", "not-scored"]
    reason: Reason | None
    lesion_probability: Probability | None
    positive: bool = Field(description="lesion_probability >= `screen` of this engine")


class Comparison(Record):
    """A shadow engine's opinion beside the active one's. It decides nothing, nobody is alarmed."""

    kind: ClassVar[str] = "comparison"

    id: UUID
    frame_id: UUID
    patient_id: str | None = Field(alias="PatientID", description="pseudonym")
    series_instance_uid: str | None = Field(alias="SeriesInstanceUID")
    sop_instance_uid: str | None = Field(alias="SOPInstanceUID")
    frame_number: int | None = Field(alias="FrameNumber", ge=1)
    active: Opinion
    shadow: Opinion
    disagree: bool = Field(description="one says positive, the other does not")


Priority = Literal["high", "medium", "low"]
Adjustment = Literal["intensify", "maintain-or-reduce", "none"]
SignOff = Literal["needs-sign-off", "signed-off", "rejected"]
AlarmPhase = Literal["start", "continue", "update", "escalate", "de-escalate", "end"]
AlarmSituation = Literal["active", "latched", "inactive"]
Inactivation = Literal["none", "audio-paused", "acknowledged"]


class ModelView(Record):
    """What a model says beside a rule; all of it: the `model-evidence` of this id."""

    evidence_id: UUID
    engine: str = Field(description="its name and version")
    simulated: bool = Field(description="trained on a simulation: SIMULATED wherever it is shown")
    text: str
    agrees: bool | None = Field(
        description="with the rule's action; null: it says nothing of it, or abstains"
    )


class Recommendation(Record):
    """A treatment adjustment to consider. Decision support: a clinician signs or rejects it."""

    kind: ClassVar[str] = "recommendation"

    id: UUID
    recommendation_id: UUID = Field(
        description="id of the recommendation that this is, or that this says more about"
    )
    patient_id: str = Field(alias="PatientID")
    study_instance_uid: str | None = Field(alias="StudyInstanceUID")
    series_instance_uid: str = Field(alias="SeriesInstanceUID")
    action: Adjustment
    text: str
    plan: str | None = None
    rationale: str
    evidence: tuple[UUID, ...] = Field(description="ids of findings, assessments or actions")
    lesion_probability: Probability | None
    confidence: Probability | None
    models: tuple[ModelView, ...] = Field(
        (), description="what models say beside it; the rule stays in force"
    )
    policy_name: str
    policy_version: str
    rule: str
    phase: Literal["start", "update", "end"] = Field(
        description="said; signed off, rejected, or a model has spoken; withdrawn, for what is "
        "known now says otherwise"
    )
    event_time: Moment | None
    sign_off: SignOff = "needs-sign-off"
    decision_support_only: Literal[True] = True


class Alert(Record):
    """An alarm or its change of state. Category, phase and states as in IHE PCD ACM."""

    kind: ClassVar[str] = "alert"

    id: UUID
    alarm_id: UUID = Field(description="id of the alert that started this alarm")
    patient_id: str | None = Field(alias="PatientID")
    study_instance_uid: str | None = Field(alias="StudyInstanceUID")
    series_instance_uid: str | None = Field(alias="SeriesInstanceUID")
    category: Literal["clinical", "technical"]
    priority: Priority
    phase: AlarmPhase
    state: AlarmSituation
    inactivation: Inactivation
    cause: str
    text: str
    evidence: tuple[UUID, ...]
    lesion_probability: Probability | None
    policy_name: str
    policy_version: str
    event_time: Moment | None
    paused_until: Moment | None = Field(None, description="while inactivation is audio-paused")
    delay_ms: Milliseconds | None = Field(
        None, description="since the producer received the last byte"
    )


class EngineCheck(Record):
    """The known-answer check of one engine, as its worker ran it last."""

    name: str
    version: str
    ok: bool | None = Field(description="null: not run yet, or its worker does not answer")
    detail: str
    checked: Moment | None


class Heartbeat(Record):
    """Said every second by the watchdog. Who hears none for 15 s is blind."""

    kind: ClassVar[str] = "heartbeat"

    id: UUID
    time: Moment
    newest_frame_time: Moment | None = Field(description="received by its producer")
    lag: dict[str, int | None] = Field(
        description="messages that wait, by worker (scoring, patients, and scoring-stat and models "
        "once they were used); null: not known"
    )
    members: dict[str, int | None] = Field(description="processes that work, by worker")
    oldest_waiting_s: dict[str, float | None] = Field(
        default_factory=dict,
        description="since the oldest message that waits was handed to Kafka, by worker, to a "
        "tenth; 0: none waits; null: not known",
    )
    broker: Literal["ok", "away", "unknown"]
    cache: Literal["ok", "away", "unknown"]
    engines: tuple[EngineCheck, ...]
    alarms: tuple[Alert, ...] = Field(description="technical alarms that stand")


class Limits(Record):
    """What counts as an alarm for one patient; null: as the policy has it."""

    least_diameter_mm: Finite | None = Field(None, ge=0, description="smaller lesions alarm nobody")
    sum_mm: Finite | None = Field(
        None, ge=0, description="alarm where the target lesions' diameters come to this together"
    )


class Therapy(Record):
    """What a patient is treated with, and from when."""

    plan: str | None = None
    start: Moment | None = Field(None, description="the study before it is the baseline")
    flags: tuple[str, ...] = Field((), description="what speaks against some plans, from now on")
    flags_withdrawn: tuple[str, ...] = Field((), description="that hold no longer")
    limits: Limits = Limits()


class Action(Record):
    """What a person did. `actions` is the audit log."""

    kind: ClassVar[str] = "action"

    id: UUID
    action: Literal["acknowledge", "silence", "sign-off", "reject", "view", "therapy"]
    patient_id: str | None = Field(
        alias="PatientID", description="null: about an alarm that is about no patient"
    )
    about: UUID | None = Field(
        None,
        description="id of the alarm that is acknowledged or silenced, of the recommendation that "
        "is signed off or rejected",
    )
    actor: str = Field(min_length=1, description="who: a role or account, never a patient")
    event_time: Moment = Field(description="when it takes effect")
    reason: str | None = Field(None, description="in words; a rejection has one")
    until: Moment | None = Field(None, description="end of a silence; null: as the policy has it")
    therapy: Therapy | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.about is None and self.action not in ("view", "therapy"):
            raise ValueError(f"{self.action} needs `about`: the id it answers")
        if self.patient_id is None and self.action not in ("acknowledge", "silence"):
            raise ValueError(f"{self.action} needs a PatientID")
        if self.action == "reject" and not (self.reason or "").strip():
            raise ValueError("a rejection needs a reason")
        if (self.therapy is not None) != (self.action == "therapy"):
            raise ValueError("`therapy` is given if and only if the action is therapy")
        return self
