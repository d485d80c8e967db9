"""Policy `threshold`: the original rule, on the probability of frames alone.

A series is looked at in windows of event time, each with one answer. p is the greatest
`lesion_probability` of a window's frames: p >= 0.5, "intensify treatment", else "maintain or reduce
treatment". At or above is said at once, and alarms once a series; below is said when the series is
final. One frame is enough: k of n slices are not asked for.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Final
from uuid import UUID

from pydantic import Field, PositiveFloat

from stream.policies.protocol import Answer, Case, PolicyData, order_of
from stream.series import complete
from wire.patient import SeriesState
from wire.records import Adjustment, Priority

RULES_VERSION: Final = "2"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said of a window. alarm : priority of the alarm that comes with it."""

    name: str
    action: Adjustment
    text: str
    rationale: str
    alarm: Priority | None


ABOVE = Rule(
    "at-or-above-threshold",
    "intensify",
    "intensify treatment",
    "the most suspicious frame is at {p:.3f}, at or above the threshold of {threshold:g}",
    # One frame is weak evidence, and nobody is harmed within minutes.
    "low",
)
BELOW = Rule(
    "below-threshold",
    "maintain-or-reduce",
    "maintain or reduce treatment",
    "the most suspicious frame is at {p:.3f}, below the threshold of {threshold:g}",
    None,
)


class ThresholdData(PolicyData):
    """Its data. window_s : event time of one window, s."""

    threshold: float = Field(0.5, ge=0, le=1)
    window_s: PositiveFloat = 10.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """The policy."""

    NAME: ClassVar[str] = "threshold"
    RULES: ClassVar[tuple[str, ...]] = (ABOVE.name, BELOW.name)

    data: ThresholdData

    @property
    def version(self) -> str:
        """Version of rules and data."""
        return self.data.version(RULES_VERSION)

    def decide(self, case: Case) -> tuple[Answer, ...]:
        """Return the answer for each window of each series."""
        ordered = sorted(case.series, key=lambda item: order_of(*item))
        newest = ordered[-1][0] if ordered else ""
        answers: list[Answer] = []
        for uid, state in ordered:
            windows = self._windows(state)
            most = max(windows, key=lambda one: one[1], default=None)
            for window, p, finding in windows:
                if p >= self.data.threshold or complete(state):
                    answer = self._answer(uid, state, window, p, finding, standing=uid == newest)
                    treats = complete(state) and most is not None and most[0] == window
                    answers.append(replace(answer, treats=treats))
        return tuple(answers)

    def _windows(self, state: SeriesState) -> list[tuple[int, float, UUID]]:
        """Return (window, p, its finding) of each window with a score, in order of time."""
        width = self.data.window_s * 1000
        best: dict[int, tuple[float, str, UUID]] = {}
        for finding, seen in state.slices.items():
            if seen.probability is not None:
                window = int((seen.time_ms or 0) // width)
                entry = (seen.probability, str(finding), finding)
                best[window] = max(best.get(window, entry), entry)
        return [(window, p, finding) for window, (p, _, finding) in sorted(best.items())]

    def _answer(
        self,
        uid: str,
        state: SeriesState,
        window: int,
        p: float,
        finding: UUID,
        *,
        standing: bool,
    ) -> Answer:
        rule = ABOVE if p >= self.data.threshold else BELOW
        return Answer(
            rule=rule.name,
            series_instance_uid=uid,
            about=f"{uid}|{window}",
            action=rule.action,
            text=rule.text,
            rationale=rule.rationale.format(p=p, threshold=self.data.threshold),
            evidence=(finding,),
            lesion_probability=p,
            event_time=state.first_time,
            priority=self.data.priority(rule.name, rule.alarm),
            standing=standing,
        )
