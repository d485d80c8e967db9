"""Train the engine that judges candidates, cross-validate it, and write its catalogue folder.

What is measured is always a network that has not seen the scan. LUNA16's list of candidates is in
the order of its scans, and a patch that is no nodule does not name its own; so the list is cut
into five stretches, and what may belong to two of them is used in neither (`training.patches`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from engines.card import EngineCard, Figure, OperatingPoints
from training.candidate_job import LOGITS, CandidateJob
from training.candidate_net import SIDE
from training.classifier_export import export, input_of
from training.evaluation import (
    Scores,
    platt,
    threshold_at_sensitivity,
    threshold_at_specificity,
)
from training.jobs import run
from training.joined import Calibration
from training.lesion_figures import PatchScores, patch_figures
from training.luna import read_patients
from training.patches import Patches, read_patches
from training.predictions import PATCHES, SLICES
from training.recipes import PatchRecipe
from training.sources import CHEST_CT, luna_sources

NAME, VERSION, SCREEN = "candidate", "0.1.0", 0.5
PARTS = 5
SCREEN_SENSITIVITY, ALARM_SPECIFICITY = 0.95, 0.982
RECIPE = PatchRecipe()
SCORES = "scores.json"

_LIMITS = (
    "Decision support under development; not a medical device, not for diagnosis.",
    "Judges a place that something else proposed; it does not find one, so no worker runs it.",
    "Nodules of 3 mm or more that at least 3 of 4 readers marked, against what LUNA16's detectors "
    "took for one: other lesions and other regions were not taught.",
    "One slice through the middle of the candidate, the chest around it in view: 48 mm of raw CT "
    "at 1 mm, the lungs not cut out.",
    "A sixth of the patches are nodules: its probability is a frequency there and only there, and "
    "only after calibration_shift was taken from its logit.",
)

console = Console(stderr=True)


def train(
    data: Path,
    out: Path,
    work: Path,
    *,
    recipe: PatchRecipe = RECIPE,
    seed: int = 1,
    workers: int = 2,
) -> None:
    """Train the engine and write its folder of the catalogue.

    Parameters
    ----------
    data : holds luna16-patches, and luna16-slices, which say whose a scan is.
    out : the engine's folder; model.onnx, engine.json and scores.json are made anew.
    work : runs lie here; one that is finished is not made again, one that broke off goes on.
    workers : processes at a time, a thread each.

    Raises
    ------
    JobFailed, FileNotFoundError
    """
    jobs = [job(data, work, recipe, part, seed) for part in (-1, *range(PARTS))]
    run(jobs, workers=workers, console=console)
    final, *apart = jobs
    patches = read_patches(data / PATCHES, read_patients(data / SLICES))
    labels, groups, logits = _unseen(patches, apart)
    scale, offset = platt(logits, labels)
    screen = threshold_at_sensitivity(logits, labels, SCREEN_SENSITIVITY) - 1e-4
    calibration = Calibration(scale, -scale * screen)
    out.mkdir(parents=True, exist_ok=True)
    export(final.logit(), calibration, out, size=SIDE)
    said = 1 / (1 + np.exp(-(calibration.scale * logits + calibration.shift)))
    scores = PatchScores(said.round(4), labels, groups)
    write_scores(out / SCORES, scores)
    card = write_card(out, scores, recipe, shift=-scale * screen - offset)
    for figure in card.figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")


def job(data: Path, work: Path, recipe: PatchRecipe, part: int, seed: int) -> CandidateJob:
    """Return the run without one part of the list, or, for part -1, with all."""
    listed = "all" if part < 0 else f"part {part} left out"
    return CandidateJob(
        name=f"{NAME}, {listed}, seed {seed}",
        data=data,
        folder=work / f"{NAME}-{'all' if part < 0 else part}-{seed}",
        recipe=recipe,
        part=part,
        parts=PARTS,
        seed=seed,
    )


def _unseen(
    patches: Patches, apart: Sequence[CandidateJob]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Scores]:
    """Labels, scans and logits of what the jobs left out."""
    place = {int(candidate): i for i, candidate in enumerate(patches.candidates)}
    told = [row for one in apart for row in json.loads((one.folder / LOGITS).read_text())]
    rows = [place[candidate] for candidate, _ in told]
    return patches.labels[rows], patches.first[rows], np.asarray([logit for _, logit in told])


def write_scores(path: Path, scores: PatchScores) -> None:
    """Write score, label and scan of each patch: no pixels, small enough to ship."""
    rows = zip(scores.scores, scores.labels, scores.groups, strict=True)
    lines = [json.dumps([round(float(s), 4), int(label), int(g)]) for s, label, g in rows]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def read_scores(path: Path) -> PatchScores:
    """Read what `write_scores` wrote."""
    scores, labels, groups = zip(*json.loads(path.read_text()), strict=True)
    return PatchScores(
        np.asarray(scores, float), np.asarray(labels, np.int64), np.asarray(groups, np.int64)
    )


def write_card(folder: Path, scores: PatchScores, recipe: PatchRecipe, shift: float) -> EngineCard:
    """Measure, and write engine.json beside model.onnx."""
    alarm = round(threshold_at_specificity(scores.scores, scores.labels, ALARM_SPECIFICITY), 4)
    card = EngineCard(
        name=NAME,
        version=VERSION,
        task="judge",
        simulated=False,
        description=_description(recipe),
        accepted=CHEST_CT,
        input=input_of(SIDE, spacing_mm=1.0),
        operating_points=OperatingPoints(screen=SCREEN, alarm=alarm),
        calibration_shift=round(shift, 4),
        training_data=luna_sources("training of the shipped weights; figures from other weights"),
        figures=tuple(figures(scores, alarm)),
        prevalence="A sixth of the patches are nodules; among what a detector proposes in a scan "
        "one in hundreds is.",
        limits_of_use=_LIMITS,
        licence="Apache-2.0 for the weights; trained on CC BY 4.0 and CC BY 3.0 data, cite both",
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    )
    (folder / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card


def figures(scores: PatchScores, alarm: float) -> list[Figure]:
    """Measure what the card says."""
    on = f"{PATCHES}, scans never seen in training ({PARTS} parts of the list)"
    return patch_figures(scores, {"screen": SCREEN, "alarm": alarm}, on=on)


def _description(recipe: PatchRecipe) -> str:
    return (
        "A network that judges one candidate by the 48 x 48 mm around it: nodule or not, as in "
        "LUNA16's track of false positive reduction. Trained for "
        f"{recipe.steps} steps of {recipe.batch} patches on "
        "all patches. The figures are of networks trained the same way without the scans they "
        "are measured on. The operating points were chosen there, too: screen finds "
        f"{SCREEN_SENSITIVITY:.0%} of the nodules, alarm lets {1 - ALARM_SPECIFICITY:.1%} of the "
        "others pass."
    )
