"""What treatment models say beside a rule: shown, compared, and by default without force. Pure."""

from dataclasses import replace

from stream.plans import nameable
from stream.policies import Answer, PolicyData
from wire.evidence import ModelEvidence
from wire.patient import SeriesState
from wire.records import Adjustment, ModelView

OPPOSITES = {"intensify", "maintain-or-reduce"}
HELD_BACK = "rule and model disagree: decide by hand"


def beside(
    answer: Answer, state: SeriesState, data: PolicyData, *, decided: bool
) -> tuple[Answer, tuple[ModelView, ...]]:
    """Return a rule's answer, and what models say beside it.

    The answer is as it was, but that a disagreement is told in its rationale; where the policy says
    so, its action is held back until a clinician has `decided`. Models of a simulation change
    nothing (`wire.evidence`: they point nowhere).
    """
    if not answer.treats:
        return answer, ()
    views = tuple(_view(said, answer.action) for said in _answers(state, data))
    against = [view for view in views if view.agrees is False]
    if against:
        words = "; ".join(f"{view.engine} sees it otherwise: {view.text}" for view in against)
        answer = replace(answer, rationale=f"{answer.rationale}; {words}")
        if data.disagreement == "hold-back" and not decided:
            rationale = f"the rule says: {answer.text}; {answer.rationale}"
            answer = replace(answer, action="none", text=HELD_BACK, rationale=rationale)
    evidence = (*answer.evidence, *(view.evidence_id for view in views))
    return replace(answer, evidence=evidence), views


def _answers(state: SeriesState, data: PolicyData) -> list[ModelEvidence]:
    """Return the answers to the question that stands, one a task: of the latest engine.

    Those of a simulation come last. One that names a plan that may not be named by what the site
    says now is not heard.
    """
    treatment = state.assessment.treatment if state.assessment is not None else None
    latest: dict[str, ModelEvidence] = {}
    for said in sorted(state.evidence.values(), key=_version):  # of one version the last that came
        may = all(nameable(plan.code, data.plans, treatment) for plan in said.plans)
        if said.question == state.question and may:
            latest[said.engine.task] = said
    return sorted(latest.values(), key=lambda said: (said.simulated, said.engine.task))


def _version(said: ModelEvidence) -> tuple[int, ...]:
    return tuple(int(part) for part in said.engine.version.split(".") if part.isdigit())


def _view(said: ModelEvidence, action: Adjustment) -> ModelView:
    agrees = None
    if said.leans in OPPOSITES and action in OPPOSITES:
        agrees = said.leans == action
    return ModelView(
        evidence_id=said.id,
        engine=f"{said.engine.name} {said.engine.version}",
        simulated=said.simulated,
        text=said.text,
        agrees=agrees,
    )
