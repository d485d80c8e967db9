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

from stream.assess import alarming, complete
from stream.policies.protocol import Answer, Case, PolicyData, order_of
from wire.assessment import NO_COMPARISON, Assessment, Response, Trend
from wire.patient import SeriesState
from wire.records import Adjustment, Limits, Priority

RULES_VERSION: Final = "1"


SCREEN: Final = 0.5
"""Each engine's `screen`, by construction: its calibration is shifted so."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what is said of a final series that fits; None or empty fits all.

    new : whether a new lesion is suspected; gone : whether one may be gone; found : whether lesions
    large enough to judge are there.
    """

    name: str
    action: Adjustment
    text: str
    alarm: Priority | None
    response: tuple[Response, ...] = ()
    trend: tuple[Trend, ...] = ()
    new: bool | None = None
    gone: bool | None = None
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
SUSPICIOUS = Rule("suspicious-frames", "none", "suspicious frames: have the series read", "low")
LIMIT = Rule("limit-exceeded", "none", "the limit set for this patient is reached", "medium")

RULES = (
    Rule("progressive-disease", "intensify", "intensify treatment", "medium", ("PD",)),
    Rule("new-lesion", "none", "confirm or reject the new lesion", "low", new=True),
    Rule("lesion-gone", "none", "confirm or reject that the lesion is gone", None, gone=True),
    Rule(
        "growing-lesion",
        "none",
        "lesion grows, not yet progression: review the treatment early",
        "low",
        ("SD", "PR", "non-CR/non-PD"),
        ("growing",),
    ),
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
        "not-evaluable", "none", "response cannot be evaluated: have the series read", None, ("NE",)
    ),
    NOTHING_FOUND,
)
"""For a final series; the first row that fits counts, and the last fits all."""


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
        standing_uids = _standing(ordered)
        scored = {_study(uid, state) for uid, state in ordered if _scored(state)}
        answers: list[Answer] = []
        known = suspicious = False
        for uid, state in ordered:
            if not _scored(state) and _study(uid, state) in scored:
                continue  # a localizer, or what else a study holds that nobody measures on
            standing = uid in standing_uids
            before = suspicious
            suspicious = self._suspicious(state, before=before)
            if suspicious:
                alarm = None if before else SUSPICIOUS.alarm
                answers.append(self._answer(SUSPICIOUS, alarm, uid, state, standing=standing))
            rule = self._of_lesions(state, case.limits, known=known)
            if rule is not None and not (suspicious and rule is NOTHING_FOUND):
                answers.append(self._answer(rule, rule.alarm, uid, state, standing=standing))
            known = known or _final_with_lesions(state)
            if state.assessment is not None and _exceeds(state.assessment, case.limits):
                answers.append(self._answer(LIMIT, LIMIT.alarm, uid, state, standing=standing))
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
        last: dict[str, datetime] = {}
        for answer in answers:
            when = answer.event_time
            if answer.priority is None or when is None:
                yield answer
                continue
            since = last.get(answer.rule)
            if since is not None and when - since < timedelta(hours=self.data.cool_down_h):
                yield replace(answer, priority=None)
                continue
            last[answer.rule] = when
            yield answer


def _fits(rule: Rule, sheet: Assessment) -> bool:
    new = any(lesion.role == "new" for lesion in sheet.lesions) and sheet.suspected
    return (
        (not rule.response or sheet.response in rule.response)
        and (not rule.trend or sheet.trend in rule.trend)
        and rule.new in (None, new)
        and rule.gone in (None, sheet.suspected and not new)
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
    """Return the series whose answers stand: those of the newest final study, and what is newer."""
    final = [index for index, (_, state) in enumerate(ordered) if complete(state)]
    if not final:
        return {uid for uid, _ in ordered}
    newest = _study(*ordered[final[-1]])
    return {
        uid
        for index, (uid, state) in enumerate(ordered)
        if index > final[-1] or _study(uid, state) == newest
    }


def _study(uid: str, state: SeriesState) -> str:
    return state.study_instance_uid or uid


def _scored(state: SeriesState) -> bool:
    if state.sealed is not None:
        return True
    return any(seen.probability is not None for seen in state.slices.values())


def _rationale(rule: Rule, state: SeriesState) -> str:
    """Say in words what the answer rests on."""
    sheet = state.assessment
    if sheet is None or rule is SUSPICIOUS:
        return "frames at the engine's alarm point in neighbouring slices"
    words: list[str] = []
    if sheet.response != NO_COMPARISON:
        words.append(f"RECIST 1.1: {sheet.response}")
    if sheet.sum_mm is not None and sheet.baseline_sum_mm and sheet.change_percent is not None:
        words.append(
            f"target lesions {sheet.sum_mm:.1f} mm, {sheet.change_percent:+.0f} % since baseline"
        )
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
