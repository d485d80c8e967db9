"""Why the watchdog alarms: the table, as data. What an operator does: docs/operations.md."""

from dataclasses import dataclass
from typing import Final

from wire.records import Priority

STILL_S: Final = 30.0
"""Messages wait on a partition and none is taken up for so long. A worker commits each second; one
broken message may cost its decoder 60 s, and then this alarm is right."""

CATCH_UP_S: Final = 60.0
"""What waits should be done within so long."""

MEASURED_S: Final = 30.0
"""How long a group is watched before its speed is known."""

OLD_S: Final = 300.0
"""What has waited for so long is late, though ever fewer wait."""

FEW_MESSAGES: Final = 20
"""So many that wait are never called too many."""

MANY_LETTERS: Final = 20
"""More dead letters than this within `LETTERS_S` are no accident."""

LETTERS_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that blinds or hinders the ward.

    priority : medium where somebody is not watched, low where it is only slower or poorer.
    needed, among : it starts when `needed` of the last `among` looks saw it, one a second.
    over : it ends when so many looks in a row did not see it.
    remedy : what to do, in words that follow what was seen.
    """

    priority: Priority
    needed: int
    among: int
    over: int
    remedy: str


CAUSES: Final[dict[str, Cause]] = {
    "broker-away": Cause(
        "medium", 3, 5, 3, "See that Kafka runs: lesionstream doctor. Listeners keep the images."
    ),
    "scoring-nobody": Cause("medium", 5, 6, 3, "Start one: lesionstream worker scoring."),
    "scoring-stat-nobody": Cause(
        "medium", 5, 6, 3, "Start one: lesionstream worker scoring --stat."
    ),
    "patients-nobody": Cause("medium", 5, 6, 3, "Start one: lesionstream worker patients."),
    "scoring-still": Cause(
        "medium", 3, 5, 3, "Read the log of the scoring workers; start one that hangs again."
    ),
    "scoring-stat-still": Cause(
        "medium", 3, 5, 3, "Read the log of the workers for urgent series; start it again."
    ),
    "patients-still": Cause(
        "medium", 3, 5, 3, "Read the log of the patients workers; start one that hangs again."
    ),
    "models-nobody": Cause("low", 5, 6, 3, "Start one: lesionstream worker models."),
    "models-still": Cause(
        "low", 3, 5, 3, "Read the log of the models workers; start one that hangs again."
    ),
    "engine-wrong": Cause(
        "medium",
        2,
        3,
        3,
        "Do not believe its findings: start the worker again, else lesionstream engines rollback.",
    ),
    "frames-stopped": Cause("medium", 3, 5, 1, "See that the scanner and the listener run."),
    "worker-not-ready": Cause("low", 15, 20, 5, "Ask lesionstream doctor, read its log."),
    "scoring-behind": Cause("low", 10, 15, 15, "Add workers: lesionstream worker scoring."),
    "scoring-stat-behind": Cause(
        "low", 10, 15, 15, "Add workers: lesionstream worker scoring --stat."
    ),
    "patients-behind": Cause("low", 10, 15, 15, "Add workers: lesionstream worker patients."),
    "models-behind": Cause("low", 10, 15, 15, "Add workers: lesionstream worker models."),
    "engine-unseen": Cause(
        "low",
        60,
        60,
        5,
        "Name the workers of other machines: LESIONSTREAM_WORKERS=http://host:port.",
    ),
    "cache-away": Cause("low", 3, 5, 3, "See that Redis runs; scoring and alarms go on without."),
    "dead-letters": Cause("low", 3, 5, 30, "Look at them: lesionstream dead-letters list."),
}
