"""Treatment plans as a site's data: what speaks against each, and how soon it may be given again.

Pure. They stand in the TOML file of the policy, as ``[[plans]]``.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from stream.treatment import folded
from wire.assessment import Treatment


class Plan(BaseModel):
    """One plan of treatment.

    Attributes
    ----------
    code : as therapies name it.
    name : in words.
    contraindications : flags of a patient for whom it is never named.
    minimum_interval_days : between two starts of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(min_length=1)
    name: str = Field(min_length=1)
    contraindications: tuple[str, ...] = ()
    minimum_interval_days: NonNegativeFloat = 0.0


def contraindicated(plan: Plan, treatment: Treatment | None) -> bool:
    """Tell whether a patient's flags speak against a plan: then it is not named at all.

    However they are written: "Renal" is "renal".
    """
    if treatment is None:
        return False
    return bool(_folded(plan.contraindications) & _folded(treatment.flags))


def unknown_flags(flags: Iterable[str], plans: Sequence[Plan]) -> list[str]:
    """Return the flags that speak against none of a site's plans: perhaps they are misspelt."""
    known = _folded(word for plan in plans for word in plan.contraindications)
    return [flag for flag in flags if not _folded([flag]) & known]


def _folded(words: Iterable[str]) -> set[str]:
    return {folded(word) for word in words}


def not_before(plan: Plan, treatment: Treatment | None, when: datetime | None) -> datetime | None:
    """Return from when on a plan may be started again; None: at once, as far as is known."""
    starts = {} if treatment is None else treatment.started
    started = max((at for code, at in starts.items() if is_plan(plan, code)), default=None)
    if started is None or when is None:
        return None
    free = started + timedelta(days=plan.minimum_interval_days)
    return free if free > when else None


def nameable(code: str | None, plans: Sequence[Plan], treatment: Treatment | None) -> bool:
    """Tell whether a plan may be named: no site's data speak against it."""
    return not any(is_plan(plan, code) and contraindicated(plan, treatment) for plan in plans)


def is_plan(plan: Plan, code: str | None) -> bool:
    """Tell whether a code, however it is written, is that of a plan."""
    return code is not None and folded(code) == folded(plan.code)
