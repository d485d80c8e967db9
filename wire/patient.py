"""A patient's state: facts, and what is made of them.

The facts are sets: findings and actions in any order, any number of times, give the same. All else
is a function of them (`stream.judge`) and is kept beside them for those who look.
"""

from typing import ClassVar, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import Field

from wire.assessment import Assessment, Point
from wire.errors import Reason
from wire.evidence import ModelEvidence
from wire.records import (
    Adjustment,
    AlarmSituation,
    Finite,
    Inactivation,
    ModelView,
    Moment,
    Priority,
    Probability,
    Record,
    SignOff,
    Therapy,
)


class Version(Record):
    """How far a patient's state has come: offsets of the last messages folded into it.

    Offsets of one log cannot be compared with those of another: `log` names the incarnation of the
    two topics (their topic ids).
    """

    log: str = ""
    results: int = Field(-1, ge=-1)
    actions: int = Field(-1, ge=-1)
    ticks: int = Field(0, ge=0, description="how often the clock alone changed something")

    def covers(self, other: "Version") -> bool:
        """Tell whether a state at `other` holds nothing that a state at this version lacks."""
        if self.log != other.log:
            return False
        if (self.results, self.actions) == (other.results, other.actions):
            return self.ticks >= other.ticks
        return self.results >= other.results and self.actions >= other.actions


class Edition(Record):
    """Which snapshot of a patient: how far it has come, and in which generation it was written."""

    version: Version
    generation: int = 0

    def replaces(self, other: "Edition") -> bool:
        """Tell whether this one is at least as far as the other.

        A state that has folded all of the other's messages is; where neither has (a zombie and its
        successor), the one written in the later generation of the consumer group.
        """
        if self.version.covers(other.version):
            return True
        if other.version.covers(self.version):
            return False
        return self.generation >= other.generation


class Mark(NamedTuple):
    """A candidate of a finding, placed in the patient. `alarming`: at the engine's alarm point."""

    probability: Probability
    x_mm: Finite
    y_mm: Finite
    z_mm: Finite
    diameter_mm: Finite
    alarming: bool


class Lung(NamedTuple):
    """The lungs on one slice: where they are, and how large."""

    x_mm: Finite
    y_mm: Finite
    z_mm: Finite
    area_cm2: Finite


class Slice(NamedTuple):
    """What a patient's state keeps of one finding.

    frame, place : 12 hexadecimal digits of the frame's id, and of its SOPInstanceUID and
        FrameNumber. Two frames at one place: the UID was used again.
    location_mm : along the normal; the InstanceNumber where the frame does not say.
    time_ms : event time since 1970.
    """

    probability: Probability | None
    reason: Reason | None
    frame: str
    place: str
    location_mm: Finite | None
    time_ms: int | None
    alarming: bool
    lung: Lung | None
    marks: tuple[Mark, ...]


class Seen(Record):
    """One lesion as one series shows it.

    Attributes
    ----------
    centre : (x, y, z) in the patient's coordinates (LPS), mm, of all its marks.
    diameter_mm : longest on any axial slice.
    extent_mm : from its first slice to its last, one slice's pitch included.
    probability : of its most probable mark.
    slices : at how many places it was marked; `alarming` of them at the engine's `alarm` point.
    confirmed : whether it was so in k of n neighbouring slices.
    findings, peaks : that stand for it, most probable first, and where each marks it.
    """

    centre: Point
    diameter_mm: Finite
    extent_mm: Finite
    probability: Probability
    slices: int
    alarming: int
    confirmed: bool
    findings: tuple[UUID, ...]
    peaks: tuple[Point, ...]


class SeriesState(Record):
    """One series of one patient: the set of its findings, and what it shows."""

    study_instance_uid: str | None = Field(None, alias="StudyInstanceUID")
    modality: str | None = Field(None, alias="Modality")
    images: int | None = None
    pitch_mm: Finite | None = None
    first_time: Moment | None = Field(None, description="event time of the first slice")
    received_first: Moment | None = Field(None, description="when its first frame was received")
    received_last: Moment | None = Field(
        None, description="when its newest frame was received, or its newest finding came, if later"
    )
    slices: dict[UUID, Slice] = Field(
        description="by finding id; states that lack them are of another form, and are not read"
    )
    left_out: int = Field(0, description="findings beyond what a series may hold")
    closed_at: int = Field(0, description="frames it had when it was first final; 0 before that")
    sealed: tuple[Seen, ...] | None = Field(
        None, description="its lesions, where retention has let go of the slices"
    )
    lungs: tuple[Lung, ...] = Field((), description="from the feet to the head, where sealed")
    assessment: Assessment | None = None
    question: UUID | None = Field(
        None, description="what models are asked of the assessment, where it is final"
    )
    evidence: dict[UUID, ModelEvidence] = Field(
        default_factory=dict, description="what models answered, also to questions of before"
    )


class Given(Record):
    """Who did something, and when."""

    action_id: UUID
    actor: str
    event_time: Moment


class Silence(Given):
    """A pause of an alarm's sound. lapsed : its end has been said."""

    until: Moment
    lapsed: bool = False


class Decision(Given):
    """What a clinician said to a recommendation."""

    sign_off: SignOff
    reason: str | None


class TherapyGiven(Given):
    """A therapy and who entered it."""

    therapy: Therapy


class RecommendationState(Record):
    """A recommendation that was said."""

    series_instance_uid: str = Field(alias="SeriesInstanceUID")
    about: str = Field(description="the series, or what of it: a lesion, a window of time")
    rule: str
    action: Adjustment
    text: str
    rationale: str
    evidence: tuple[UUID, ...]
    lesion_probability: Probability | None
    models: tuple[ModelView, ...] = Field((), description="what models say beside it")
    sign_off: SignOff
    withdrawn: bool = False


class AlarmState(Record):
    """An alarm that was started. `escalated`: raised because nobody attended to it."""

    about: str = Field(description="the series, or a lesion of it")
    category: Literal["clinical", "technical"] = "clinical"
    series_instance_uid: str = Field(alias="SeriesInstanceUID")
    priority: Priority
    cause: str
    text: str
    state: AlarmSituation
    inactivation: Inactivation
    since: Moment | None = Field(description="when the series' first frame was received")
    evidence: tuple[UUID, ...]
    escalated: bool = False
    paused_until: Moment | None = None


class Patient(Record):
    """All that is known of a patient."""

    kind: ClassVar[str] = "patient"

    patient_id: str = Field(alias="PatientID")
    version: Version = Version()
    generation: int = Field(0, description="of the consumer group when this was written")
    series: dict[str, SeriesState] = Field(default_factory=dict)
    acknowledgements: dict[UUID, Given] = Field(
        default_factory=dict, description="by alarm: the first"
    )
    silences: dict[UUID, Silence] = Field(
        default_factory=dict, description="by alarm: the one that lasts longest"
    )
    decisions: dict[UUID, Decision] = Field(
        default_factory=dict, description="by recommendation: the last"
    )
    therapies: tuple[TherapyGiven, ...] = Field((), description="in order of event time")
    recommendations: dict[UUID, RecommendationState] = Field(default_factory=dict)
    alarms: dict[UUID, AlarmState] = Field(default_factory=dict)

    def made(self, series: str) -> tuple[str | None, Moment | None]:
        """Return the study to which a series belongs, and when it was made; None: not known."""
        state = self.series.get(series)
        return (None, None) if state is None else (state.study_instance_uid, state.first_time)

    @classmethod
    def new(cls, patient_id: str, log: str) -> Self:
        """Return a patient of whom nothing is known yet, in the log of these topics."""
        return cls(patient_id=patient_id, version=Version(log=log))

    @property
    def edition(self) -> Edition:
        """Return which snapshot this is."""
        return Edition(version=self.version, generation=self.generation)
