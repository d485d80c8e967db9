"""The known-answer check: two frames made of numbers, and whether an engine answers as it should.

A model's file may be whole and its answers wrong all the same: a kernel, a driver, memory. Who asks
what is known notices. ``python -m engines.known_answer FOLDER...`` notes the answers of an engine
in its card.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.card import EngineCard, KnownAnswers
from engines.loading import Precision, load_engine, read_card
from engines.protocol import CtSlice, Engine

SIZE = 224
SPACING_MM = 1.4
LUNG_HU, NODULE_HU = -850.0, -400.0
NODULE_RADIUS_MM = 2.0

ELSEWHERE = 0.05
"""By how much an answer may differ from the card's: other processors have other int8 kernels."""

HERE = 1e-4
"""By how much it may differ from this engine's own first one, which should be the same bits."""


@lru_cache(maxsize=1)
def known_frames() -> tuple[CtSlice, CtSlice]:
    """Return a chest with two clear lungs, and the same with one nodule.

    Two, for an engine that says the same of everything is right about one of them. No random
    numbers: their generators may change with a version of numpy.
    """
    return CtSlice(_chest(0.0), (SPACING_MM,) * 2), CtSlice(_chest(1.0), (SPACING_MM,) * 2)


def ask(engine: Engine) -> KnownAnswers:
    """Return what an engine says of both frames.

    Raises
    ------
    NotScorable, EngineFailed   as `Engine.score`.
    """
    clear, nodule = known_frames()
    return engine.score(clear).lesion_probability, engine.score(nodule).lesion_probability


def wrong(card: EngineCard, precision: str, first: KnownAnswers, now: KnownAnswers) -> str:
    """Say in words what is wrong with answers; "" where nothing is.

    Parameters
    ----------
    card : its known answers hold, where it has some for this precision.
    first : what this engine, as it was loaded, said first.
    """
    known = card.known_answers.get("fp32" if precision == "fp16" else precision)
    for answers, tolerance, whose in ((known, ELSEWHERE, "its card"), (first, HERE, "its start")):
        if answers is None:
            continue
        for said, expected in zip(now, answers, strict=True):
            if not abs(said - expected) <= tolerance:  # NaN is wrong, too
                return f"it answers {said:.4f}, {whose} says {expected:.4f}"
    return ""


def note(folder: Path) -> EngineCard:
    """Write the known answers of the engine in `folder`, in all its precisions, into its card."""
    card = read_card(folder.name, catalogues=[folder.parent])
    answers: dict[str, KnownAnswers] = {}
    wanted: list[Precision] = ["fp32", *(variant.precision for variant in card.variants)]
    for precision in wanted:
        engine = load_engine(
            folder.name, device="cpu", precision=precision, catalogues=[folder.parent]
        )
        answers[precision] = ask(engine)
        engine.close()
    card = card.model_copy(update={"known_answers": answers})
    (folder / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    return card


def _chest(nodule: float) -> NDArray[np.float32]:
    """Draw (SIZE, SIZE) float32 HU; `nodule` is 0 for none, 1 for one in the lung on the right."""
    y, x = (np.mgrid[0:SIZE, 0:SIZE].astype(np.float64) + 0.5) / SIZE - 0.5
    hu = np.full((SIZE, SIZE), -1000.0)
    hu[(x / 0.45) ** 2 + (y / 0.34) ** 2 < 1] = 40.0
    for side in (-1, 1):
        hu[((x - side * 0.2) / 0.14) ** 2 + (y / 0.22) ** 2 < 1] = LUNG_HU
    distance_mm = np.hypot(x - 0.19, y - 0.03) * SIZE * SPACING_MM
    hu += nodule * (NODULE_HU - LUNG_HU) * np.clip(NODULE_RADIUS_MM + 0.5 - distance_mm, 0.0, 1.0)
    hu += 10.0 * np.sin(311.0 * x + 173.0 * y) * np.cos(197.0 * x - 239.0 * y)
    return hu.astype(np.float32)


def _main(folders: Sequence[str]) -> None:
    for folder in folders:
        card = note(Path(folder).absolute())
        sys.stdout.write(f"{card.name} {card.version}: {card.known_answers}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
