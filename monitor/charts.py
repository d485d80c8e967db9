"""Charts as SVG: pure functions from numbers to markup. Colours and strokes are in `charts.css`.

Every chart says in its `<title>` what it shows; what it cannot show, it leaves out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from markupsafe import Markup, escape

from monitor.shapes import StudyPoint, TherapyMark

SCREEN: Final = 0.5
"""Each engine's `screen`, by construction (docs/lesion.md): the dashed line."""

SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 120, 32, 3

WIDTH, HEIGHT = 800, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 700, 40, 272
WEEK: Final = timedelta(weeks=1)

NAME_OFFSETS = (15, -6, 27, -18, 39, -30)
"""Below the end of a lesion's line, for above it the sum has its own; then where there is room."""

PROGRESSION, PROGRESSION_MM, PARTIAL = 1.2, 5.0, 0.7
"""RECIST 1.1, 4.3.1: PD from 20 % and 5 mm above the nadir, PR from 30 % below the baseline."""


def sparkline(values: Sequence[float]) -> Markup:
    """Draw the probabilities of the last frames, oldest first; each in [0, 1]."""
    if not values:
        return Markup('<svg class="spark" viewBox="0 0 120 32" aria-hidden="true"></svg>')
    inner = SPARK_HEIGHT - 2 * SPARK_MARGIN
    step = (SPARK_WIDTH - 2 * SPARK_MARGIN) / max(1, len(values) - 1)

    def y(value: float) -> float:
        return SPARK_MARGIN + inner * (1 - value)

    points = " ".join(f"{SPARK_MARGIN + n * step:.1f},{y(v):.1f}" for n, v in enumerate(values))
    last_x = SPARK_MARGIN + (len(values) - 1) * step
    return Markup(  # noqa: S704 -- numbers alone
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" '
        f'aria-label="Probability of the last {len(values)} frames: last {values[-1]:.2f}, '
        f'greatest {max(values):.2f}">'
        f'<line class="spark-screen" x1="0" x2="{SPARK_WIDTH}" y1="{y(SCREEN):.1f}" '
        f'y2="{y(SCREEN):.1f}"/><polyline class="spark-line" points="{points}"/>'
        f'<circle class="spark-last" cx="{last_x:.1f}" cy="{y(values[-1]):.1f}" r="2.6"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Where weeks and millimetres lie on the chart.

    first : its left end; origin : the first study, week 0.
    """

    first: datetime
    origin: datetime
    weeks: float
    most_mm: float

    def x(self, time: datetime) -> float:
        """Return the column of a moment."""
        share = (time - self.first) / WEEK / self.weeks
        return LEFT + 14 + (RIGHT - LEFT - 28) * share

    def y(self, mm: float) -> float:
        """Return the row of a diameter."""
        return BOTTOM - (BOTTOM - TOP) * mm / self.most_mm


def studies_chart(
    studies: Sequence[StudyPoint],
    therapies: Sequence[TherapyMark],
    baseline_mm: float | None,
    nadir_mm: float | None,
) -> Markup:
    """Draw the sum of the target lesions and each lesion over the studies.

    Parameters
    ----------
    studies : in order of time.
    baseline_mm, nadir_mm : sums with which the newest study is compared; None: no comparison yet,
        then no thresholds are drawn.

    Notes
    -----
    Dates are shifted, a patient by one shift: weeks between studies are true, so weeks are shown.
    """
    dated = [study for study in studies if study.time is not None]
    scale = _scale(dated, therapies, baseline_mm)
    if scale is None:
        return Markup('<p class="none">No measured study to draw yet.</p>')
    parts = [_axes(scale, dated)]
    if baseline_mm is not None and nadir_mm is not None:
        parts += _thresholds(scale, baseline_mm, nadir_mm)
    parts += [_therapy(scale, mark) for mark in therapies if mark.start is not None]
    parts += _lesions(scale, dated)
    parts += _sums(scale, dated)
    said = "; ".join(
        f"week {_week(scale, s.time)}: {s.sum_mm:.1f} mm, {s.response}"
        for s in dated
        if s.sum_mm is not None and s.time is not None
    )
    return Markup(  # noqa: S704 -- what is text in it is escaped
        f'<svg class="studies" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="studies-title studies-desc">'
        '<title id="studies-title">Diameters over the studies</title>'
        f'<desc id="studies-desc">Sum of the target lesions. {escape(said)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _scale(
    studies: Sequence[StudyPoint], therapies: Sequence[TherapyMark], baseline_mm: float | None
) -> Scale | None:
    sizes = [s.sum_mm for s in studies if s.sum_mm is not None]
    sizes += [mm for s in studies for mm in s.lesions.values() if mm is not None]
    if not sizes:
        return None
    visits = [s.time for s in studies if s.time]
    times = [*visits, *(t.start for t in therapies if t.start)]
    weeks = (max(times) - min(times)) / WEEK
    most = max([*sizes, (baseline_mm or 0.0) * PROGRESSION])
    return Scale(min(times), min(visits), max(weeks, 1.0), max(10.0, most * 1.15))


def _axes(scale: Scale, studies: Sequence[StudyPoint]) -> str:
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 1000, 1e9) if scale.most_mm / s <= 6)
    parts = []
    mm = 0.0
    while mm <= scale.most_mm:
        y = scale.y(mm)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{mm:.0f}</text>'
        )
        mm += step
    last = -1e9
    for study in studies:
        if study.time is None or scale.x(study.time) - last < 34:
            continue  # labels would lie over one another
        last = scale.x(study.time)
        parts.append(
            f'<text class="tick" x="{last:.1f}" y="{BOTTOM + 18}" text-anchor="middle">'
            f"{_week(scale, study.time)}</text>"
        )
    parts.append(
        f'<text class="tick" x="{LEFT - 8}" y="{TOP - 18}" text-anchor="end">mm</text>'
        f'<text class="tick" x="{RIGHT}" y="{BOTTOM + 38}" text-anchor="end">'
        "weeks since the first study</text>"
    )
    return "".join(parts)


def _thresholds(scale: Scale, baseline_mm: float, nadir_mm: float) -> Iterable[str]:
    progression = max(nadir_mm * PROGRESSION, nadir_mm + PROGRESSION_MM)
    lines = (
        ("pd", progression, "PD from"),
        ("base", baseline_mm, "baseline"),
        ("nadir", nadir_mm, "nadir"),
        ("pr", baseline_mm * PARTIAL, "PR below"),
    )
    taken: list[float] = []
    for name, mm, words in lines:
        if mm > scale.most_mm or (name == "nadir" and mm == baseline_mm):
            continue
        y = scale.y(mm)
        label = y + 4
        while any(abs(label - other) < 12 for other in taken):
            label += 4  # labels must not lie over one another
        taken.append(label)
        yield (
            f'<line class="limit {name}" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="limit-name" x="{RIGHT + 4}" y="{label:.1f}">{words} {mm:.1f}</text>'
        )


def _therapy(scale: Scale, mark: TherapyMark) -> str:
    x = scale.x(mark.start) if mark.start else 0.0
    anchor = "end" if x > (LEFT + RIGHT) / 2 else "start"
    words = escape(mark.plan or "therapy")
    shift = -5 if anchor == "end" else 5
    return (
        f'<line class="therapy" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 22}" y2="{BOTTOM}"/>'
        f'<path class="therapy-flag" d="M{x - 5:.1f} {TOP - 30} h10 l-5 8 z"/>'
        f'<text class="therapy-name" x="{x + shift:.1f}" y="{TOP - 12}" text-anchor="{anchor}">'
        f"{words}</text>"
    )


def _lesions(scale: Scale, studies: Sequence[StudyPoint]) -> Iterable[str]:
    labels = dict.fromkeys(label for study in studies for label in study.lesions)
    taken: list[tuple[float, float]] = []
    for number, label in enumerate(labels):
        points = [(s.time, s.lesions.get(label)) for s in studies]
        yield _lines(scale, points, f"lesion lesion-{number % 4}")
        seen = [(time, mm) for time, mm in points if time is not None and mm is not None]
        if seen:
            x, y = scale.x(seen[-1][0]), scale.y(seen[-1][1])
            at = next((y + off for off in NAME_OFFSETS if _free(x, y + off, taken)), y - 6)
            taken.append((x, at))
            yield (
                f'<text class="lesion-name" x="{x - 10:.1f}" y="{at:.1f}" '
                f'text-anchor="end">{escape(label)}</text>'
            )


def _free(x: float, y: float, taken: Iterable[tuple[float, float]]) -> bool:
    """Tell whether a name there lies over no other, and above the axis."""
    apart = all(abs(x - other) > 40 or abs(y - at) >= 12 for other, at in taken)
    return apart and y <= BOTTOM - 2


def _sums(scale: Scale, studies: Sequence[StudyPoint]) -> Iterable[str]:
    yield _lines(scale, [(s.time, s.sum_mm) for s in studies], "sum")
    for study in studies:
        if study.time is None or study.sum_mm is None:
            continue
        x, y = scale.x(study.time), scale.y(study.sum_mm)
        response = study.response if study.response and len(study.response) <= 3 else ""
        yield (
            f'<circle class="sum-point" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
            f'<text class="sum-name" x="{x:.1f}" y="{y - 12:.1f}" text-anchor="middle">'
            f"{study.sum_mm:.1f} {escape(response)}</text>"
        )


def _lines(scale: Scale, points: Iterable[tuple[datetime | None, float | None]], name: str) -> str:
    """Draw what is known; where a study says nothing, the line is broken."""
    drawn = []
    for known, group in groupby(points, key=lambda point: None not in point):
        if known:
            run = [f"{scale.x(t):.1f},{scale.y(mm):.1f}" for t, mm in group if t and mm is not None]
            drawn.append(f'<polyline class="{name}" points="{" ".join(run)}"/>')
    return "".join(drawn)


def _week(scale: Scale, time: datetime | None) -> str:
    return f"{(time - scale.origin) / WEEK:.0f}" if time else "?"
