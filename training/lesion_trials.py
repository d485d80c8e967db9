"""Compare recipes of the lesion detector on two folds, with equal budgets.

Run as ``python -m training.lesion_trials --data luna16-slices --out trials NAME...``; one line of
JSON a trial and fold is added to ``trials.jsonl``. Two folds run side by side, a thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from training.fitting import Progress
from training.froc import mean_sensitivity, sensitivity_at
from training.lesion_fields import read_fields
from training.lesion_fit import KerasModel, Recipe, fit, matched
from training.luna import read_patients, read_slices
from training.patches import read_patches

FOLDS = (3, 7)
BASE = Recipe()
TRIALS: dict[str, Recipe] = {
    "base": BASE,
    "no-repair": replace(BASE, repaired=False),
    "flips-only": replace(BASE, augmentation="flips"),
    "heavy": replace(BASE, augmentation="heavy"),
    "even-sizes": replace(BASE, even_sizes=True),
    "hard-negatives": replace(BASE, hard_negatives=True),
    "patches": replace(BASE, patches=True),
    "wide": replace(BASE, down=(32, 64, 128, 192), up=(128, 64, 32), steps=1150),
    "small": replace(BASE, down=(16, 32, 64, 96), up=(64, 32, 16), steps=2900),
    "fast-rate": replace(BASE, rate=4e-3),
    "long": replace(BASE, steps=5400),
}

console = Console(stderr=True)


def main(argv: list[str] | None = None) -> int:
    """Run the trials named, each on both folds at once; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.lesion_trials", description=__doc__)
    parser.add_argument("names", nargs="+", choices=TRIALS, metavar="NAME", help=", ".join(TRIALS))
    parser.add_argument("--data", type=Path, required=True, help="parent of luna16-slices")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fold", type=int, help="this fold alone, in this process")
    args = parser.parse_args(argv)
    if args.fold is not None:
        for name in args.names:
            _trial(name, args.fold, args.seed, args.data, args.out)
        return 0
    command = [sys.executable, "-m", "training.lesion_trials", *args.names]
    options = ["--data", str(args.data), "--out", str(args.out), "--seed", str(args.seed)]
    runs = [subprocess.Popen([*command, *options, "--fold", str(fold)]) for fold in FOLDS]  # noqa: S603
    return max(run.wait() for run in runs)


def _trial(name: str, fold: int, seed: int, data: Path, out: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    recipe = TRIALS[name]
    slices = data / "luna16-slices"
    fields = list(read_fields(slices, read_slices(slices), repaired=recipe.repaired))
    train = [f for f in fields if f.source.fold != fold]
    test = [f for f in fields if f.source.fold == fold]
    patches = read_patches(data / "luna16-patches", read_patients(slices))
    patches = patches.without({f.source.patient for f in test})
    folder = out / f"{name}-{fold}-{seed}"
    began = time.monotonic()

    def watch(progress: Progress) -> None:
        if progress.step % 300 == 0 or progress.step == recipe.steps:
            spent = time.monotonic() - began
            console.print(f"{folder.name} {progress.step} {progress.loss:.3f} {spent:.0f} s")

    model = fit(train, recipe, seed=seed, folder=folder, watch=watch, patches=patches)
    minutes = (time.monotonic() - began) / 60
    model.save(folder / "model.keras")
    for flips in (1, 4):
        scored = matched(KerasModel(model, flips=flips), test)
        line = {
            "trial": name,
            "fold": fold,
            "seed": seed,
            "flips": flips,
            "minutes": round(minutes, 1),
            "mean_froc": round(mean_sensitivity(scored), 4),
            "at_1_8": round(sensitivity_at(scored, 0.125), 4),
            "at_1": round(sensitivity_at(scored, 1.0), 4),
            "small": round(sensitivity_at(scored, 1.0, (0, 6)), 4),
            "large": round(sensitivity_at(scored, 1.0, (10, 1e9)), 4),
            "recipe": asdict(recipe),
        }
        with (out / "trials.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        console.print({k: v for k, v in line.items() if k != "recipe"})


if __name__ == "__main__":
    sys.exit(main())
