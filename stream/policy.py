"""Policy `threshold`: the original rule, as a table.

Per series, p is the greatest `lesion_probability` of its frames. p >= 0.5: "intensify treatment",
else "maintain or reduce treatment". A recommendation each time the answer changes; an alarm the
first time p >= 0.5. Change the table, and the version with it: ids contain both.
"""

from dataclasses import dataclass
from typing import Literal

NAME = "threshold"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what is said of a series whose p is at least `at_least`.

    at_least : probability in [0, 1].
    alarm : priority of the alarm that starts with this answer; None for no alarm.
    """

    name: str
    at_least: float
    action: Literal["intensify", "maintain-or-reduce"]
    text: str
    rationale: str
    alarm: Literal["high", "medium", "low"] | None


RULES = (
    Rule(
        "at-or-above-threshold",
        0.5,
        "intensify",
        "intensify treatment",
        "the most suspicious frame of this series is at or above the threshold of 0.5",
        # New finding: low. Nobody is harmed within minutes, and one frame is weak evidence.
        "low",
    ),
    Rule(
        "below-threshold",
        0.0,
        "maintain-or-reduce",
        "maintain or reduce treatment",
        "no frame of this series so far is at or above the threshold of 0.5",
        None,
    ),
)
"""First match counts."""


def answer(lesion_probability: float | None) -> Rule | None:
    """Return the rule for a series; None while no frame of it was scored.

    Parameters
    ----------
    lesion_probability : the greatest of the series' frames.
    """
    if lesion_probability is None:
        return None
    return next(rule for rule in RULES if lesion_probability >= rule.at_least)
