"""Policy `longitudinal`: what has become of the lesions since the studies before.

A final series gets one answer, by RECIST 1.1 and by the trend; the first row that fits counts. A
series that still comes in says one thing only: that a lesion is there where none was known.
Priorities are by harm and urgency, not by probability: nothing here harms within minutes, so no
rule is high unless a site says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Final

from pydantic import NonNegativeFloat

from stream.assess import alarming
from stream.policies.protocol import Answer, Case, PolicyData, order_of, question_about
from stream.series import complete, scored
from wire.assessment import NO_COMPARISON, Assessment, Lesion, Response, Trend
from wire.patient import SeriesState
from wire.records import Adjustment, Limits, Priority

RULES_VERSION: Final = "1"


SCREEN: Final = 0.5
"""Each engine's `screen`, by construction: its calibration is shifted so."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what is said of a final series that fits; None or empty fits all.

    asked : whether a clinician is asked of a lesion; found : whether lesions large enough to judge
    are there.
    """

    name: str
    action: Adjustment
    text: str
    alarm: Priority | None
    response: tuple[Response, ...] = ()
    trend: tuple[Trend, ...] = ()
    asked: bool | None = None
    found: bool | None = None


LESION_FOUND = Rule(
    "lesion-found",
    "none",
    "lesion seen: have the series read",
    "low",
    response=(NO_COMPARISON,),
    found=True,
)
NOTHING_FOUND = Rule("nothing-found", "none", "no lesion found that is large enough to judge", None)
RULES = (
    Rule("progressive-disease", "intensify", "intensify treatment", "medium", ("PD",)),
    Rule(
        "growing-lesion",
        "none",
        "lesion grows, not yet progression: review the treatment early",
        "low",
        ("SD", "PR", "NE", "non-CR/non-PD", NO_COMPARISON),
        ("growing",),
    ),
    Rule("held-back", "none", "answer the questions about its lesions first", None, asked=True),
    Rule("response", "maintain-or-reduce", "maintain or reduce treatment", None, ("CR", "PR")),
    Rule(
        "stable-disease",
        "maintain-or-reduce",
        "maintain treatment",
        None,
        ("SD", "non-CR/non-PD"),
    ),
    LESION_FOUND,
    Rule(
        "not-evaluable",
        "none",
        "response cannot be evaluated: have the series read",
        None,
        ("NE",),
    ),
    NOTHING_FOUND,
)
"""For a final series; the first row that fits counts, and the last fits all."""

SUSPICIOUS = Rule("suspicious-frames", "none", "suspicious frames: have the series read", "low")
LIMIT = Rule("limit-exceeded", "none", "the limit set for this patient is reached", "medium")
QUESTIONS = {
    "new-lesion": Rule("new-lesion", "none", "confirm or reject the new lesion", "low"),
    "lesion-gone": Rule("lesion-gone", "none", "confirm or reject that the lesion is gone", None),
}
"""One for each lesion of which a clinician has to say something, beside the series' answer."""


class LongitudinalData(PolicyData):
    """Its data.

    Attributes
    ----------
    cool_down_h : event time in which a rule alarms once: two series of one study are one event.
    """

    cool_down_h: NonNegativeFloat = 24.0


@dataclass(frozen=True, slots=True)
class Longitudinal:
    """The policy."""

    NAME: ClassVar[str] = "longitudinal"
    RULES: ClassVar[tuple[str, ...]] = (
        *(rule.name for rule in RULES),
        *QUESTIONS,
        SUSPICIOUS.name,
        LIMIT.name,
    )

    data: LongitudinalData

    @property
    def version(self) -> str:
        """Version of rules and data."""
        return self.data.version(RULES_VERSION)

    def decide(self, case: Case) -> tuple[Answer, ...]:
        """Return one answer for each final series, and what is seen in those that come in."""
        ordered = sorted(case.series, key=lambda item: order_of(*item))
        measured = {_study(uid, state) for uid, state in ordered if scored(state)}
        standing = _standing(ordered)
        answers: list[Answer] = []
        known = suspicious = False
        for uid, state in ordered:
            if not scored(state) and _study(uid, state) in measured:
                continue  # a localizer, or what else a study holds that nobody measures on
            before, stands = suspicious, uid in standing
            suspicious = self._suspicious(state, before=before)
            rules = [(SUSPICIOUS, None if before else SUSPICIOUS.alarm)] if suspicious else []
            rule = self._of_lesions(state, case.limits, known=known)
            if rule is not None and not (suspicious and rule is NOTHING_FOUND):
                rules.append((rule, rule.alarm))
            main = rules[-1][0] if rules and complete(state) else None
            if state.assessment is not None and _exceeds(state.assessment, case.limits):
                rules.append((LIMIT, LIMIT.alarm))
            for rule, alarm in rules:
                answer = self._answer(rule, alarm, uid, state, standing=stands)
                answers.append(replace(answer, treats=rule is main))
            answers += self._questions(uid, state, standing=stands)
            known = known or _final_with_lesions(state)
        return tuple(self._cooled(answers))

    def _of_lesions(self, state: SeriesState, limits: Limits, *, known: bool) -> Rule | None:
        """Return what is said of a series by its lesions."""
        sheet = state.assessment
        if sheet is None:
            return None
        if sheet.stage == "final":
            return next(rule for rule in RULES if _fits(rule, sheet))
        least = limits.least_diameter_mm
        least = self.data.least_diameter_mm if least is None else least
        large = any((lesion.diameter_mm or 0) >= least for lesion in sheet.lesions)
        return LESION_FOUND if large and not known else None

    def _questions(self, uid: str, state: SeriesState, *, standing: bool) -> Iterator[Answer]:
        """Yield a question for each lesion of a final series that needs one."""
        sheet = state.assessment
        if sheet is None or sheet.stage != "final":
            return
        for lesion in sheet.lesions:
            if lesion.asked is not None:
                rule = QUESTIONS[lesion.asked]
                answer = self._answer(rule, rule.alarm, uid, state, standing=standing)
                yield replace(
                    answer,
                    about=question_about(uid, lesion.id),
                    alarm_about=question_about(uid, lesion.id),
                    text=f"{rule.text} {lesion.label}",
                    rationale=_of_lesion(lesion),
                    evidence=(sheet.id, *lesion.findings),
                    lesion_probability=lesion.probability,
                )

    def _suspicious(self, state: SeriesState, *, before: bool) -> bool:
        """Tell whether a patient is suspicious by frames alone: with hysteresis."""
        if alarming(state, self.data.standard.confirmation):
            return True
        unplaced = [seen for seen in state.slices.values() if not seen.marks]
        scores = [seen.probability for seen in unplaced if seen.probability is not None]
        return before and (not complete(state) or max(scores, default=0.0) >= SCREEN)

    def _answer(
        self, rule: Rule, alarm: Priority | None, uid: str, state: SeriesState, *, standing: bool
    ) -> Answer:
        sheet = state.assessment
        scored = [(s.probability, f) for f, s in state.slices.items() if s.probability]
        likeliest = max(scored, default=None)
        evidence = [sheet.id] if sheet else []
        evidence += [likeliest[1]] if likeliest else []
        return Answer(
            rule=rule.name,
            series_instance_uid=uid,
            about=uid,
            action=rule.action,
            text=rule.text,
            rationale=_rationale(rule, state),
            evidence=tuple(evidence),
            lesion_probability=likeliest[0] if likeliest else None,
            event_time=state.first_time,
            priority=self.data.priority(rule.name, alarm),
            standing=standing,
        )

    def _cooled(self, answers: list[Answer]) -> Iterator[Answer]:
        """Take the alarm off what a rule has alarmed of already, within the cool-down."""
        last: dict[str, tuple[datetime, str]] = {}
        for answer in answers:
            when = answer.event_time
            if answer.priority is None or when is None or not answer.standing:
                yield answer
                continue
            uid = answer.series_instance_uid
            since, of = last.get(answer.rule, (None, ""))
            cool = timedelta(hours=self.data.cool_down_h)
            if since is not None and of != uid and when - since < cool:
                yield replace(answer, priority=None)
                continue
            last[answer.rule] = (when, uid)
            yield answer


def _fits(rule: Rule, sheet: Assessment) -> bool:
    return (
        (not rule.response or sheet.response in rule.response)
        and (not rule.trend or sheet.trend in rule.trend)
        and rule.asked in (None, sheet.suspected)
        and rule.found in (None, _judged(sheet))
    )


def _judged(sheet: Assessment) -> bool:
    return any(lesion.role in ("target", "non-target", "new") for lesion in sheet.lesions)


def _final_with_lesions(state: SeriesState) -> bool:
    sheet = state.assessment
    return sheet is not None and sheet.stage == "final" and _judged(sheet)


def _exceeds(sheet: Assessment, limits: Limits) -> bool:
    return limits.sum_mm is not None and (sheet.sum_mm or 0.0) >= limits.sum_mm


def _standing(ordered: Sequence[tuple[str, SeriesState]]) -> set[str]:
    """Return the series whose answers stand: of each modality those of the newest final study.

    And what is newer. Series without a scored slice make nothing old.
    """
    found: set[str] = set()
    for modality in {state.modality for _, state in ordered}:
        mine = [item for item in ordered if item[1].modality == modality]
        final = [n for n, (_, state) in enumerate(mine) if complete(state) and scored(state)]
        newest = _study(*mine[final[-1]]) if final else None
        found |= {
            uid
            for n, (uid, state) in enumerate(mine)
            if not final or n > final[-1] or _study(uid, state) == newest
        }
    return found


def _study(uid: str, state: SeriesState) -> str:
    return state.study_instance_uid or uid


def _of_lesion(lesion: Lesion) -> str:
    """Say in words what is known of a lesion."""
    if not lesion.seen:
        before = lesion.nadir_mm or lesion.baseline_mm
        return "not seen: gone or missed" + (f", {before:.1f} mm at its least" if before else "")
    return (
        f"{lesion.diameter_mm or 0:.1f} mm in {lesion.slices} slices, "
        f"{lesion.alarming_slices} at the alarm point, probability {lesion.probability or 0:.2f}"
    )


def _rationale(rule: Rule, state: SeriesState) -> str:
    """Say in words what the answer rests on."""
    sheet = state.assessment
    if sheet is None or rule is SUSPICIOUS:
        return "frames at the engine's alarm point in neighbouring slices"
    words: list[str] = []
    if sheet.response != NO_COMPARISON:
        words.append(f"RECIST 1.1: {sheet.response}")
    if sheet.sum_mm is not None and sheet.baseline_sum_mm and sheet.change_percent is not None:
        since = f", {sheet.change_percent:+.0f} % since baseline"
        baseline = sheet.baseline_series == sheet.series_instance_uid
        words.append(f"target lesions {sheet.sum_mm:.1f} mm{'' if baseline else since}")
    if sheet.stage != "final" or rule is LESION_FOUND:
        large = sorted(
            (i for i in sheet.lesions if i.role != "unconfirmed" and i.diameter_mm),
            key=lambda lesion: -(lesion.diameter_mm or 0.0),
        )
        words += [
            f"{i.diameter_mm:.1f} mm in {i.slices} slices, probability {i.probability or 0:.2f}"
            for i in large[:3]
        ]
    words += sheet.clauses
    words += sheet.quality
    return "; ".join(dict.fromkeys(words))
