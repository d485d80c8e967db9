"""What a series shows once its slices are put together, and what has become of it since."""

from typing import ClassVar, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import Field

from wire.records import Finite, Moment, Probability, Record

NO_COMPARISON: Final = "no comparison yet"

Response = Literal["CR", "PR", "SD", "PD", "NE", "non-CR/non-PD", "no comparison yet"]
"""RECIST 1.1, tables 1 and 2; without a baseline there is nothing to compare with."""

Role = Literal["target", "non-target", "new", "minor", "found", "unconfirmed"]

Trend = Literal["growing", "shrinking", "stable", "unknown"]


class Point(NamedTuple):
    """A place in the patient's coordinates (LPS), mm."""

    x_mm: Finite
    y_mm: Finite
    z_mm: Finite


class Lesion(Record):
    """One lesion of one series, followed from study to study."""

    id: UUID = Field(description="the same in every study in which it is found again")
    label: str = Field(description="L1, L2, ... of this patient, in the order they were found")
    role: Role = Field(
        description="in RECIST 1.1. minor: followed, but smaller than what the policy judges, or "
        "rejected by a clinician; found: in a series that still comes in; unconfirmed: too few "
        "slices show it at the alarm point, not followed"
    )
    asked: Literal["new-lesion", "lesion-gone"] | None = Field(
        None, description="what a clinician is asked of it, and has not answered yet"
    )
    seen: bool
    x_mm: Finite | None
    y_mm: Finite | None
    z_mm: Finite | None
    diameter_mm: Finite | None = Field(
        description="longest on an axial slice; null where it is not seen and nothing may be "
        "assumed; 5 where it is too small to measure (RECIST 1.1, 4.3.2)"
    )
    uncertainty_mm: Finite | None = Field(description="half-width of the diameter's 95 % interval")
    extent_mm: Finite | None = Field(description="from its first slice to its last")
    baseline_mm: Finite | None = None
    nadir_mm: Finite | None = None
    change_percent: Finite | None = Field(None, description="of the diameter since baseline")
    doubling_time_days: Finite | None = Field(
        None, description="of the volume since the study before; null within the uncertainty"
    )
    probability: Probability | None
    slices: int = Field(description="that show it")
    alarming_slices: int = Field(description="of these at or above the engine's alarm point")
    findings: tuple[UUID, ...] = Field(description="that stand for it, most probable first")


class CourseVisit(Record):
    """The target lesions at one study."""

    event_time: Moment | None
    sum_mm: Finite | None = Field(description="of their diameters; null: not evaluated")


class Treatment(Record):
    """What a patient is treated with from a study on, as it was entered by actions."""

    plan: str | None
    start: Moment | None
    flags: tuple[str, ...] = Field(description="what speaks against some plans, as known now")
    started: dict[str, Moment] = Field(description="plan -> when it was last started")


class Assessment(Record):
    """A series as a whole: early and updated while slices arrive, final when all are there."""

    kind: ClassVar[str] = "assessment"

    id: UUID
    patient_id: str = Field(alias="PatientID")
    study_instance_uid: str | None = Field(alias="StudyInstanceUID")
    series_instance_uid: str = Field(alias="SeriesInstanceUID")
    modality: str | None = Field(alias="Modality")
    stage: Literal["early", "updated", "final"]
    version: int = Field(ge=0, description="of the final; 0 before it. A late slice makes the next")
    event_time: Moment | None = Field(description="acquisition of the first slice")
    images: int | None = Field(description="of the series, as the device said")
    frames: int = Field(description="that have a finding")
    not_scored: dict[str, int] = Field(description="reason -> frames")
    missing: int = Field(description="slices that never came, by count or by gaps between them")
    quality: tuple[str, ...] = Field(description="what is wrong with the series, in words")
    uid_reused: bool = Field(description="one SOPInstanceUID came with different pixels")
    lesion_probability: Probability | None = Field(description="greatest of all frames")
    lesions: tuple[Lesion, ...] = Field(max_length=64, description="followed ones first")
    confirmed: int = Field(description="lesions at the alarm point in k of n neighbouring slices")
    sum_mm: Finite | None = Field(description="of the target lesions' diameters")
    baseline_series: str | None
    baseline_sum_mm: Finite | None
    nadir_sum_mm: Finite | None = Field(
        description="least sum before this study, baseline included"
    )
    change_percent: Finite | None = Field(description="of the sum since baseline")
    course: tuple[CourseVisit, ...] = Field(
        (), description="the same target lesions from the baseline to this study"
    )
    treatment: Treatment | None = None
    response: Response
    suspected: bool = Field(
        description="a lesion appeared or is gone: a clinician has to confirm it first"
    )
    clauses: tuple[str, ...] = Field(description="why, in words, with the clause of RECIST 1.1")
    trend: Trend = Field(description="of the sum since the study before, beyond its uncertainty")
    decision_support_only: Literal[True] = True
