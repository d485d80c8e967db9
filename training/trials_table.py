"""Tables of target lesions over time: one reading a row, as `tumour_trials.csv` has them.

Only the patient, the arm, the day and the diameter are read. Columns that are made from the whole
curve (`response`, `readings`) never are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.course import Course

PATIENT, ARM, DAYS, WEEKS, DIAMETER = "Pt_hashID", "Study_Arm", "T_days", "T_weeks", "Lesion_diam"
_NEEDED = (PATIENT, DAYS, DIAMETER)


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient's readings.

    Attributes
    ----------
    name : as in the table.
    course : all visits, in the order of their days; equal days in the order of the file. NaN where
        a reading is no number.
    weeks : `T_weeks` of each visit as it stands in the table; None where it is no number.
    """

    name: str
    course: Course
    weeks: tuple[float | None, ...]


class TableError(ValueError):
    """A table cannot be read. Operator action: the message names file, line and column."""


def read_table(path: Path) -> list[Patient]:
    """Read a table; patients in the order in which they first occur.

    Raises
    ------
    TableError  it is no UTF-8 CSV, a column is missing, or a line has no patient or no day.
    """
    try:
        return _read(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: is no CSV in UTF-8: {error}") from error


def _read(path: Path) -> list[Patient]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        missing = [name for name in _NEEDED if name not in (table.fieldnames or ())]
        if missing:
            raise TableError(
                f"{path}: no column {', '.join(missing)}; it needs {', '.join(_NEEDED)}"
            )
        rows: dict[str, list[dict[str, str]]] = {}
        for row in table:
            name = (row[PATIENT] or "").strip()
            if not name or math.isnan(_number(row[DAYS])):
                raise TableError(
                    f"{path}:{table.line_num}: {PATIENT} is {row[PATIENT]!r} and {DAYS} "
                    f"{row[DAYS]!r}; both are needed"
                )
            rows.setdefault(name, []).append(row)
    return [_patient(name, of) for name, of in rows.items()]


def _patient(name: str, rows: Iterable[dict[str, str]]) -> Patient:
    ordered = sorted(rows, key=lambda row: _number(row[DAYS]))  # stable
    course = Course(
        np.asarray([_number(row[DAYS]) for row in ordered]),
        np.asarray([_number(row[DIAMETER]) for row in ordered]),
        (ordered[0].get(ARM) or "").strip(),
    )
    weeks = (_number(row.get(WEEKS)) for row in ordered)
    return Patient(name, course, tuple(None if math.isnan(w) else w for w in weeks))


def _number(text: str | None) -> float:
    """Return a finite number, else NaN."""
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
