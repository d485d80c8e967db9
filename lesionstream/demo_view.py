"""What the demo shows: a board that is fed with messages and drawn as a table."""

import os
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stream.policies.longitudinal import QUESTIONS
from wire.assessment import NO_COMPARISON, Assessment
from wire.envelope import Envelope
from wire.records import Alert, Finding, FrameAddress, Priority, Recommendation

TREND = " ▁▂▃▄▅▆▇█"
TREND_LENGTH = 24
RATE_WINDOW_S = 10.0
LINE_S = 5.0
PICTURE_WIDTH = 150
_RANK = ("", "low", "medium", "high")
_STYLE = {"": "", "low": "cyan", "medium": "yellow", "high": "bold red"}
"""Colours of IEC 60601-1-8: low cyan, medium yellow, high red; the words stand beside them."""


@dataclass(slots=True)
class Row:
    """One patient on the board."""

    frames: int = 0
    trend: deque[float] = field(default_factory=lambda: deque(maxlen=TREND_LENGTH))
    response: str = ""
    answer: str = "no answer yet"
    alarms: int = 0
    priority: Priority | str = ""
    truth: str = ""


class Board:
    """Counts and last words of a running stack. Thread-safe.

    Parameters
    ----------
    data : where the frames come from, for the title.
    engine : what scores, for the title.
    alerts_needed : whether a demo without an alert went wrong.
    """

    def __init__(self, data: str, *, engine: str = "", alerts_needed: bool = False) -> None:
        self.published = 0
        self.unusable: set[str] = set()
        self.problem = ""
        self.page = ""
        self._title = " · ".join(part for part in ("Lesionstream demo", data, engine) if part)
        self._alerts_needed = alerts_needed
        self._lock = threading.Lock()
        self._answered: set[tuple[str, int, int]] = set()
        self._reasons: Counter[str] = Counter()
        self._rows: dict[str, Row] = {}
        self._arrivals: deque[float] = deque()
        self._delays_ms: list[float] = []
        self._started = time.monotonic()
        self._first_alert_s: float | None = None

    def start(self) -> None:
        """Say that everything is ready: times count from here."""
        self._started = time.monotonic()

    def take(self, record: Any) -> None:
        """Take in one message of `results` or `alerts`."""
        kind = Envelope.of(record.headers).kind
        with self._lock:
            try:
                if kind == Finding.kind:
                    self._finding(Finding.model_validate_json(record.value))
                elif kind == Assessment.kind:
                    self._assessment(Assessment.model_validate_json(record.value))
                elif kind == Recommendation.kind:
                    said = Recommendation.model_validate_json(record.value)
                    if said.phase == "start" and said.rule not in QUESTIONS:
                        self._row(said.patient_id).answer = said.text
                elif kind == Alert.kind:
                    self._alert(Alert.model_validate_json(record.value))
            except ValidationError as error:
                self.problem = f"a {kind} that is no {kind}: {error.error_count()} problems"

    def truth(self, patient_id: str, course: str) -> None:
        """Show what is really the matter with a simulated patient."""
        with self._lock:
            self._row(patient_id).truth = course

    def complete(self) -> bool:
        """Tell whether each frame published has its finding, and what must come came."""
        with self._lock:
            alerted = bool(self._delays_ms) or not self._alerts_needed
            answered = 0 < self.published == len(self._answered)
            return not self.problem and answered and alerted

    def render(self) -> RenderableType:
        """Return the live view."""
        with self._lock:
            simulated = any(row.truth for row in self._rows.values())
            table = Table(
                "patient (pseudonym)",
                "frames",
                "lesion probability",
                "response, target lesions",
                "recommendation (needs sign-off)",
                "alarms",
                *(["simulated"] if simulated else []),
                expand=True,
            )
            rows = sorted(self._rows.items(), key=lambda item: -max(item[1].trend, default=0))
            for patient_id, row in rows[:20]:
                last = f"{row.trend[-1]:.2f} " if row.trend else ""
                table.add_row(
                    escape(patient_id),
                    str(row.frames),
                    last + _spark(row.trend),
                    row.response,
                    row.answer,
                    f"{row.alarms} {row.priority}" if row.alarms else "",
                    *([row.truth] if simulated else []),
                    style=_STYLE[row.priority],
                )
            return Group(
                Text(f"{self._title} · decision support only", style="bold"),
                table,
                self._status(),
                *([Text(f"page: {self.page}")] if self.page else []),
            )

    @contextmanager
    def shown(self, console: Console) -> Iterator[Callable[[], None]]:
        """Show the board, and yield what brings it up to date.

        On a terminal it is a live table; elsewhere a line of counts every `LINE_S`.
        """
        if console.is_terminal:
            with Live(self.render(), console=console, refresh_per_second=4) as live:
                yield lambda: live.update(self.render())
            return
        said = time.monotonic()

        def line() -> None:
            nonlocal said
            if time.monotonic() - said >= LINE_S:
                said = time.monotonic()
                console.print(self._locked_status(), soft_wrap=True)

        yield line
        console.print(self.render())

    def _locked_status(self) -> Text:
        with self._lock:
            return self._status()

    def summary(self) -> str:
        """Return what happened, in one line each."""
        with self._lock:
            lines = [self._status().plain]
            if self._first_alert_s is not None:
                lines.append(f"first alert after {self._first_alert_s:.1f} s")
            if self.problem:
                lines.append(f"problem: {self.problem}")
            lines.append("decision support only: a clinician decides")
            return "\n".join(lines)

    def _status(self) -> Text:
        now = time.monotonic()
        while self._arrivals and self._arrivals[0] < now - RATE_WINDOW_S:
            self._arrivals.popleft()
        rate = len(self._arrivals) / min(RATE_WINDOW_S, max(now - self._started, 1.0))
        answered = len(self._answered)
        parts = [
            f"frames published {self.published}",
            f"answered {answered}",
            f"lag {max(0, self.published - answered)}",
            f"{rate:.1f} frames/s",
            f"alerts {len(self._delays_ms)}",
        ]
        if self._delays_ms:
            parts.append(f"alert delay median {statistics.median(self._delays_ms):.0f} ms")
        if self._reasons:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self._reasons.most_common())
            parts.append(f"not scored: {reasons}")
        if self.unusable:
            parts.append(f"{len(self.unusable)} files are no frames (quarantine)")
        return Text(" · ".join(parts))

    def _finding(self, finding: Finding) -> None:
        where = finding.frame
        if not isinstance(where, FrameAddress):
            return
        place = (where.topic, where.partition, where.offset)
        if place in self._answered:
            return
        self._answered.add(place)
        self._arrivals.append(time.monotonic())
        if finding.reason is not None:
            self._reasons[finding.reason.value] += 1
        if finding.patient_id is None:
            return
        row = self._row(finding.patient_id)
        row.frames += 1
        if finding.lesion_probability is not None:
            row.trend.append(finding.lesion_probability)

    def _assessment(self, sheet: Assessment) -> None:
        if sheet.stage == "final":
            size = "" if sheet.sum_mm is None else f", {sheet.sum_mm:.0f} mm"
            since = sheet.change_percent
            change = "" if not since or sheet.response == NO_COMPARISON else f" ({since:+.0f} %)"
            is_base = sheet.baseline_series == sheet.series_instance_uid
            response = "baseline" if is_base else sheet.response
            self._row(sheet.patient_id).response = f"{response}{size}{change}"

    def _alert(self, alert: Alert) -> None:
        if alert.phase != "start" or alert.patient_id is None:
            return
        if self._first_alert_s is None:
            self._first_alert_s = time.monotonic() - self._started
        self._delays_ms.append(alert.delay_ms or 0.0)
        row = self._row(alert.patient_id)
        row.alarms += 1
        row.priority = max(row.priority, alert.priority, key=_RANK.index)

    def _row(self, patient_id: str) -> Row:
        return self._rows.setdefault(patient_id, Row())


def save_picture(board: Board, path: Path) -> None:
    """Save the board as SVG, as it looks on a terminal."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=PICTURE_WIDTH, file=nowhere, force_terminal=True)
        console.print(board.render())
        console.save_svg(str(path), title="lesionstream demo")


def _spark(values: deque[float]) -> str:
    """Return a small curve of probabilities in [0, 1]."""
    return "".join(TREND[min(len(TREND) - 1, int(v * (len(TREND) - 1) + 0.5))] for v in values)
