"""Views as HTML. Server-rendered; the parts of a page have ids, and change by them.

A page is a frame around parts; what the stream sends later are the parts that changed, as whole
elements. There is no inline script and no style attribute: the pages run under a strict
Content-Security-Policy.
"""

import json
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote, urlencode
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor.charts import sparkline, studies_chart
from monitor.memo import Memo
from monitor.shapes import (
    AlarmLine,
    AlarmSheet,
    Bar,
    HistoryLine,
    PatientSheet,
    Pause,
    Role,
    SeriesSheet,
    Shape,
    Spot,
    SystemSheet,
    Tile,
    Ward,
)
from wire.assessment import Lesion

View = Literal["ward", "patient", "alarms", "system"]
Sheet = Ward | PatientSheet | AlarmSheet | SystemSheet

STREAM: Final = "/api/alerts/stream"
STATIC: Final = Path(__file__).with_name("static")
"""What is served below ``/static``."""

_MADE: Final = Memo[str](most=4_000, same=operator.eq)
"""Tiles, lines of alarms and of the history: those that did not change are not rendered again."""


class Person(Protocol):
    """Who looks at a page."""

    @property
    def name(self) -> str:
        """Return how the person is called."""

    @property
    def role(self) -> Role:
        """Return what the person may see and do."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """The parts of a view.

    html : id -> the whole element.
    lists : id of a container -> ids of its elements, in order.
    """

    html: dict[str, str]
    lists: dict[str, list[str]]


def page(view: View, sheet: Sheet, person: Person, *, demo: bool, now: datetime) -> str:
    """Return a view as a whole page.

    Parameters
    ----------
    demo : whether everybody is let in; the page says so.
    now : the server's time; ages on the page count from it until the first beat.
    """
    asked: dict[str, str] = {"view": view}
    if isinstance(sheet, PatientSheet):
        asked["id"] = sheet.tile.who.patient_id
    return _TEMPLATES.get_template(f"{view}.html").render(
        view=view,
        sheet=sheet,
        person=person,
        demo=demo,
        now=now,
        stream=f"{STREAM}?{urlencode(asked)}",
        parts=fragments(view, sheet, now),
    )


def login(problem: str, next: str) -> str:
    """Return the page to log in.

    Parameters
    ----------
    problem : why it did not work; empty at first.
    next : path to go to afterwards.
    """
    return _TEMPLATES.get_template("login.html").render(problem=problem, next=next)


def fragments(view: View, sheet: Sheet, now: datetime) -> Fragments:
    """Return the parts of a view: equal sheets give equal parts on the same day."""
    if isinstance(sheet, Ward):
        found = _ward(sheet)
    elif isinstance(sheet, PatientSheet):
        found = _patient(sheet, now)
    elif isinstance(sheet, AlarmSheet):
        found = _alarms(sheet, now)
    else:
        found = _system(sheet, now)
    return Fragments(found.html | _common(sheet.bar), found.lists)


def _common(bar: Bar) -> dict[str, str]:
    return {
        "bar": _part("bar", bar=bar),
        "heartbeat": _part("heartbeat", time=bar.heartbeat),
    }


def _ward(sheet: Ward) -> Fragments:
    html = {"ward-summary": _part("ward-summary", ward=sheet)}
    order = []
    for shown in sheet.tiles:
        name = f"tile-{shown.who.patient_id}"
        order.append(name)
        html[name] = _MADE.get((name, shown.who), _tile, shown)
    return Fragments(html, {"tiles": order})


def _tile(shown: Tile) -> str:
    return _part("tile", tile=shown)


def _alarms(sheet: AlarmSheet, now: datetime) -> Fragments:
    html = {"alarms-summary": _part("alarms-summary", alarms=sheet.alarms)}
    standing, said = {}, {}
    for line in sheet.alarms:
        name = f"alarm-{line.alarm_id}"
        standing[name] = _MADE.get((name, line.who), _alarm, line)
    for words in sheet.history:
        name = f"said-{words.offset}"
        said[name] = _MADE.get((name, words.who), _said, words, now.date())
    return Fragments(html | standing | said, {"alarms": list(standing), "history": list(said)})


def _alarm(line: AlarmLine) -> str:
    return _part("alarm", line=line, prefix="alarm")


def _said(line: HistoryLine, today: date) -> str:
    return _part("said", line=line, today=today)


def _system(sheet: SystemSheet, now: datetime) -> Fragments:
    names = ("flow", "workers", "engines", "shadows", "letters")
    return Fragments({name: _part(name, system=sheet, today=now.date()) for name in names}, {})


def _patient(sheet: PatientSheet, now: datetime) -> Fragments:
    newest = sheet.advice[0].series_instance_uid if sheet.advice else ""
    slices = sheet.now.slices if sheet.now else ()
    advice = _part(
        "advice",
        newest=[said for said in sheet.advice if said.series_instance_uid == newest],
        older=[said for said in sheet.advice if said.series_instance_uid != newest],
        patient_id=sheet.tile.who.patient_id,
        slices={str(one.finding_id): n for n, one in enumerate(slices, start=1)},
        today=now.date(),
    )
    now_sheet = sheet.now
    compared = now_sheet is not None and sheet.baseline is not None
    chart = studies_chart(
        sheet.studies,
        sheet.therapies,
        now_sheet.baseline_sum_mm if now_sheet and compared else None,
        now_sheet.nadir_sum_mm if now_sheet and compared else None,
    )
    html = {
        "head": _part("head", tile=sheet.tile),
        "series-baseline": _series("baseline", "Baseline", sheet.baseline),
        "series-now": _series("now", "Now", sheet.now),
        "advice": advice,
        "patient-alarms": _part("patient-alarms", alarms=sheet.alarms),
        "lesions": _part("lesions", rows=_lesion_rows(sheet)),
        "trend": _part("trend", sheet=sheet, chart=chart),
    }
    return Fragments(html, {})


def _series(name: str, words: str, series: SeriesSheet | None) -> str:
    data = None
    if series is not None:
        slices = [_plain(one) for one in series.slices]
        data = {"uid": series.series_instance_uid, "shown": series.shown, "slices": slices}
    return _part("series", name=name, words=words, series=series, data=data)


def _plain(shape: Shape) -> dict[str, Any]:
    return shape.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class _LesionRow:
    """One line of the lesion table. jump : the findings that show it best, now and at baseline."""

    lesion: Lesion
    jump: tuple[UUID, ...]


def _lesion_rows(sheet: PatientSheet) -> list[_LesionRow]:
    before = {lesion.id: lesion for lesion in sheet.baseline.lesions} if sheet.baseline else {}
    rows = []
    for lesion in sheet.now.lesions if sheet.now else ():
        earlier = before.get(lesion.id)
        jump = lesion.findings[:1] + (earlier.findings[:1] if earlier else ())
        rows.append(_LesionRow(lesion, jump))
    return rows


def _part(part: str, /, **given: Any) -> str:
    html = _TEMPLATES.get_template(f"parts/{part}.html").render(**given).strip()
    return Markup(html)  # noqa: S704 -- rendered with autoescape


def _fixed(value: float, digits: int = 0, plus: bool = False) -> str:
    """Write a number; the true minus sign is as wide as a plus."""
    return f"{value:{'+' if plus else ''},.{digits}f}".replace("-", "−")


def _clock(time: datetime, today: date) -> str:
    """Write a moment in UTC, the date only where it is not today's."""
    return f"{time:%H:%M:%S} UTC" if time.date() == today else f"{time:%Y-%m-%d %H:%M} UTC"


def _pauses(paused: Iterable[Pause]) -> str:
    """Write pauses for the page's script: [[until, priority]]."""
    return json.dumps([[p.until.isoformat() if p.until else None, p.priority] for p in paused])


def _sparkline(trend: Iterable[Spot]) -> str:
    return sparkline([spot.value for spot in trend])


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "iso": datetime.isoformat,
        "day": "{:%Y-%m-%d}".format,
        "clock": _clock,
        "fixed": _fixed,
        "pauses": _pauses,
        "segment": lambda text: quote(text, safe=""),
        "sparkline": _sparkline,
        "words": lambda name: name.replace("-", " "),
    }
    return made


_TEMPLATES: Final = _environment()
