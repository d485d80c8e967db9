"""The card of a textbook classifier: figures measured on the spot, and what they are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard, Figure, OperatingPoints
from training import evaluation
from training.classifier_export import input_of
from training.sources import CHEST_CT, luna_sources

SCREEN = 0.5  # by construction: the logit is shifted (training.textbook)

_LIMITS = (
    "A weak baseline for building and testing the stream; not a medical device, not for diagnosis.",
    "Chest CT of adults only. Trained on slices of 1 mm pixels with lungs cut out; MR, "
    "radiographs and other regions are not accepted or give no-lungs.",
    "Only lung nodules of 3 mm or more that at least 3 of 4 readers marked; nothing outside the "
    "lungs, no ground-glass, consolidation, effusion or embolism was taught.",
    "Looks at one slice without its neighbours: a vessel seen end-on looks like a nodule, and "
    "most false positives are vessels, bronchial walls and pleural bumps.",
    "Masses above 30 mm and lesions that touch the mediastinum are rare in training and may be "
    "missed, or cut away with it; a lung that is wholly opaque is not found at all.",
    "The threshold was chosen on about 100 positive half-lungs of one fold and wobbles by some "
    "hundredths of sensitivity; a frame is the maximum over two lungs, so its false positive rate "
    "is nearly twice a half-lung's.",
    "lesion_probability is shifted so that screen = 0.5: it orders frames, it is no frequency.",
)


@dataclass(frozen=True, slots=True)
class Split:
    """Scored half-lungs of one fold: `scores`, `labels` and `patients`, each (n,)."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training run ended with.

    `alarm` is the second operating point, `note` what its maker adds to the description.
    """

    steps: int
    seed: int
    alarm: float
    validation: Split
    test: Split
    train_halves: int
    train_patients: int
    size: int
    note: str = ""


def write_card(folder: Path, outcome: Outcome, version: str = "0.2.0") -> EngineCard:
    """Measure, and write engine.json beside model.onnx in `folder`."""
    alarm = round(outcome.alarm, 4)
    card = EngineCard(
        name=f"textbook-{outcome.size}",
        version=version,
        task="classify",
        simulated=False,
        description=_description(outcome),
        accepted=CHEST_CT,
        input=input_of(outcome.size),
        operating_points=OperatingPoints(screen=SCREEN, alarm=alarm),
        training_data=luna_sources("training (subsets 0-7), thresholds (8), measurement (9)"),
        figures=(
            *_figures("validation, LUNA16 subset 8", outcome.validation, alarm),
            *_figures("test, LUNA16 subset 9", outcome.test, alarm),
        ),
        prevalence=_prevalence(outcome.test),
        limits_of_use=_LIMITS,
        licence="Apache-2.0 (weights); trained on CC BY 4.0 and CC BY 3.0 data, cite both",
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    )
    (folder / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card


def _description(outcome: Outcome) -> str:
    text = (
        "The textbook CNN: three convolution blocks, a dense layer, a sigmoid, on each lung of an "
        "axial chest CT slice; the frame's probability is the greater of its two lungs. Trained "
        f"for {outcome.steps} steps of 16 tiles (seed {outcome.seed}) on {outcome.train_halves} "
        f"half-lungs of {outcome.train_patients} patients. screen: sensitivity 0.90 on the "
        "half-lungs of subset 8, shifted to 0.5; alarm: specificity 0.95 there."
    )
    return f"{text} {outcome.note}".strip()


def _prevalence(split: Split) -> str:
    return (
        f"{np.mean(split.labels):.0%} of the half-lungs measured hold a nodule, because every "
        "slice of the source was chosen for one. In a screening scan a few slices of several "
        "hundred do: expect most positives to be false there."
    )


def _figures(on: str, split: Split, alarm: float) -> list[Figure]:
    """AUC, and sensitivity and specificity at both operating points, with intervals by patient."""
    positive = int(split.labels.sum())
    count = (
        f"{positive} half-lungs with and {len(split.labels) - positive} without a nodule, "
        f"{len(np.unique(split.patients))} patients"
    )
    measured: dict[str, Callable[[evaluation.Scores, evaluation.Labels], float]] = {
        "AUC": evaluation.auc,
        "sensitivity at screen": partial(evaluation.sensitivity, threshold=SCREEN),
        "specificity at screen": partial(evaluation.specificity, threshold=SCREEN),
        "sensitivity at alarm": partial(evaluation.sensitivity, threshold=alarm),
        "specificity at alarm": partial(evaluation.specificity, threshold=alarm),
    }
    figures = []
    for name, measure in measured.items():
        found = evaluation.by_patient(measure, split.scores, split.labels, split.patients, seed=0)
        value, low, high = (round(v, 3) for v in (found.value, found.low, found.high))
        figures.append(
            Figure(name=name, value=value, low=low, high=high, on=f"half-lungs, {on}", n=count)
        )
    return figures
