"""Compare recipes of the lesion detector on two folds, with equal budgets.

Run as ``python -m training.lesion_trials --data FOLDER --work FOLDER [NAME...]``. Every trial
trains once without folds 3 and 7, two processes at a time; what is done is not done again. Prints
the table of docs/lesion.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from training.evaluation import auc
from training.froc import mean_sensitivity, sensitivity_at
from training.jobs import run
from training.lesion_figures import halves_of, match_slices, patch_scores
from training.lesion_job import PREDICTIONS, Job
from training.lesion_truth import Truth, read_truths
from training.luna import read_patients
from training.patches import Patches, read_patches
from training.predictions import PATCHES, SLICES, Prediction, read
from training.recipes import LookRecipe, Recipe

FOLDS = (3, 7)
BASE = Recipe()
LONG = replace(BASE, steps=9000, flips=2)
TRIALS: dict[str, tuple[Recipe, str]] = {
    "base": (BASE, "moderate augmentation, 1,800 steps of 16 tiles"),
    "mosaics": (replace(BASE, mosaics=4), "a quarter of the tiles are mosaics of patches"),
    "heavy": (replace(BASE, augmentation="heavy"), "any rotation, more zoom, shear and noise"),
    "flips-only": (replace(BASE, augmentation="flips"), "no augmentation but flips"),
    "hard-negatives": (replace(BASE, hard_negatives=True), "tiles around false positives"),
    "even-sizes": (replace(BASE, even_sizes=True), "nodules of all sizes drawn more alike"),
    "no-repair": (replace(BASE, repaired=False), "8-bit wrap-around left in"),
    "wide": (
        replace(BASE, down=(32, 64, 128, 192), up=(128, 64, 32), steps=1150),
        "twice the weights, the same time",
    ),
    "second-look": (
        replace(BASE, steps=1000, look=LookRecipe(steps=600)),
        "1,000 steps, and 600 of a patch net on 16 candidates, the same time",
    ),
    "long": (LONG, "9,000 steps"),
    "long-heavy": (replace(LONG, augmentation="heavy"), "9,000 steps, as heavy"),
    "long-mosaics": (replace(LONG, mosaics=2), "9,000 steps, an eighth of the tiles mosaics"),
    "long-wide": (
        replace(LONG, down=(32, 64, 128, 192), up=(128, 64, 32)),
        "9,000 steps, twice the weights",
    ),
}

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
    patch_auc: float


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
            name,
            args.data,
            args.work / f"{name}-{args.seed}",
            TRIALS[name][0],
            FOLDS,
            args.seed,
            flips=_flips(TRIALS[name][0]),
        )
        for name in names
    ]
    run(jobs, workers=args.workers, console=console)
    truths = read_truths(args.data / SLICES, FOLDS)
    known = read_patches(args.data / PATCHES, read_patients(args.data / SLICES))
    rows = [
        _row(name, flips, args.work / f"{name}-{args.seed}", truths, known)
        for name in names
        for flips in _flips(TRIALS[name][0])
    ]
    print(markdown(rows))
    return 0


def _flips(recipe: Recipe) -> tuple[int, ...]:
    """Return how many flips are compared: none, all, the recipe's own."""
    return tuple(sorted({1, 4, recipe.flips}))


def _row(name: str, flips: int, folder: Path, truths: list[Truth], known: Patches) -> Row:
    predictions = read(folder / f"predictions-flips-{flips}.jsonl")
    said = {p.id for p in predictions}  # unrepaired, lungs may not be found
    predictions += [Prediction(SLICES, t.image, 0.0) for t in truths if t.image not in said]
    slices = match_slices(truths, predictions)
    halves = halves_of(truths, predictions)
    squares = [p for p in read(folder / PREDICTIONS) if p.dataset == PATCHES]
    patches = patch_scores(squares if flips == TRIALS[name][0].flips else [], known)
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
        auc(patches.scores, patches.labels) if len(patches.scores) else float("nan"),
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, best first."""
    lines = [
        "| trial | what | flips | mean FROC | at 1/8 | at 1 | < 6 mm at 1 | >= 10 mm at 1 "
        "| half-lungs AUC | patches AUC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: -r.mean_froc):
        values = (r.mean_froc, r.at_1_8, r.at_1, r.small, r.large, r.half_auc, r.patch_auc)
        numbers = " | ".join(f"{value:.3f}" if np.isfinite(value) else "" for value in values)
        lines.append(f"| {r.name} | {r.what} | {r.flips} | {numbers} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
