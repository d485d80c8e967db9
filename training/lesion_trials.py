"""Compare recipes of the lesion detector on two folds, with equal budgets.

Run as ``python -m training.lesion_trials --data FOLDER --work FOLDER [NAME...]``. Every trial
trains once without folds 3 and 7, two processes at a time; what is done is not done again. Prints
the table of docs/lesion.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from training.evaluation import auc
from training.froc import mean_sensitivity, sensitivity_at
from training.jobs import run
from training.lesion import fit_job, predict_job
from training.lesion_figures import halves_of, match_slices
from training.lesion_predict_job import PredictJob, predictions
from training.lesion_truth import Truth, read_truths
from training.predictions import SLICES, Prediction, read
from training.recipes import RECIPES, SHIPPED

FOLDS = (3, 7)
FLIPS = (1, 2, 4)
TRIALS: dict[str, tuple[tuple[str, ...], str]] = {
    **{name: ((name,), what) for name, (_, what) in RECIPES.items()},
    "averaged": (SHIPPED, f"{' and '.join(SHIPPED)}, averaged"),
}
"""Recipes that are averaged, and what that tries."""

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    name: str
    what: str
    flips: int
    mean_froc: float
    at_1_8: float
    at_1: float
    small: float
    large: float
    half_auc: float


def main(argv: list[str] | None = None) -> int:
    """Run what is missing, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.lesion_trials", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TRIALS))
    parser.add_argument("--data", type=Path, required=True, help="parent of luna16-slices")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    names = args.names or list(TRIALS)
    fits = {
        recipe: fit_job(args.data, args.work, recipe, FOLDS, args.seed)
        for name in names
        for recipe in TRIALS[name][0]
    }
    run(list(fits.values()), workers=args.workers, console=console)
    jobs = {
        name: predict_job(tuple(fits[recipe] for recipe in TRIALS[name][0]), name, FLIPS)
        for name in names
    }
    run(list(jobs.values()), workers=args.workers, console=console)
    truths = read_truths(args.data / SLICES, FOLDS)
    print(markdown([_row(name, flips, jobs[name], truths) for name in names for flips in FLIPS]))
    return 0


def _row(name: str, flips: int, job: PredictJob, truths: list[Truth]) -> Row:
    said = read(job.folder / predictions(flips))
    images = {p.id for p in said}  # unrepaired, lungs may not be found
    said += [Prediction(SLICES, t.image, 0.0) for t in truths if t.image not in images]
    slices, halves = match_slices(truths, said), halves_of(truths, said)
    return Row(
        name,
        TRIALS[name][1],
        flips,
        mean_sensitivity(slices),
        sensitivity_at(slices, 0.125),
        sensitivity_at(slices, 1.0),
        sensitivity_at(slices, 1.0, (0.0, 6.0)),
        sensitivity_at(slices, 1.0, (10.0, np.inf)),
        auc(halves.scores, halves.labels),
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, best first."""
    lines = [
        "| trial | what | flips | mean FROC | at 1/8 | at 1 | < 6 mm at 1 | >= 10 mm at 1 "
        "| half-lungs AUC |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: -r.mean_froc):
        values = (r.mean_froc, r.at_1_8, r.at_1, r.small, r.large, r.half_auc)
        numbers = " | ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {r.name} | {r.what} | {r.flips} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
