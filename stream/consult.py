"""From a final assessment to what a treatment model says of it.

A function of the assessment, the engine and, where the engine looks at one, the picture: the course
of the target lesions and the treatment stand in the assessment. What the engine was not made for
gets an abstention with the reason.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from engines import EngineCard, EngineFailed
from engines.errors import NotForecastable
from wire.assessment import Assessment
from wire.evidence import (
    ForecastSum,
    ModelEvidence,
    ModelUsed,
    PlanEffect,
    evidence_id,
    question_id,
)
from wire.records import Adjustment


@dataclass(frozen=True, slots=True)
class Advice:
    """What an adviser says; see `wire.evidence.ModelEvidence`."""

    text: str
    leans: Adjustment = "none"
    forecast: ForecastSum | None = None
    plans: tuple[PlanEffect, ...] = ()
    findings: tuple[UUID, ...] = ()
    notes: tuple[str, ...] = ()


class Adviser(Protocol):
    """An engine, and what it is asked about an assessment."""

    @property
    def card(self) -> EngineCard:
        """The engine's card."""

    @property
    def subject(self) -> str:
        """What is not given where it abstains: "forecast", "recommendation"."""

    @property
    def setting(self) -> str:
        """What a site set that its answers depend on."""

    def advise(self, sheet: Assessment) -> Advice:
        """Return what the engine says; raises NotForecastable, EngineFailed."""


def consult(sheet: Assessment, adviser: Adviser) -> ModelEvidence:
    """Return what an adviser says of a final assessment, or why it says nothing."""
    try:
        return _evidence(sheet, adviser, adviser.advise(sheet))
    except NotForecastable as error:
        return abstention(sheet, adviser, str(error))
    except EngineFailed as error:
        return abstention(sheet, adviser, f"the engine failed ({error})")


def abstention(sheet: Assessment, adviser: Adviser, reason: str) -> ModelEvidence:
    """Return that an adviser says nothing of an assessment, and why."""
    said = Advice(f"no {adviser.subject}, because {reason}")
    return _evidence(sheet, adviser, said, reason)


def _evidence(
    sheet: Assessment, adviser: Adviser, said: Advice, reason: str | None = None
) -> ModelEvidence:
    card = adviser.card
    used = ModelUsed(name=card.name, version=card.version, sha256=card.sha256, task=card.task)
    question = question_id(sheet)
    return ModelEvidence(
        id=evidence_id(question, used, adviser.setting),
        question=question,
        patient_id=sheet.patient_id,
        study_instance_uid=sheet.study_instance_uid,
        series_instance_uid=sheet.series_instance_uid,
        event_time=sheet.event_time,
        assessment_id=sheet.id,
        engine=used,
        simulated=card.simulated,
        status="answered" if reason is None else "abstained",
        reason=reason,
        text=f"SIMULATED. {said.text}" if card.simulated else said.text,
        leans="none" if card.simulated else said.leans,
        forecast=said.forecast,
        plans=said.plans,
        findings=said.findings,
        notes=said.notes,
    )
