"""Bring your own model: look at an ONNX file, write the card that its owner can vouch for."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.card import (
    CT_CLASSES,
    NAME_PATTERN,
    Accepted,
    EngineCard,
    InputSpec,
    KnownAnswers,
    OperatingPoints,
)
from engines.classifier import Classifier, view_probability, view_size
from engines.detector import TAKEN, Detector, field_maps
from engines.enclosed import check_enclosed
from engines.errors import CatalogueError, EngineFailed
from engines.known_answer import ask
from engines.model import Model
from engines.onnx_runtime import OnnxModel
from engines.protocol import Engine

_UNKNOWN = "not stated by whoever added this model"


@dataclass(frozen=True, slots=True)
class Told:
    """What a file does not say of itself.

    Attributes
    ----------
    name : of the engine: lower case, digits and hyphens.
    source : what it was made from, for the card.
    hu_window : (low, high) HU that become 0 and 1.
    screen, alarm : thresholds.
    """

    name: str
    source: str
    hu_window: tuple[float, float]
    screen: float
    alarm: float


def add_onnx(path: Path, told: Told, catalogue: Path) -> EngineCard:
    """Copy an ONNX file into `catalogue` with a card, once it has answered some pictures.

    A file with outputs `heat` and `diameter_mm` is a detector, any other a classifier of lungs.

    Raises
    ------
    CatalogueError  the name is taken or not allowed, or the file is no model that can be used.
    """
    if not re.fullmatch(NAME_PATTERN, told.name):
        raise CatalogueError(f"{told.name!r}: no name for an engine: lower case, digits, hyphens.")
    folder = catalogue / told.name
    if folder.exists():
        raise CatalogueError(f"{folder}: there already. Choose another name, or remove it.")
    check_enclosed(path.read_bytes(), path)
    try:
        model = OnnxModel(path, threads=1)
        card = _card(path, model, told)
        answers = _try(model, card)
        model.close()
    except (EngineFailed, ValueError) as error:
        raise CatalogueError(f"{path}: cannot be added: {error}") from error
    card = card.model_copy(update={"known_answers": {"fp32": answers}})
    draft = catalogue / f".{told.name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shutil.copyfile(path, draft / "model.onnx")
    (draft / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    draft.replace(folder)
    return card


def _card(path: Path, model: Model, told: Told) -> EngineCard:
    detector = model.input_shape in TAKEN
    axes = "NHWC" if model.input_shape[-1] in (1, 3) else "NCHW"
    if len(model.input_shape) != len(axes):
        raise EngineFailed(f"takes {model.input_shape}: four axes are expected, NCHW or NHWC")
    spec = InputSpec(
        shape=model.input_shape,
        axes=axes,
        spacing_mm=1.0 if detector else None,
        hu_window=told.hu_window,
    )
    return EngineCard(
        name=told.name,
        version="0.0.1",
        task="detect" if detector else "classify",
        simulated=False,
        description=f"Added from {told.source}. Nothing was measured here yet.",
        accepted=Accepted(modalities=("CT",), sop_class_uids=CT_CLASSES, body_parts=()),
        input=spec,
        operating_points=OperatingPoints(screen=told.screen, alarm=told.alarm),
        training_data=(),
        figures=(),
        prevalence=_UNKNOWN,
        limits_of_use=(
            "Training data, figures and limits were not stated: measure it with `evaluate lesion` "
            "and run it as a shadow before it decides anything.",
        ),
        licence=_UNKNOWN,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _try(model: Model, card: EngineCard) -> KnownAnswers:
    """Let the model answer a black picture, and the known frames through the engine it will be."""
    engine: Engine
    if card.task == "detect":
        engine = Detector(card, model)
        field_maps(model, np.zeros(card.input.shape[2:], dtype=np.float32))
    else:
        engine = Classifier(card, model)
        size = view_size(card.input)
        view_probability(model, np.zeros((size, size), dtype=np.float32), card.input)
    return ask(engine)
