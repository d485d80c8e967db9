"""Evaluate a lesion engine on labelled images: predictions first, then figures and a page.

Predictions never depend on labels: they are made from pixels alone, whatever lies beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines import EngineCard, Figure, load_engine
from engines.loading import CATALOGUE, TRAINED_ON, load_model
from engines.preprocess import HU_WINDOW
from training.lesion_figures import halves_of, match_slices, patch_figures, slice_figures
from training.lesion_report import Evaluation, write_report
from training.lesion_truth import read_truth
from training.luna import read_all_slices, read_hu
from training.patches import read_labels
from training.predictions import (
    PATCHES,
    SLICES,
    Prediction,
    predict_patches,
    predict_slices,
    write,
)

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Sets:
    """The folders of the two kinds of images; None where there is none."""

    slices: Path | None
    patches: Path | None


def find_sets(data: Path) -> Sets:
    """Find labelled sets: `data` itself, or `luna16-slices` and `luna16-patches` in it.

    Raises
    ------
    FileNotFoundError  there is neither.
    """
    patches = [p for p in (data, data / PATCHES) if (p / "patches.npz").is_file()]
    slices = [p for p in (data, data / SLICES) if (p / "images").is_dir()]
    if not patches and not slices:
        raise FileNotFoundError(
            f"{data}: holds neither patches.npz nor images/, nor {SLICES} or {PATCHES}. "
            "See docs/data.md."
        )
    return Sets(slices[0] if slices else None, patches[0] if patches else None)


def evaluate(
    data: Path, name: str, *, predictions: Path | None, report: Path | None, threads: int
) -> int:
    """Score what lies in `data`, write the predictions, measure where there are labels.

    Parameters
    ----------
    name : of the engine.
    predictions : written, a JSON line an item.
    report : written, HTML.

    Returns
    -------
    int
        Exit code: 0.
    """
    sets = find_sets(data)
    card, model = load_model(name, threads=threads)
    found = list(_predicted(sets, name, threads))
    if predictions is not None:
        count = write(predictions, found, card.operating_points.screen)
        console.print(f"{count} predictions in {predictions}")
    model.close()
    evaluation = measure(sets, found, card)
    if evaluation is None:
        console.print("no labels here: nothing to measure")
        return 0
    console.print(evaluation.notice, style="yellow")
    console.print(_table(evaluation.figures))
    if report is not None:
        write_report(report, evaluation)
        console.print(f"page: {report}")
    return 0


def _predicted(sets: Sets, name: str, threads: int) -> Iterator[Prediction]:
    if sets.patches is not None:
        with np.load(sets.patches / "patches.npz") as file:
            pixels = file["x"]
            numbers = file["candidate"] if "candidate" in file else np.arange(len(pixels))
        _, model = load_model(name, threads=threads)
        patches = predict_patches(model, pixels, numbers.tolist())
        yield from track(patches, "patches", total=len(pixels), console=console)
        model.close()
    if sets.slices is not None:
        folder = sets.slices
        images = sorted(str(p.relative_to(folder)) for p in (folder / "images").glob("*.png"))
        engine = load_engine(name, device="cpu", threads=threads)
        yield from track(
            predict_slices(engine, folder, images), "slices", total=len(images), console=console
        )
        engine.close()


def measure(sets: Sets, predictions: list[Prediction], card: EngineCard) -> Evaluation | None:
    """Compare predictions with labels; None where neither set has any."""
    name, threshold = card.name, card.operating_points.screen
    figures: list[Figure] = []
    truths, slices, halves = [], [], None
    seen: set[str] = set()
    of_slices = [p for p in predictions if p.dataset == SLICES]
    if sets.patches is not None and (labels := read_labels(sets.patches)) is not None:
        scores = np.asarray([p.score for p in predictions if p.dataset == PATCHES])
        figures += patch_figures(scores, labels.labels, labels.scans, on=f"{PATCHES}, {_WHOLE}")
    if sets.slices is not None and (sources := read_all_slices(sets.slices)):
        folder = sets.slices
        seen = {s.patient for s in sources} & trained_on(name)
        truths = [read_truth(folder, s) for s in track(sources, "labels", console=console)]
        said = {p.id: p for p in of_slices}
        of_slices = [said[t.image] for t in truths]
        slices = match_slices(truths, of_slices)
        halves = halves_of(truths, of_slices)
        with console.status("1,000 draws of patients"):
            figures += slice_figures(
                slices,
                halves,
                threshold,
                on=f"{SLICES}, {_WHOLE}",
                shift=card.calibration_shift,
            )
    if not figures:
        return None
    return Evaluation(
        title=f"Evaluation of {name}",
        notice=_notice(seen, len({t.patient for t in truths})),
        figures=figures,
        truths=truths,
        predictions=of_slices,
        slices=slices,
        halves=halves,
        threshold=threshold,
        read=lambda image: _grey(sets.slices, image),
    )


_WHOLE = "as labelled"


def trained_on(name: str) -> set[str]:
    """Return the patients an engine was trained on, as its folder lists them."""
    path = CATALOGUE / name / TRAINED_ON
    return set(path.read_text().split()) if path.is_file() else set()


def _notice(seen: set[str], patients: int) -> str:
    scale = "Rates are a slice, not a scan: not to be set beside LUNA16's own."
    if not seen:
        return f"None of these patients is on the engine's list of training patients. {scale}"
    return (
        f"{len(seen)} of the {patients} patients of the slices were in the engine's training: "
        "figures on them say nothing about patients it has never seen. Those, by "
        f"cross-validation, are on the engine's card (`engines info`). {scale}"
    )


def _grey(folder: Path | None, image: str) -> NDArray[np.uint8]:
    assert folder is not None  # noqa: S101 -- there are slices to show only with a folder
    low, high = HU_WINDOW
    unit = (read_hu(folder, image) - low) / (high - low)
    return np.asarray(np.rint(unit * 255), dtype=np.uint8)


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("figure", "value", "95 % interval", "units")
    for f in figures:
        interval = "" if f.low is None else f"{f.low:.3f} to {f.high:.3f}"
        table.add_row(f.name, f"{f.value:.3f}", interval, f.n)
    return table
