"""The card of the lesion engine: what it was trained on, how well it does, where it fails."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from engines.card import Accepted, DataSource, EngineCard, Figure, InputSpec, OperatingPoints
from engines.detector import INPUT_SHAPE
from engines.preprocess import HU_WINDOW
from training.lesion_fit import Recipe
from training.textbook_card import BODY_PARTS, CT_CLASSES

NAME, VERSION, SCREEN = "lesion", "0.1.0", 0.5

_SOURCES = (
    DataSource(
        name="LUNA16, axial slices through annotated nodules",
        licence="CC BY 4.0",
        use="training of the shipped weights (all folds); figures from models without the fold",
        cite="Setio et al., Med Image Anal 42:1-13, 2017, doi:10.1016/j.media.2017.06.015",
    ),
    DataSource(
        name="LIDC-IDRI, the scans and readings below LUNA16",
        licence="CC BY 3.0",
        use="as above; patients LIDC-IDRI-0001 and -0003 left out everywhere",
        cite="Armato et al., Med Phys 38:915-931, 2011, doi:10.1118/1.3528204; "
        "data doi:10.7937/K9/TCIA.2015.LO9QL9SX",
    ),
)
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
    "measured on half-lungs and on 12 clean slices of 2 patients only.",
    "lesion_probability is shifted so that screen = 0.5; with calibration_shift taken from its "
    "logit it is the frequency among half-lungs of slices with a nodule, and only there.",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training has to tell: its recipe, folds measured, thresholds and figures."""

    recipe: Recipe
    seed: int
    folds: tuple[int, ...]
    alarm: float
    shift: float
    figures: tuple[Figure, ...]
    patients: int


def write_card(folder: Path, outcome: Outcome) -> EngineCard:
    """Write engine.json beside model.onnx."""
    recipe = outcome.recipe
    card = EngineCard(
        name=NAME,
        version=VERSION,
        task="detect",
        simulated=False,
        description=(
            "A small U-Net that marks lung nodules on one axial CT slice: a heat map at 2 mm, a "
            "diameter for each peak; the frame's probability is its likeliest candidate's. "
            f"Trained for {recipe.steps} steps of {recipe.batch} tiles of 96 mm (seed "
            f"{outcome.seed}) on all slices of {outcome.patients} patients; looks at "
            f"{recipe.flips} flips and averages. The figures are of models trained the same way "
            "without the patients they are measured on (folds "
            f"{', '.join(map(str, outcome.folds))}), and the operating points were chosen on the "
            "same folds: screen clears sensitivity 0.90 and "
            "specificity 0.80 on half-lungs by as much as possible, alarm lets an eighth of a "
            "false positive a slice pass."
        ),
        accepted=Accepted(modalities=("CT",), sop_class_uids=CT_CLASSES, body_parts=BODY_PARTS),
        input=InputSpec(shape=INPUT_SHAPE, axes="NCHW", spacing_mm=1.0, hu_window=HU_WINDOW),
        operating_points=OperatingPoints(screen=SCREEN, alarm=outcome.alarm),
        calibration_shift=outcome.shift,
        training_data=_SOURCES,
        figures=outcome.figures,
        prevalence=(
            "Every training slice holds at least one nodule; half of the tiles do. In screening "
            "CT a slice with a nodule is rare, so most alarms there will be false."
        ),
        limits_of_use=_LIMITS,
        licence="Apache-2.0 for the weights; trained on CC BY 4.0 and CC BY 3.0 data, cite both",
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    )
    (folder / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card
