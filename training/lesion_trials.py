"""Compare recipes of the lesion detector on two folds, with equal budgets.

Run as ``python -m training.lesion_trials --data FOLDER --work FOLDER [NAME...]``. Every trial
trains twice, without fold 3 and without fold 7, two processes at a time; what is done is not done
again. Prints the table of docs/lesion.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from training.evaluation import auc
from training.froc import mean_sensitivity, sensitivity_at
from training.jobs import run
from training.lesion_figures import halves_of, match_slices
from training.lesion_fit import Recipe
from training.lesion_job import Job
from training.lesion_truth import Truth, read_truth
from training.luna import read_slices
from training.predictions import SLICES, read

FOLDS = (3, 7)
BASE = Recipe()
TRIALS: dict[str, tuple[Recipe, str]] = {
    "base": (BASE, "moderate augmentation, 1,800 steps of 16 tiles"),
    "patches": (replace(BASE, patches=True), "a quarter of the tiles are mosaics of patches"),
    "heavy": (replace(BASE, augmentation="heavy"), "any rotation, more zoom, shear and noise"),
    "flips-only": (replace(BASE, augmentation="flips"), "no augmentation but flips"),
    "hard-negatives": (replace(BASE, hard_negatives=True), "tiles around false positives"),
    "even-sizes": (replace(BASE, even_sizes=True), "nodules of all sizes drawn more alike"),
    "no-repair": (replace(BASE, repaired=False), "8-bit wrap-around left in"),
    "wide": (
        replace(BASE, down=(32, 64, 128, 192), up=(128, 64, 32), steps=1150),
        "twice the weights, the same time",
    ),
    "long": (replace(BASE, steps=5400), "three times the budget"),
}

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: means over the folds."""

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
    jobs = [
        Job(
            f"{name}, fold {fold}",
            args.data,
            args.work / f"{name}-{fold}-{args.seed}",
            TRIALS[name][0],
            fold,
            args.seed,
        )
        for name in names
        for fold in FOLDS
    ]
    run(jobs, workers=args.workers, console=console)
    truths = read_truths(args.data / SLICES, FOLDS)
    rows = [
        _row(name, flips, [args.work / f"{name}-{fold}-{args.seed}" for fold in FOLDS], truths)
        for name in names
        for flips in (1, 4)
    ]
    print(markdown(rows))
    return 0


def read_truths(folder: Path, folds: Sequence[int]) -> dict[int, list[Truth]]:
    """Read what the readers said of the slices of some folds."""
    sources = [s for s in read_slices(folder) if s.fold in folds]
    found: dict[int, list[Truth]] = {fold: [] for fold in folds}
    for source in track(sources, "labels", console=console):
        truth = read_truth(folder, source)
        if truth.halves:
            found[source.fold].append(truth)
    return found


def _row(name: str, flips: int, folders: Sequence[Path], truths: dict[int, list[Truth]]) -> Row:
    figures = []
    for folder, of_fold in zip(folders, truths.values(), strict=True):
        predictions = read(folder / f"predictions-flips-{flips}.jsonl")
        slices = match_slices(of_fold, predictions)
        halves = halves_of(of_fold, predictions)
        figures.append(
            (
                mean_sensitivity(slices),
                sensitivity_at(slices, 0.125),
                sensitivity_at(slices, 1.0),
                sensitivity_at(slices, 1.0, (0.0, 6.0)),
                sensitivity_at(slices, 1.0, (10.0, np.inf)),
                auc(halves.scores, halves.labels),
            )
        )
    return Row(name, TRIALS[name][1], flips, *np.mean(figures, axis=0).tolist())


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
