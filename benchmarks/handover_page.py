"""What `benchmarks.handover` observed, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

STEADY, ROLLING = "steady", "rolling restart"


@dataclass(frozen=True, slots=True)
class Event:
    """What was done, and what became of the frames that were sent meanwhile.

    seconds : until it was done with.
    thrown_out : whether the group went on without a worker that was stopped.
    ends_s : from SIGTERM to the end, of each worker that was told to end.
    sent : frames sent from one second before until all was quiet again.
    twice : findings of these beyond the first of each.
    delays_s : from the last byte of each of these to its alert.
    """

    what: str
    timeout_s: float
    seconds: float
    thrown_out: bool = False
    ends_s: tuple[float, ...] = ()
    sent: int = 0
    twice: int = 0
    delays_s: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it with two of its delays instead of all."""
        facts = {k: v for k, v in asdict(self).items() if k != "delays_s"}
        return facts | {"median_s": median(self.delays_s), "worst_s": max(self.delays_s)}


def killed(role: str) -> str:
    """Return the name of killing a worker."""
    return f"kill -9 of a {role} worker"


def stopped(seconds: float) -> str:
    """Return the name of stopping a scoring worker."""
    return f"stopped for {seconds:g} s"


def tables(events: Sequence[Event], stops: Iterable[float]) -> str:
    """Return both tables: what the timeout decides, and what it does not."""
    timeouts = sorted({event.timeout_s for event in events})
    columns = [killed("scoring"), killed("patients"), *map(stopped, stops)]
    lines = [
        "| session timeout, s | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for timeout_s in timeouts:
        of = [event for event in events if event.timeout_s == timeout_s]
        cells = [_longest([event for event in of if event.what == name]) for name in columns]
        lines.append(f"| {timeout_s:g} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| session timeout, s | time of it | median alert, s | ratio | worst alert, s | ratio "
        "| SIGTERM to end, s | worst | findings twice |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for timeout_s in timeouts:
        of = [event for event in events if event.timeout_s == timeout_s]
        steady = next(event.delays_s for event in of if event.what == STEADY)
        for name in (STEADY, ROLLING):
            if these := [event for event in of if event.what == name]:
                lines.append(_row(these, f"| {timeout_s:g} | {name}", steady))
    return "\n".join(lines)


def _longest(events: Sequence[Event]) -> str:
    """Return the longest wait of an alert, each time it was done, and how often it cost work."""
    if not events:
        return ""
    words = ", ".join(f"{max(event.delays_s):.1f}" for event in events)
    if thrown := sum(event.thrown_out for event in events):
        words += f" (thrown out {thrown} of {len(events)})"
    return words


def _row(events: Sequence[Event], start: str, steady: Sequence[float]) -> str:
    delays = [delay for event in events for delay in event.delays_s]
    ends = [end for event in events for end in event.ends_s]
    middle, worst = median(delays), max(delays)
    ended = f"{median(ends):.1f} | {max(ends):.1f}" if ends else " | "
    return (
        f"{start} | {middle:.2f} | {middle / median(steady):.1f} | {worst:.2f} | "
        f"{worst / max(steady):.1f} | {ended} | "
        f"{sum(e.twice for e in events)} of {sum(e.sent for e in events)} |"
    )
