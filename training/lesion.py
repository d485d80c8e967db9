"""Train the lesion engine: cross-validate, choose the operating points, train on all, export.

What is measured is always a model that has not seen the patient. The operating points come from
the same predictions, so they are chosen on development folds, never on the trained-on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from engines.loading import TRAINED_ON
from training.evaluation import platt, sensitivity, specificity
from training.froc import threshold_at
from training.jobs import run
from training.lesion_card import SCREEN, Outcome, write_card
from training.lesion_export import Calibration, export
from training.lesion_figures import Halves, halves_of, match_slices, slice_figures
from training.lesion_fit import Recipe
from training.lesion_job import LOSSES, MODEL, PREDICTIONS, RAW_SHIFT, Job
from training.lesion_scores import SCORES, read_scores, write_scores
from training.lesion_trials import read_truths
from training.lesion_truth import Truth
from training.luna import read_slices
from training.predictions import SLICES, Prediction, read

SHIPPED = Recipe(steps=3600)
ALL_FOLDS = tuple(range(10))
WANTED_SENSITIVITY, WANTED_SPECIFICITY = 0.90, 0.80
_FLOOR = 0.005  # where a lung without any candidate is put: just below the least probability
ALARM_RATE = 0.125  # false positives a slice

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Points:
    """What turns logits into probabilities with `screen` at 0.5.

    Attributes
    ----------
    shift : what was added to the calibrated logit to bring `screen` there.
    alarm : the alarm threshold then.
    """

    calibration: Calibration
    shift: float
    alarm: float


def train(
    data: Path,
    out: Path,
    work: Path,
    *,
    folds: Sequence[int] = ALL_FOLDS,
    seed: int = 1,
    workers: int = 2,
    recipe: Recipe = SHIPPED,
) -> None:
    """Train the engine and write its folder of the catalogue.

    Parameters
    ----------
    data : holds luna16-slices and luna16-patches.
    out : the engine's folder; model.onnx, engine.json, scores.json and
        patients.txt are made anew.
    work : runs lie here; one that is finished is not made again, one that broke off goes on.
    folds : LUNA16 subsets to cross-validate on; the operating points come from these.
    workers : processes at a time, a thread each.

    Raises
    ------
    JobFailed, FileNotFoundError
    """
    slices = data / SLICES
    if not read_slices(slices):
        raise FileNotFoundError(f"{slices}: no labels.csv. See docs/data.md.")
    final = Job("all folds", data, work / f"all-{seed}", recipe, None, seed)
    jobs = [
        Job(f"without fold {k}", data, work / f"fold-{k}-{seed}", recipe, k, seed) for k in folds
    ]
    run([final, *jobs], workers=workers, console=console)
    draw_losses([final, *jobs], work / "losses.png")
    truths = [t for of_fold in read_truths(slices, folds).values() for t in of_fold]
    raw = [p for job in jobs for p in read(job.folder / PREDICTIONS)]
    points = choose(truths, raw)
    calibrated = [_calibrated(p, points.calibration) for p in raw]
    matched, halves = match_slices(truths, calibrated), halves_of(truths, calibrated)
    on = f"LUNA16 slices, patients of folds {', '.join(map(str, folds))} never seen in training"
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / SCORES, matched, halves)
    matched, halves = read_scores(out / SCORES)  # rounded: the card is what the file says
    figures = slice_figures(matched, halves, SCREEN, on=on, shift=points.shift)
    _export(final, points.calibration, out / "model.onnx", recipe.flips)
    patients = sorted({s.patient for s in read_slices(slices)})
    (out / TRAINED_ON).write_text("".join(f"{name}\n" for name in patients))
    outcome = Outcome(
        recipe=recipe,
        seed=seed,
        folds=tuple(folds),
        alarm=points.alarm,
        shift=points.shift,
        figures=tuple(figures),
        patients=len(patients),
    )
    write_card(out, outcome)
    for figure in figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")


def choose(truths: Sequence[Truth], raw: Sequence[Prediction]) -> Points:
    """Calibrate on half-lungs, put `screen` where both wanted figures are cleared by most.

    `screen` maximises the smaller of (sensitivity - 0.90) and (specificity - 0.80); `alarm` lets
    an eighth of a false positive a slice pass.
    """
    halves = halves_of(truths, raw)
    logits = _logit(halves.scores)
    scale, offset = platt(logits, halves.labels)
    screen = _balanced(halves, logits)
    calibration = Calibration(scale, RAW_SHIFT * scale - scale * screen)
    calibrated = [_calibrated(p, calibration) for p in raw]
    alarm = threshold_at(match_slices(truths, calibrated), ALARM_RATE)
    return Points(calibration, round(-scale * screen - offset, 4), round(alarm, 4))


def _balanced(halves: Halves, logits: NDArray[np.float64]) -> float:
    """Return the logit that clears both wanted figures by most."""
    tried = np.unique(logits)
    tried = (tried[1:] + tried[:-1]) / 2
    margins = [
        min(
            sensitivity(logits, halves.labels, t) - WANTED_SENSITIVITY,
            specificity(logits, halves.labels, t) - WANTED_SPECIFICITY,
        )
        for t in tried
    ]
    return float(tried[int(np.argmax(margins))])


def _calibrated(prediction: Prediction, calibration: Calibration) -> Prediction:
    """Bring a raw prediction to the probabilities that the exported file will say."""

    def said(raw: NDArray[np.float64]) -> NDArray[np.float64]:
        logit = _logit(raw) - RAW_SHIFT
        return np.asarray(1 / (1 + np.exp(-(calibration.scale * logit + calibration.shift))))

    rows = prediction.lesions.copy()
    rows[:, 0] = said(rows[:, 0])
    score = float(said(np.asarray([prediction.score]))[0])
    return Prediction(prediction.dataset, prediction.id, score, rows)


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, _FLOOR, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _export(final: Job, calibration: Calibration, path: Path, flips: int) -> None:
    import keras  # heavy, training only

    model = keras.models.load_model(final.folder / MODEL, compile=False)
    export([model], calibration, path, flips=flips)


def draw_losses(jobs: Sequence[Job], path: Path) -> None:
    """Draw the loss of every run, smoothed over 50 steps, as PNG."""
    from matplotlib.figure import Figure as Plot  # training only

    plot = Plot(figsize=(7, 4), layout="constrained")
    axis = plot.subplots()
    for job in jobs:
        losses = np.asarray(json.loads((job.folder / LOSSES).read_text()))
        smooth = np.convolve(losses, np.full(50, 1 / 50), mode="valid")
        axis.plot(np.arange(len(smooth)) + 50, smooth, label=job.name, linewidth=1)
    axis.set(xlabel="step", ylabel="loss", title="training loss")
    axis.legend()
    axis.grid(alpha=0.3)
    plot.savefig(path, dpi=110)
