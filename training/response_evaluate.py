"""Measure a forecast engine on a table whose outcome is known, beside curves through it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines.errors import NotForecastable
from engines.forecaster import Forecast
from engines.loading import load_forecaster
from training.response_examples import examples
from training.response_figures import difference, figures, outcome_of
from training.response_rivals import CURVES
from training.treatment_pictures import draw_response
from training.trials_table import read_table

console = Console(stderr=True)


def evaluate(
    data: Path, name: str, *, catalogues: Sequence[Path], picture: Path | None = None
) -> None:
    """Print the figures of an engine, and by how much it is closer than each curve.

    Parameters
    ----------
    picture : where to draw them, a PNG.

    Raises
    ------
    TableError, EngineError
    """
    known = examples(read_table(data))
    engine = load_forecaster(name, catalogues=catalogues)
    told: list[Forecast | None] = []
    for course, day in track(
        list(zip(known.courses, known.next_days, strict=True)), "forecasts", console=console
    ):
        try:
            told.append(engine.forecast(course, float(day)))
        except NotForecastable:
            told.append(None)
    engine.close()
    chosen = np.asarray([one is not None for one in told])
    made = outcome_of(known.at(chosen), [one for one in told if one is not None])
    console.print(
        "Patients the engine was trained on count here like any other: what it is worth for those "
        "it has never seen stands on its card (`engines info`).",
        style="yellow",
    )
    if not chosen.all():
        console.print(f"{int((~chosen).sum())} of {len(told)} visits were not forecast")
    table = Table("figure", "value", "95 % interval", "units")
    for f in figures(made, on=data.name):
        table.add_row(f.name, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}", f.n)
    for rival, curve in CURVES.items():
        gap = difference(made, curve(known.at(chosen), known.at(chosen)))
        value, (low, high) = gap
        table.add_row(f"closer than {rival} by, mm", f"{value:.3f}", f"{low:.3f} to {high:.3f}", "")
    console.print(table)
    if picture is not None:
        draw_response(picture, made, f"{name} {engine.card.version} on {data.name}")
