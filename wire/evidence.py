"""What a treatment model says of a final series, beside the policy's rules."""

from typing import ClassVar, Literal, Self
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import Field, model_validator

from wire.assessment import Assessment
from wire.records import Adjustment, Finite, Moment, Probability, Record


class ModelUsed(Record):
    """The engine that was asked."""

    name: str
    version: str
    sha256: str = Field(description="of model.onnx")
    task: str


class ForecastSum(Record):
    """What the next study may show of the target lesions."""

    days: Finite = Field(ge=0, description="from this study to the one that is forecast")
    sum_mm: Finite = Field(ge=0, description="now")
    next_sum_mm: Finite = Field(ge=0, description="median of the forecast")
    q10_mm: Finite = Field(ge=0)
    q90_mm: Finite = Field(ge=0)
    progression_probability: Probability = Field(
        description="that it is progressive disease by RECIST 1.1 against the nadir so far"
    )


class PlanEffect(Record):
    """What a plan is expected to do to a lesion."""

    code: str
    name: str
    change: Finite = Field(ge=-1, description="of the diameter, as a share: -0.2 a fifth smaller")
    low: Finite = Field(ge=-1, description="80 % of patients lie between low and high")
    high: Finite = Field(ge=-1)
    not_before: Moment | None = Field(description="its minimum interval is not over before then")


class ModelEvidence(Record):
    """One engine's answer about one final series, or why it gives none."""

    kind: ClassVar[str] = "model-evidence"

    id: UUID
    question: UUID = Field(description="what was asked: `question_id` of the assessment")
    patient_id: str = Field(alias="PatientID")
    study_instance_uid: str | None = Field(alias="StudyInstanceUID")
    series_instance_uid: str = Field(alias="SeriesInstanceUID")
    event_time: Moment | None
    assessment_id: UUID
    engine: ModelUsed
    simulated: bool = Field(description="the engine was trained on a simulation")
    status: Literal["answered", "abstained"]
    reason: str | None = Field(description="why it abstained")
    text: str
    leans: Adjustment = Field(description="which way its answer points; none: neither")
    forecast: ForecastSum | None = None
    plans: tuple[PlanEffect, ...] = Field(
        (), description="that may be named for this patient, the best first"
    )
    findings: tuple[UUID, ...] = Field((), description="whose pixels were looked at")
    notes: tuple[str, ...] = Field(description="what the answer takes for granted")
    decision_support_only: Literal[True] = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.status == "abstained") != (self.reason is not None):
            raise ValueError("a reason is given if and only if the engine abstained")
        if self.leans != "none" and (self.simulated or self.status == "abstained"):
            raise ValueError("an abstention or a simulated engine points nowhere")
        return self


def question_id(sheet: Assessment) -> UUID:
    """Return what is asked of models with an assessment: they answer the same to the same.

    An assessment keeps its id when a therapy is entered; the question becomes another.
    """
    asked = sheet.model_dump_json(
        include={"id", "course", "treatment", "event_time", "lesions", "modality"}
    )
    return uuid5(NAMESPACE_OID, f"question|{asked}")


def evidence_id(question: UUID, engine: ModelUsed, setting: str) -> UUID:
    """Return the id of what an engine answers to a question.

    Parameters
    ----------
    setting : what else the answer depends on: how far on the next study is, the site's plans.
    """
    return uuid5(question, f"{engine.name}|{engine.version}|{engine.sha256}|{setting}")
