"""The card of the lesion engine: what it was trained on, how well it does, where it fails."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.card import (
    EngineCard,
    Figure,
    InputSpec,
    OperatingPoints,
    Variant,
)
from engines.detector import TAKEN
from engines.preprocess import HU_WINDOW
from training.recipes import RECIPES, SHIPPED
from training.sources import CHEST_CT, luna_sources

NAME, VERSION, SCREEN = "lesion", "0.3.0", 0.5

_DECIDING, _LOSS = ("mean FROC", "half-lungs, AUC"), 0.01
_USE = "training of the shipped weights (all folds); figures from models without the fold"
_LIMITS = (
    "Decision support under development; not a medical device, not for diagnosis.",
    "Chest CT of adults only, axial, lungs in view. MR, radiographs and other regions are refused "
    "or give no-lungs.",
    "Only lung nodules of 3 mm or more that at least 3 of 4 readers marked; nothing outside the "
    "lungs, and no consolidation, effusion or embolism was taught.",
    "Looks at one slice without its neighbours: vessels seen end-on, branches and pleural bumps "
    "are the most frequent false alarms.",
    "Large cavitary or spiculated masses and ground-glass nodules are rare in training and are "
    "missed more often than the figures by size suggest.",
    "A nodule that the lung cut takes for chest wall or mediastinum is not seen: 10 of 1,101 "
    "centres in the training slices lie outside the lungs found.",
    "Every training slice holds a nodule: how often a slice of a patient without any alarms was "
    "measured on half-lungs and on 12 clean slices of 3 patients only.",
    "lesion_probability is shifted so that screen = 0.5; with calibration_shift taken from its "
    "logit it is the frequency among half-lungs of slices with a nodule, and only there.",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training has to tell: folds measured, thresholds and figures."""

    seed: int
    folds: tuple[int, ...]
    alarm: float
    shift: float
    figures: tuple[Figure, ...]
    int8_figures: tuple[Figure, ...]
    patients: int


def write_card(folder: Path, outcome: Outcome) -> EngineCard:
    """Write engine.json beside model.onnx."""
    card = EngineCard(
        name=NAME,
        version=VERSION,
        task="detect",
        simulated=False,
        description=_description(outcome),
        accepted=CHEST_CT,
        input=InputSpec(shape=TAKEN[1], axes="NCHW", spacing_mm=1.0, hu_window=HU_WINDOW),
        operating_points=OperatingPoints(screen=SCREEN, alarm=outcome.alarm),
        calibration_shift=outcome.shift,
        training_data=luna_sources(_USE),
        figures=outcome.figures,
        prevalence=(
            "Every training slice holds at least one nodule; half of the tiles do. In screening "
            "CT a slice with a nodule is rare, so most alarms there will be false."
        ),
        limits_of_use=_LIMITS,
        licence="Apache-2.0 for the weights; trained on CC BY 4.0 and CC BY 3.0 data, cite both",
        sha256=_sha256(folder / "model.onnx"),
        variants=(
            Variant(
                precision="int8",
                sha256=_sha256(folder / "model.int8.onnx"),
                figures=outcome.int8_figures,
            ),
        ),
        precision="int8" if as_good(outcome.int8_figures, outcome.figures) else "fp32",
    )
    (folder / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card


def _description(outcome: Outcome) -> str:
    folds = ", ".join(map(str, outcome.folds))
    trained = " and ".join(
        f"{recipe.steps} steps with {recipe.augmentation} augmentation"
        for recipe, _ in (RECIPES[name] for name in SHIPPED)
    )
    return (
        f"The mean of {len(SHIPPED)} small U-Nets that mark lung nodules on one axial CT slice: a "
        "heat map at 2 mm, a diameter for each peak; the frame's probability is its likeliest "
        f"candidate's. Trained for {trained}, 16 tiles of 96 mm a step (seed {outcome.seed}), on "
        f"all slices of {outcome.patients} patients. The figures are of networks trained the same "
        f"way without the patients they are measured on (LUNA16 subsets {folds}). The operating "
        "points were chosen on the same subsets: screen balances sensitivity on half-lungs (0.90 "
        "is aimed at) against specificity (0.80), alarm lets an eighth of a false positive a slice "
        "pass. The recipes and the repair of the source were chosen on subsets 3 and 7, so figures "
        "there are a little better than on patients nobody has looked at."
    )


def as_good(cheaper: Sequence[Figure], full: Sequence[Figure]) -> bool:
    """Whether a cheaper network may be the one that is used.

    Each figure must lie within the interval of the full one. Both are measured on the same
    patients, so an interval between patients alone would forgive too much: the mean FROC
    sensitivity and the AUC of half-lungs may not fall by more than 0.01.
    """
    return all(
        _within(one.value, other.low, other.high)
        and (not one.name.startswith(_DECIDING) or one.value >= other.value - _LOSS)
        for one, other in zip(cheaper, full, strict=True)
    )


def _within(value: float, low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
