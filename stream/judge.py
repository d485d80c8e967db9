"""From facts to words: assessments, recommendations and alarms of one patient.

Pure. All of it is a function of the facts and the policy; what is said is the difference to what
was known before. So the order and the repetition of facts leave no trace.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

from stream.alarms import alarm_id, reconcile, said_id
from stream.assess import assess, so_far
from stream.beside import beside
from stream.plans import nameable
from stream.policies import Answer, Case, Policy, question_about
from stream.series import complete
from stream.treatment import limits_of, treatment_of
from wire.assessment import Assessment
from wire.errors import Reason
from wire.evidence import question_id
from wire.patient import Decision, Patient, RecommendationState, SeriesState
from wire.records import Alert, Recommendation, SignOff

Spoken = Assessment | Recommendation | Alert


UNFIT_SLICES, UNFIT_SHARE = 5, 0.1
"""So many slices of a series, and such a part of it, may not be scored before somebody is told."""


def judge(
    patient: Patient, policy: Policy, changed: Collection[str], *, assess_anew: bool = True
) -> tuple[Patient, list[Spoken]]:
    """Judge a patient anew.

    Parameters
    ----------
    changed : series that have changed; where it is not one, anything may have.
    assess_anew : False where nothing that assessments are made of has changed.
    """
    one = next(iter(changed)) if len(changed) == 1 else None
    assessments: list[Assessment] = []
    if assess_anew:
        patient, assessments = _assessed(patient, policy, one)
    case = Case(list(patient.series.items()), limits_of(patient.therapies))
    answers = {
        said_id(patient.patient_id, policy, answer.rule, "start", answer.about): answer
        for answer in policy.decide(case)
    }
    patient, recommendations = _recommended(patient, policy, answers)
    alarming = {
        alarm_id(patient.patient_id, policy, answer): answer
        for answer in [*answers.values(), *unfit_series(patient.series)]
        if answer.priority is not None
    }
    patient, alerts = reconcile(patient, policy, alarming, changed)
    return patient, [*assessments, *recommendations, *alerts]


def unfit_series(series: Mapping[str, SeriesState]) -> Iterator[Answer]:
    """Yield a technical alarm for each series of which too many slices cannot be scored.

    Slices without lungs are none of them: every chest has some.
    """
    for uid, state in series.items():
        reasons = [seen.reason for seen in state.slices.values() if seen.reason is not None]
        unfit = sum(reason is not Reason.NO_LUNGS for reason in reasons)
        sheet = state.assessment
        missing = sheet.missing if sheet is not None and complete(state) else 0
        whole = state.images or (len(state.slices) + missing if complete(state) else None)
        bad = unfit + missing + state.left_out
        if whole is None or bad < max(UNFIT_SLICES, UNFIT_SHARE * whole):
            continue
        causes = Counter(r.value for r in reasons if r is not Reason.NO_LUNGS)
        causes.update(missing=missing, left_out=state.left_out)
        commonest, _ = causes.most_common(1)[0]
        yield Answer(
            rule="slices-not-scored",
            series_instance_uid=uid,
            about=uid,
            action="none",
            text="slices of this series were not looked at: lesions may be missed",
            rationale=f"{bad} of {whole} slices, most often: {commonest}",
            evidence=(),
            lesion_probability=None,
            event_time=state.first_time,
            priority="low",
            category="technical",
        )


def _assessed(
    patient: Patient, policy: Policy, changed: str | None
) -> tuple[Patient, list[Assessment]]:
    standard = policy.data.standard
    least = limits_of(patient.therapies).least_diameter_mm
    if least is not None:
        standard = standard.with_least(least)
    sheets: dict[str, Assessment | None] = {}
    state = patient.series.get(changed) if changed is not None else None
    if state is None or complete(state) or _was_final(state):
        sheets |= assess(
            patient.patient_id,
            patient.series,
            standard=standard,
            therapies=_therapies(patient),
            treated=lambda until: treatment_of(patient.therapies, until),
            verdict=lambda claim, uid, lesion: _verdict(patient, policy, claim, uid, lesion),
        )
    for uid in patient.series if state is None else [changed]:
        if uid is not None and uid not in sheets:
            sheets[uid] = so_far(patient.patient_id, uid, patient.series[uid], standard)
    series = dict(patient.series)
    said = []
    for uid, sheet in sheets.items():
        before = series[uid].assessment
        if sheet != before:
            final = sheet if sheet is not None and sheet.stage == "final" else None
            question = None if final is None else question_id(final)
            asked = {"assessment": sheet, "question": question}
            series[uid] = series[uid].model_copy(update=asked)
            if sheet is not None and _is_news(before, sheet):
                said.append(sheet)
    return patient.model_copy(update={"series": series}), said


def _was_final(state: SeriesState) -> bool:
    return state.assessment is not None and state.assessment.stage == "final"


def _is_news(before: Assessment | None, now: Assessment) -> bool:
    """Tell whether an assessment is worth a message: each slice makes another that is not final."""
    if now.stage == "final" or before is None:
        return True
    return (before.stage, before.confirmed) != (now.stage, now.confirmed)


def _therapies(patient: Patient) -> tuple[datetime, ...]:
    return tuple(
        sorted({given.therapy.start for given in patient.therapies if given.therapy.start})
    )


def _verdict(patient: Patient, policy: Policy, claim: str, uid: str, lesion: UUID) -> SignOff:
    """Return what a clinician said to a question about a lesion, by whichever policy it was asked.

    The question may come after its answer; then its id is known all the same.
    """
    about = question_about(uid, lesion)
    asked = {said_id(patient.patient_id, policy, claim, "start", about)}
    asked |= {
        said
        for said in patient.decisions
        if (known := patient.recommendations.get(said)) is not None
        and (known.rule, known.about) == (claim, about)
    }
    answers = [patient.decisions[said] for said in asked if said in patient.decisions]
    last = max(answers, key=lambda given: (given.event_time, str(given.action_id)), default=None)
    return last.sign_off if last is not None else "needs-sign-off"


def _recommended(
    patient: Patient, policy: Policy, answers: Mapping[UUID, Answer]
) -> tuple[Patient, list[Recommendation]]:
    known = dict(patient.recommendations)
    said: list[Recommendation] = []
    for about, ruled in answers.items():
        before = known.get(about)
        series = patient.series[ruled.series_instance_uid]
        answer, models = beside(ruled, series, policy.data, decided=about in patient.decisions)
        now = RecommendationState(
            series_instance_uid=answer.series_instance_uid,
            about=answer.about,
            rule=answer.rule,
            action=answer.action,
            text=answer.text,
            rationale=answer.rationale,
            evidence=answer.evidence,
            lesion_probability=answer.lesion_probability,
            models=models,
            sign_off=before.sign_off if before else "needs-sign-off",
        )
        known[about] = now
        if before is None or before.withdrawn:
            said.append(_said(patient, policy, about, now, "start"))
        elif before.models != models:
            said.append(_said(patient, policy, about, now, "update"))
    for about, state in known.items():
        decision = patient.decisions.get(about)
        if decision is not None:
            if decision.sign_off != state.sign_off:
                known[about] = state.model_copy(update={"sign_off": decision.sign_off})
                said.append(_said(patient, policy, about, known[about], "update", decision))
        elif about not in answers and not state.withdrawn and not _let_go(patient, state):
            known[about] = state.model_copy(update={"withdrawn": True})
            said.append(_said(patient, policy, about, known[about], "end"))
    return patient.model_copy(update={"recommendations": known}), said


def _let_go(patient: Patient, state: RecommendationState) -> bool:
    """Tell whether retention has taken the slices that a recommendation rests on."""
    series = patient.series.get(state.series_instance_uid)
    return series is None or series.sealed is not None


def _said(
    patient: Patient,
    policy: Policy,
    about: UUID,
    state: RecommendationState,
    phase: Literal["start", "update", "end"],
    decision: Decision | None = None,
) -> Recommendation:
    study, made = patient.made(state.series_instance_uid)
    plan = patient.therapies[-1].therapy.plan if patient.therapies else None
    rationale, evidence, name = state.rationale, state.evidence, f"{about}"
    treatment = treatment_of(patient.therapies, None)
    if phase == "update":
        name = "|".join([f"{about}", *(view.model_dump_json() for view in state.models)])
        stands = patient.decisions.get(about)
        rationale = rationale if stands is None else f"{_decided(stands)}; {rationale}"
    if decision is not None:
        name = f"{about}|{decision.action_id}"
        evidence = (*evidence, decision.action_id)
    if phase == "end":
        rationale = f"withdrawn, what is known now says otherwise; {rationale}"
    return Recommendation(
        id=about
        if phase == "start"
        else said_id(patient.patient_id, policy, state.rule, phase, name),
        recommendation_id=about,
        patient_id=patient.patient_id,
        study_instance_uid=study,
        series_instance_uid=state.series_instance_uid,
        action=state.action,
        text=state.text,
        plan=plan if nameable(plan, policy.data.plans, treatment) else None,
        rationale=rationale,
        evidence=evidence,
        lesion_probability=state.lesion_probability,
        confidence=None,
        models=state.models,
        policy_name=policy.NAME,
        policy_version=policy.version,
        rule=state.rule,
        phase=phase,
        event_time=made,
        sign_off=state.sign_off,
    )


def _decided(decision: Decision) -> str:
    reason = f": {decision.reason}" if decision.reason else ""
    return f"{decision.sign_off} by {decision.actor}{reason}"
