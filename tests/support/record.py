"""What runs observed, in docs/reliability.md: of `make soak`, and of `make chaos`."""

import fcntl
import json
import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.cells import CELLS

PAGE = Path(__file__).parents[2] / "docs/reliability.md"
RUNS = PAGE.with_name("reliability-runs.jsonl")
"""One line for each cell and seed: its last run."""

COLUMNS = (
    "| cell | what happens | runs passed | frames sent | lost | twice | times it had to recover "
    "| median, s | worst, s | last run |"
)


@contextmanager
def recorded(name: str, columns: str) -> Iterator[list[str]]:
    """Yield a list of rows; they replace what stands between the marks of this name."""
    rows: list[str] = []
    yield rows
    if rows:
        _put(name, f"Last run {_today()}, {_machine()}:\n\n", columns, rows)


def note_run(cell: str, seed: int, observed: Mapping[str, Any]) -> None:
    """Note what a run of a cell observed, and make the table of all cells anew."""
    with RUNS.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # cells run side by side
        file.seek(0)
        runs = {(run["cell"], run["seed"]): run for run in map(json.loads, file)}
        about = {"cell": cell, "seed": seed, "date": _today(), "machine": _machine()}
        runs[cell, seed] = {**about, **observed}
        file.truncate(0)
        file.writelines(json.dumps(runs[key]) + "\n" for key in sorted(runs))
        file.flush()
        _put("chaos", "", COLUMNS, _rows(list(runs.values())))


def _rows(runs: list[dict[str, Any]]) -> Iterator[str]:
    for cell, script in CELLS.items():
        mine = [run for run in runs if run["cell"] == cell]
        if not mine:
            continue
        took = [s for run in mine for s in run["recoveries_s"]]
        sums = [sum(run[what] for run in mine) for what in ("sent", "lost", "twice")]
        row = [
            f"`{cell}`",
            str(script.__doc__).rstrip("."),
            f"{sum(run['passed'] for run in mine)} of {len(mine)}",
            *sums,
            len(took),
            f"{statistics.median(took):.1f}" if took else "",
            f"{max(took):.1f}" if took else "",
            max(run["date"] for run in mine),
        ]
        yield "| " + " | ".join(map(str, row)) + " |\n"


def _put(name: str, intro: str, columns: str, rows: Iterator[str] | list[str]) -> None:
    page = PAGE.read_text()
    head, rest = page.split(f"<!-- {name} -->\n")
    tail = rest.split(f"<!-- /{name} -->")[1]
    table = f"{columns}\n" + "|---" * (columns.count("|") - 1) + "|\n" + "".join(rows)
    PAGE.write_text(f"{head}<!-- {name} -->\n{intro}{table}<!-- /{name} -->{tail}")


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
