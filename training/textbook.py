"""Train a textbook classifier, of views of 256 or 224 pixels, and write its catalogue folder.

Run as ``python -m training.textbook --data luna16-slices --out engines/catalogue/textbook-256``
with the `train` extra installed; 15 minutes on two cores. LUNA16 folds 0-7 train, 8 chooses the
thresholds, 9 is measured when the run ends; a patient is in one fold only. Steps depend on the
clock unless --steps ends the run: for the same weights again, give a large --minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, track

from engines import known_answer
from training import evaluation
from training.classifier_export import export, input_of
from training.joined import Calibration
from training.luna import HalfLung, half_lungs, read_slices
from training.textbook_card import Outcome, Split, write_card
from training.tiles import draw

TRAIN_FOLDS, VALIDATION_FOLD, TEST_FOLD = range(8), 8, 9
SCREEN_SENSITIVITY, ALARM_SPECIFICITY = 0.90, 0.95

_BATCH = 16
_PEAK_RATE, _DECAY, _WARM_UP = 2e-3, 1e-4, 0.05
_CHECKS = 4  # looks at the validation fold on the way, for the person who watches

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to train: the schedule ends with whichever comes first."""

    steps: int
    minutes: float
    seed: int


def main(argv: list[str] | None = None) -> int:
    """Train, choose thresholds, measure, export; return the exit code."""
    args = _arguments(argv)
    plan = Plan(args.steps, args.minutes, args.seed)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    halves = _read(args.data, args.size)
    train, validation, test = _split(halves)
    console.print(f"half-lungs: {len(train)} train, {len(validation)} validation, {len(test)} test")
    model, steps = _fit(train, validation, plan)
    scale, shift, alarm = _operating_points(_logits(model, validation), _labels(validation))
    path = export(_logit(model), Calibration(scale, shift), args.out, size=args.size)
    outcome = Outcome(
        steps=steps,
        seed=plan.seed,
        alarm=alarm,
        validation=_scored(path, validation, args.size),
        test=_scored(path, test, args.size),
        train_halves=len(train),
        train_patients=len({half.source.patient for half in train}),
        size=args.size,
        note=args.note,
    )
    write_card(args.out, outcome)
    card = known_answer.note(args.out.absolute())
    for figure in card.figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.textbook", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a luna16-slices folder")
    parser.add_argument("--out", type=Path, required=True, help="the engine's folder, made anew")
    parser.add_argument("--size", type=int, choices=(224, 256), default=256, help="of a view")
    parser.add_argument("--steps", type=int, default=3000, help="of 16 tiles (default 3000)")
    parser.add_argument("--minutes", type=float, default=14.0, help="end by then (default 14)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--note", default="", help="a sentence for the card's description")
    return parser.parse_args(argv)


def _read(folder: Path, size: int) -> list[HalfLung]:
    slices = track(read_slices(folder), "cutting lungs", console=console)
    return [half for source in slices for half in half_lungs(folder, source, size=size)]


def _split(halves: list[HalfLung]) -> tuple[list[HalfLung], list[HalfLung], list[HalfLung]]:
    def of(*folds: int) -> list[HalfLung]:
        return [half for half in halves if half.source.fold in folds]

    return of(*TRAIN_FOLDS), of(VALIDATION_FOLD), of(TEST_FOLD)


def _fit(train: list[HalfLung], validation: list[HalfLung], plan: Plan) -> tuple[Any, int]:
    """Train on tiles; return the Keras model and the number of steps made."""
    import keras  # heavy, training only

    from training.textbook_net import build, map_loss

    keras.utils.set_random_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = build()
    model.compile(
        keras.optimizers.AdamW(_PEAK_RATE, weight_decay=_DECAY),
        loss={"logit": keras.losses.BinaryCrossentropy(from_logits=True), "map": map_loss},
    )
    step, began, checked = 0, time.monotonic(), 0
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=1.0)
        while (done := _done(step, time.monotonic() - began, plan)) < 1.0:
            model.optimizer.learning_rate.assign(_rate(done))
            batch = draw(train, _BATCH, rng)
            model.train_on_batch(batch.tiles, {"logit": batch.labels, "map": batch.cells})
            step += 1
            progress.update(task, completed=done)
            if done * _CHECKS > checked + 1:
                checked += 1
                seen = evaluation.auc(_logits(model, validation), _labels(validation))
                progress.print(f"step {step}: validation AUC {seen:.3f}")
    return model, step


def _done(step: int, elapsed_s: float, plan: Plan) -> float:
    return max(step / plan.steps, elapsed_s / (60 * plan.minutes))


def _rate(done: float) -> float:
    """Learning rate: a short rise, then half a cosine to 1 % of the peak."""
    if done < _WARM_UP:
        return _PEAK_RATE * (0.1 + 0.9 * done / _WARM_UP)
    return _PEAK_RATE * max(0.01, (1 + math.cos(math.pi * done)) / 2)


def _logits(model: Any, halves: list[HalfLung]) -> evaluation.Scores:
    views = np.stack([half.view.pixels for half in halves])[..., None]
    parts = [model.predict_on_batch(views[i : i + 8])["logit"] for i in range(0, len(views), 8)]
    return np.concatenate(parts)[:, 0].astype(np.float64)


def _logit(model: Any) -> Callable[[Any], Any]:
    return lambda view: model(view, training=False)["logit"]


def _labels(halves: list[HalfLung]) -> evaluation.Labels:
    return np.asarray([half.label for half in halves], dtype=np.int64)


def _operating_points(
    logits: evaluation.Scores, labels: evaluation.Labels
) -> tuple[float, float, float]:
    """Calibrate on the validation fold: (scale, shift) of the logit and the alarm threshold.

    After ``scale * logit + shift`` the chosen `screen` lies at 0, that is at probability 0.5.
    """
    scale, offset = evaluation.platt(logits, labels)
    calibrated = scale * logits + offset
    screen = evaluation.threshold_at_sensitivity(calibrated, labels, SCREEN_SENSITIVITY)
    screen -= 1e-4  # the chosen positive itself must not fall to rounding in float32
    alarm = evaluation.threshold_at_specificity(calibrated, labels, ALARM_SPECIFICITY)
    return scale, offset - screen, 1 / (1 + math.exp(screen - alarm))


def _scored(model: Path, halves: list[HalfLung], size: int) -> Split:
    """Score views with the exported file, as the engine will."""
    from engines.classifier import view_probability
    from engines.onnx_runtime import OnnxModel  # loads onnxruntime

    onnx = OnnxModel(model, threads=2)
    scores: NDArray[np.float64] = np.asarray(
        [view_probability(onnx, half.view.pixels, input_of(size)) for half in halves]
    )
    patients = np.asarray([half.source.patient for half in halves])
    return Split(scores, _labels(halves), patients)


if __name__ == "__main__":
    sys.exit(main())
