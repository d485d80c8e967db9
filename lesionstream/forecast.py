"""`forecast`: the next diameter of every patient of a table, from what was known at each visit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from engines.course import Course
from engines.errors import NotForecastable
from engines.forecaster import Forecaster
from engines.loading import load_forecaster
from lesionstream import catalogue
from lesionstream.console import out, print_json, progress_bar, say
from training.trials_table import Patient, read_table


def forecast(path: Path, *, engine: str, jsonl: bool) -> None:
    """Print a line for each visit of each patient, or a table with each patient's latest forecast.

    Raises
    ------
    TableError   the table cannot be read.
    EngineError  the engine cannot be loaded, or does not forecast.
    """
    patients = read_table(path)
    loaded = load_forecaster(engine, catalogues=catalogue.catalogues())
    table = Table("patient", "visit", "last, mm", "next, week", "mm", "80 %", "progression")
    with progress_bar("patients") as bar:
        task = bar.add_task("forecasting", total=len(patients), note="")
        for patient in patients:
            said = list(lines(loaded, patient))
            if jsonl:
                for line in said:
                    print_json(line)
            else:
                _add(table, patient, said)
            bar.advance(task)
    loaded.close()
    if not jsonl:
        out.print(table)
    say(f"engine {loaded.card.name} {loaded.card.version}: decision support only")


def lines(engine: Forecaster, patient: Patient) -> Iterator[dict[str, Any]]:
    """Forecast from every visit of a patient; where there is no forecast, `reason` says why.

    A reading that is no number is a visit without one, or one that is planned: it is forecast, and
    nothing is forecast from it.
    """
    whole = patient.course
    for visit, week in enumerate(patient.weeks):
        last = visit + 1 == len(patient.weeks)
        line: dict[str, Any] = {
            "PatientID": patient.name,
            "visit": visit,
            "t_weeks": week,
            "next_t_weeks": None if last else patient.weeks[visit + 1],
            "next_diameter_mm": None,
            "q10_mm": None,
            "q90_mm": None,
            "progression_probability": None,
            "reason": None,
        }
        known = np.isfinite(whole.diameters_mm[: visit + 1])
        if last:
            line["reason"] = "the last visit"
        elif not known[-1]:
            line["reason"] = "no reading at this visit"
        else:
            days, mm = whole.days[: visit + 1][known], whole.diameters_mm[: visit + 1][known]
            try:
                said = engine.forecast(Course(days, mm, whole.arm), float(whole.days[visit + 1]))
            except NotForecastable as error:
                line["reason"] = str(error)
            else:
                line["next_diameter_mm"] = round(said.median_mm, 3)
                line["q10_mm"] = round(said.q10_mm, 3)
                line["q90_mm"] = round(said.q90_mm, 3)
                line["progression_probability"] = round(said.progression_probability, 4)
        yield line


def _add(table: Table, patient: Patient, said: list[dict[str, Any]]) -> None:
    """Add a patient's latest forecast, or the reason why there is none."""
    made = [line for line in said if line["next_diameter_mm"] is not None]
    if not made:
        reason = said[-2]["reason"] if len(said) > 1 else "a single visit"
        table.add_row(escape(patient.name), "", "", "", "", "", escape(str(reason)))
        return
    line = made[-1]
    table.add_row(
        escape(patient.name),
        str(line["visit"]),
        f"{patient.course.diameters_mm[line['visit']]:g}",
        "" if line["next_t_weeks"] is None else f"{line['next_t_weeks']:g}",
        f"{line['next_diameter_mm']:.1f}",
        f"{line['q10_mm']:.1f} to {line['q90_mm']:.1f}",
        f"{line['progression_probability']:.0%}",
    )
