"""Train the lesion engine: cross-validate, choose the operating points, train on all, export.

What is measured is always a model that has not seen the patient. The operating points come from
the same predictions, so they are chosen on development folds, never on the trained-on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from engines import Figure, known_answer
from engines.errors import CatalogueError
from engines.loading import TRAINED_ON
from training.evaluation import platt
from training.fitting import LOSSES
from training.froc import threshold_at
from training.jobs import run
from training.joined import Calibration, Ensemble
from training.lesion_card import NAME, SCREEN, Outcome, write_card
from training.lesion_export import export
from training.lesion_fields import read_fields
from training.lesion_figures import (
    Halves,
    Scores,
    balanced_screen,
    chosen_apart_figures,
    halves_of,
    match_slices,
    slice_figures,
)
from training.lesion_fit_job import FitJob
from training.lesion_int8 import VIEWS, every_so_often, quantize, view_of
from training.lesion_predict_job import INT8_PREDICTIONS, RAW_SHIFT, PredictJob, predictions
from training.lesion_scores import INT8_SCORES, SCORES, read_scores, write_scores
from training.lesion_truth import Truth, read_truths
from training.luna import read_slices
from training.predictions import SLICES, Prediction, read
from training.recipes import RECIPES, SHIPPED

FLIPS = 1
"""Views that the shipped engine averages: the field as it is. Its mirror image costs as much again
and gains less than a second network does (docs/lesion.md)."""

PAIRS: tuple[tuple[int, ...], ...] = ((3, 7), (0, 1), (2, 4), (5, 6), (8, 9))
_FLOOR = 0.005  # where a lung without any candidate is put: just below the least probability
ALL = 10  # subsets of LUNA16
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
    left_out: Sequence[tuple[int, ...]] = PAIRS,
    seed: int = 1,
    workers: int = 2,
) -> None:
    """Train the engine and write its folder of the catalogue.

    Parameters
    ----------
    data : holds luna16-slices and luna16-patches.
    out : the engine's folder; model.onnx, engine.json, scores.json, patients.txt and what
        belongs to int8 are made anew.
    work : runs lie here; one that is finished is not made again, one that broke off goes on.
    left_out : LUNA16 subsets to cross-validate on, those of one run together; the operating
        points come from these.
    workers : processes at a time, a thread each.

    Raises
    ------
    JobFailed, FileNotFoundError
    CatalogueError  the folder has another name.
    """
    slices = data / SLICES
    if out.absolute().name != NAME:
        raise CatalogueError(f"{out}: name the engine's folder {NAME}")
    if not read_slices(slices):
        raise FileNotFoundError(f"{slices}: no labels.csv. See docs/data.md.")
    fits = [
        tuple(fit_job(data, work, recipe, folds, seed) for recipe in SHIPPED)
        for folds in ((), *left_out)
    ]
    nets = [fit for of in fits for fit in of]
    run(sorted(nets, key=lambda fit: -fit.steps), workers=workers, console=console)
    _draw_losses(nets, work / "losses.png")
    final, *apart = fits
    jobs = [predict_job(of, "shipped", (FLIPS,), int8=True) for of in apart]
    run(jobs, workers=workers, console=console)
    folds = sorted(fold for folds in left_out for fold in folds)
    truths = read_truths(slices, folds)
    raw = _read(jobs, predictions(FLIPS))
    points = choose(truths, raw)
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / SCORES, _scores(truths, raw, points))
    write_scores(out / INT8_SCORES, _scores(truths, _read(jobs, INT8_PREDICTIONS), points))
    _export(final, points.calibration, out)
    patients = sorted({s.patient for s in read_slices(slices)})
    (out / TRAINED_ON).write_text("".join(f"{name}\n" for name in patients))
    listed = (
        "all ten LUNA16 subsets"
        if len(folds) == ALL
        else f"LUNA16 subsets {', '.join(map(str, folds))}"
    )
    on = f"{SLICES}, {listed}, each by networks that never saw it"
    outcome = Outcome(
        seed=seed,
        folds=tuple(folds),
        alarm=points.alarm,
        shift=points.shift,
        figures=_figures(out / SCORES, points, on),  # the card is what the file says
        int8_figures=_figures(out / INT8_SCORES, points, on),
        patients=len(patients),
    )
    write_card(out, outcome)
    known_answer.note(out.absolute())
    for figure in outcome.figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")


def fit_job(data: Path, work: Path, recipe: str, folds: tuple[int, ...], seed: int) -> FitJob:
    """Return the run that trains by a recipe without some folds."""
    listed = "-".join(map(str, folds)) or "all"
    name = f"{recipe}, {f'without {listed}' if folds else 'all folds'}, seed {seed}"
    return FitJob(
        name=name,
        data=data,
        folder=work / f"{recipe}-{listed}-{seed}",
        recipe=RECIPES[recipe][0],
        folds=folds,
        seed=seed,
    )


def predict_job(
    fits: tuple[FitJob, ...], name: str, flips: tuple[int, ...], *, int8: bool = False
) -> PredictJob:
    """Return the run that predicts what the average of some networks has not seen."""
    first = fits[0]
    listed = "-".join(map(str, first.folds))
    return PredictJob(
        name=f"{name}, predicting {listed}",
        data=first.data,
        folder=first.folder.parent / f"predicted-{name}-{listed}-{first.seed}",
        fits=fits,
        flips=flips,
        int8=int8,
    )


def _read(jobs: Sequence[PredictJob], name: str) -> list[Prediction]:
    return [p for job in jobs for p in read(job.folder / name)]


def _scores(truths: Sequence[Truth], raw: Sequence[Prediction], points: Points) -> Scores:
    """Calibrate raw predictions and bring them together with what the readers said."""
    said = [_calibrated(p, points.calibration) for p in raw]
    return Scores(match_slices(truths, said), halves_of(truths, said))


def _figures(path: Path, points: Points, on: str) -> tuple[Figure, ...]:
    scores = read_scores(path)
    figures = slice_figures(scores.slices, scores.halves, SCREEN, on=on, shift=points.shift)
    return (*figures, *chosen_apart_figures(scores.halves, on=on))


def _export(final: Sequence[FitJob], calibration: Calibration, out: Path) -> None:
    """Write model.onnx and model.int8.onnx."""
    slices = final[0].data / SLICES
    fields = read_fields(slices, every_so_often(read_slices(slices), VIEWS))
    ensemble = Ensemble(tuple(fit.model() for fit in final), FLIPS)
    export(ensemble, calibration, out / "model.onnx")
    quantize(out / "model.onnx", out / "model.int8.onnx", [view_of(field) for field in fields])


def choose(truths: Sequence[Truth], raw: Sequence[Prediction]) -> Points:
    """Calibrate on half-lungs, put `screen` where both wanted figures are cleared by most.

    `screen` maximises the smaller of (sensitivity - 0.90) and (specificity - 0.80); `alarm` lets
    an eighth of a false positive a slice pass.
    """
    halves = halves_of(truths, raw)
    logits = _logit(halves.scores)
    scale, offset = platt(logits, halves.labels)
    screen = balanced_screen(Halves(logits, halves.labels, halves.patients))
    calibration = Calibration(scale, RAW_SHIFT * scale - scale * screen)
    calibrated = [_calibrated(p, calibration) for p in raw]
    alarm = threshold_at(match_slices(truths, calibrated), ALARM_RATE)
    return Points(calibration, round(-scale * screen - offset, 4), math.ceil(alarm * 1e4) / 1e4)


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


def _draw_losses(jobs: Sequence[FitJob], path: Path) -> None:
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
