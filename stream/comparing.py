"""The adviser that compares plans: which would shrink the largest target lesion most. Pure.

A plan that the site's data speak against for this patient is never named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines import EngineCard
from engines.effects import SIDE, Effect
from engines.errors import NotForecastable
from stream.consult import Advice
from stream.plans import Plan, contraindicated, is_plan, not_before
from stream.treatment import folded
from wire.assessment import Assessment, Lesion
from wire.evidence import PlanEffect

View = Callable[[Lesion, Assessment], NDArray[np.float32]]
"""Returns the picture of a lesion of an assessment; raises NotForecastable where there is none."""


class Compares(Protocol):
    """An engine that compares plans; `engines.effects.PlanEffects`."""

    card: EngineCard

    def effects(self, view: NDArray[np.float32]) -> tuple[Effect, ...]:
        """Return the effect of each plan, the best first; raises NotForecastable, EngineFailed."""


@dataclass(frozen=True, slots=True)
class PlanAdviser:
    """Asks an engine what each plan would do.

    plans : of the site; where it has none, those of the engine by their codes.
    view : finds a lesion's picture.
    """

    engine: Compares
    plans: Sequence[Plan]
    view: View
    subject: Final = "recommendation"

    @property
    def card(self) -> EngineCard:
        """The engine's card."""
        return self.engine.card

    @property
    def setting(self) -> str:
        """The site's plans."""
        return "|".join(plan.model_dump_json() for plan in self.plans)

    def advise(self, sheet: Assessment) -> Advice:
        """Compare the plans that may be named; see `stream.consult.Adviser`."""
        accepted = self.card.accepted
        if not accepted.accepts(modality=sheet.modality, sop_class_uid=None, body_part=None):
            raise NotForecastable(f"it was not made for modality {sheet.modality}")
        lesion = largest_target(sheet)
        allowed = [plan for plan in self._known() if not contraindicated(plan, sheet.treatment)]
        if not allowed:
            raise NotForecastable("no plan that it knows may be named for this patient")
        effects = self.engine.effects(self.view(lesion, sheet))
        by_code = {code: plan for code in self._codes() for plan in allowed if is_plan(plan, code)}
        said = tuple(
            PlanEffect(
                code=by_code[effect.plan].code,
                name=by_code[effect.plan].name,
                change=round(effect.change, 4),
                low=round(effect.low, 4),
                high=round(effect.high, 4),
                not_before=not_before(by_code[effect.plan], sheet.treatment, sheet.event_time),
            )
            for effect in effects
            if effect.plan in by_code
        )
        now = sheet.treatment.plan if sheet.treatment else None
        return Advice(
            _words(lesion, said, self.card, now), plans=said, findings=lesion.findings[:1]
        )

    def _known(self) -> list[Plan]:
        """Return the plans of which the engine says something."""
        if not self.plans:
            return [Plan(code=code, name=code) for code in self._codes()]
        return [p for p in self.plans if any(is_plan(p, code) for code in self._codes())]

    def _codes(self) -> tuple[str, ...]:
        return self.card.effect.plans if self.card.effect else ()


def largest_target(sheet: Assessment) -> Lesion:
    """Return the lesion that is looked at.

    Raises
    ------
    NotForecastable   no target is seen, or it is larger than a picture.
    """
    targets = [i for i in sheet.lesions if i.role == "target" and i.seen and i.diameter_mm]
    if not targets:
        raise NotForecastable("no target lesion was measured at this study")
    lesion = max(targets, key=lambda one: (one.diameter_mm or 0.0, one.label))
    if (lesion.diameter_mm or 0.0) > SIDE:
        raise NotForecastable(f"{lesion.label} is larger than the {SIDE} mm that it was taught")
    return lesion


def _words(lesion: Lesion, plans: Sequence[PlanEffect], card: EngineCard, now: str | None) -> str:
    """Say the best plan that may be started, the next best, what cannot be yet, and that of now."""
    days = card.effect.days if card.effect else 0.0
    noise = card.effect.noise if card.effect else 0.0
    free = [plan for plan in plans if plan.not_before is None]
    words = [f"{lesion.label} ({lesion.diameter_mm:.1f} mm), its diameter in {days:.0f} days"]
    words += [f"best {_effect(plan)}" for plan in free[:1]]
    words += [f"next best {_effect(plan)}" for plan in free[1:2]]
    if len(free) > 1 and free[1].change - free[0].change < noise:
        words.append("the two differ by less than the noise of a reading")
    words += [
        f"{_effect(plan)}, not before {plan.not_before:%Y-%m-%d}"
        for plan in plans
        if plan.not_before is not None
    ]
    words += [
        f"under the plan recorded, {_effect(plan)}"
        for plan in plans
        if now and folded(now) == folded(plan.code)
    ]
    return "; ".join(words)


def _effect(plan: PlanEffect) -> str:
    change, low, high = (_percent(share) for share in (plan.change, plan.low, plan.high))
    return f"{plan.name}: {change} (80 %: {low} to {high})"


def _percent(share: float) -> str:
    return f"{share:+.0%}" if round(100 * share) else "0%"
