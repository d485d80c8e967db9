"""What a policy is: assessments in, answers out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Literal, Protocol, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

from stream.assess import Standard
from stream.lesions import Confirmation
from stream.plans import Plan
from wire.patient import SeriesState
from wire.records import Adjustment, Limits, Priority

RAISED: Final[Mapping[Priority, int]] = {"low": 0, "medium": 1, "high": 2}
"""Priorities by rank."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing a policy says of one series.

    Attributes
    ----------
    about : makes the id, with policy, version and rule: the series, or a part of it.
    priority : of the alarm that comes with it; None for no alarm.
    treats : whether it is what the series as a whole says of the treatment: models are heard
        beside it.
    alarm_about : makes the alarm's id; empty: one alarm a series and rule.
    standing : whether it holds now, not only when the series was made.
    category : technical for what is wrong with the scan, not with the patient.
    """

    rule: str
    series_instance_uid: str
    about: str
    action: Adjustment
    text: str
    rationale: str
    evidence: tuple[UUID, ...]
    lesion_probability: float | None
    event_time: datetime | None
    priority: Priority | None
    standing: bool = True
    category: Literal["clinical", "technical"] = "clinical"
    alarm_about: str = ""
    treats: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """What a policy looks at: the series of one patient, each with its assessment if it has one.

    limits : the patient's own.
    """

    series: Sequence[tuple[str, SeriesState]]
    limits: Limits


class PolicyData(BaseModel):
    """What a site may change in any policy.

    Attributes
    ----------
    priorities : rule -> priority of its alarm, "none" for no alarm.
    escalate_low_after_min : an alarm of low priority that nobody attends to becomes medium then;
        null for never. Higher ones are not raised by time.
    silence_s, longest_silence_s : how long a silence lasts that does not say, and any may last.
    quiet_s, quiet_counted_s : a series is final when nothing came for so long: one of which the
        device said no count, and one that still lacks slices.
    plans : of treatment; those contraindicated for a patient are never named.
    disagreement : where a model points the other way than a rule, "show" says so, and the rule
        stays in force; "hold-back" takes the rule's action back until somebody decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    priorities: dict[str, Priority | str] = Field(default_factory=dict)
    escalate_low_after_min: NonNegativeFloat | None = 240.0
    silence_s: NonNegativeFloat = 120.0
    longest_silence_s: NonNegativeFloat = 1800.0
    quiet_s: NonNegativeFloat = 30.0
    quiet_counted_s: NonNegativeFloat = 300.0
    confirm_slices: PositiveInt = 2
    confirm_of: PositiveInt = 3
    least_diameter_mm: NonNegativeFloat = 6.0
    plans: tuple[Plan, ...] = ()
    disagreement: Literal["show", "hold-back"] = "show"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.confirm_slices > self.confirm_of:
            raise ValueError("confirm_slices cannot be more than confirm_of")
        for rule, priority in self.priorities.items():
            if priority not in (*RAISED, "none"):
                raise ValueError(f"priorities.{rule}: high, medium, low or none")
        codes = [plan.code for plan in self.plans]
        if len(set(codes)) < len(codes):
            raise ValueError("plans: each code stands for one plan")
        return self

    def priority(self, rule: str, usual: Priority | None) -> Priority | None:
        """Return the priority of a rule's alarm, as the site has it."""
        chosen = self.priorities.get(rule, usual)
        return next((priority for priority in RAISED if priority == chosen), None)

    def version(self, of_rules: str) -> str:
        """Return the version: of the rules, and of the data where a site changed them."""
        changed = self.model_dump(mode="json", exclude_defaults=True)
        if not changed:
            return of_rules
        data = json.dumps(changed, sort_keys=True).encode()
        return f"{of_rules}+{hashlib.sha256(data).hexdigest()[:8]}"

    @property
    def standard(self) -> Standard:
        """Return by what series are judged."""
        return Standard(Confirmation(self.confirm_slices, self.confirm_of), self.least_diameter_mm)


class Policy(Protocol):
    """One policy with its data."""

    NAME: ClassVar[str]
    RULES: ClassVar[tuple[str, ...]]

    @property
    def data(self) -> PolicyData:
        """What a site may change."""

    @property
    def version(self) -> str:
        """Version of rules and data."""

    def decide(self, case: Case) -> tuple[Answer, ...]:
        """Return all that is to be said of a patient. Pure; the order of series does not matter."""


def question_about(series_instance_uid: str, lesion: UUID) -> str:
    """Return what a question about one lesion of a series is about."""
    return f"{series_instance_uid}|{lesion}"


def order_of(uid: str, state: SeriesState) -> tuple[bool, datetime, str]:
    """Return what series are sorted by: event time, those without one last."""
    unknown = datetime.min
    return state.first_time is None, (state.first_time or unknown).replace(tzinfo=None), uid
