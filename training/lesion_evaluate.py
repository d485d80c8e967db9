"""Evaluate a lesion engine on labelled images: predictions first, then figures and a page.

Predictions never depend on labels: they are made from pixels alone, whatever lies beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from engines import EngineCard, EngineError, Figure, load_engine
from engines.loading import (
    TRAINED_ON,
    Precision,
    Runtime,
    find_engine,
    load_model,
    read_card,
)
from training import lidc
from training.frame_pictures import grey_of
from training.lesion_figures import (
    PatchScores,
    halves_of,
    match_slices,
    patch_figures,
    slice_figures,
)
from training.lesion_report import Evaluation, write_report
from training.lesion_truth import read_truth
from training.lidc import Frame
from training.luna import read_all_slices, read_hu
from training.patches import read_labels
from training.predictions import (
    FRAMES,
    PATCHES,
    SLICES,
    Prediction,
    predict_patches,
    predict_slices,
    rows_of,
    write,
)

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Sets:
    """The folders of the three kinds of images; None where there is none."""

    slices: Path | None
    patches: Path | None
    frames: Path | None


@dataclass(frozen=True, slots=True)
class How:
    """What computes, see `engines.load_engine`."""

    runtime: Runtime
    precision: Precision
    threads: int
    catalogues: Sequence[Path]


def find_sets(data: Path) -> Sets:
    """Find labelled sets: `data` itself, or folders of their names in it.

    Raises
    ------
    FileNotFoundError  there is none.
    """

    def first(name: str, sign: str) -> Path | None:
        return next((p for p in (data / name, data) if any(p.glob(sign))), None)

    sets = Sets(first(SLICES, "images"), first(PATCHES, "patches.npz"), first(FRAMES, "*/*.dcm"))
    if not any((sets.slices, sets.patches, sets.frames)):
        raise FileNotFoundError(
            f"{data}: holds neither images/, patches.npz nor PATIENT/*.dcm, nor folders {SLICES}, "
            f"{PATCHES} or {FRAMES}. See docs/data.md."
        )
    return sets


def evaluate(
    data: Path,
    name: str,
    *,
    judge: str,
    predictions: Path | None,
    report: Path | None,
    how: How,
) -> int:
    """Score what lies in `data`, write the predictions, measure where there are labels.

    Parameters
    ----------
    name : of the engine.
    judge : the engine of the catalogue that scores patches.
    predictions : written, a JSON line an item.
    report : written, HTML.

    Returns
    -------
    int
        Exit code: 0.
    """
    sets = find_sets(data)
    card = read_card(name, catalogues=how.catalogues)
    judging = read_card(judge, catalogues=how.catalogues) if sets.patches is not None else None
    frames = _frames(sets, name, how)
    found = [
        *_judged(sets, judge, how),
        *_predicted(sets, name, how),
        *(_said(frame) for frame in frames),
    ]
    if predictions is not None:
        count = write(predictions, found, card.operating_points.screen)
        console.print(f"{count} predictions in {predictions}")
    seen = trained_on(name, how.catalogues)
    evaluation = measure(sets, found, frames, card, judging, seen)
    if evaluation is None:
        console.print("no labels here: nothing to measure")
        return 0
    console.print(evaluation.notice, style="yellow")
    console.print(_table(evaluation.figures))
    if report is not None:
        write_report(report, evaluation)
        console.print(f"page: {report}")
    return 0


def _judged(sets: Sets, name: str, how: How) -> Iterator[Prediction]:
    if sets.patches is None:
        return
    with np.load(sets.patches / "patches.npz") as file:
        pixels = file["x"]
        numbers = file["candidate"] if "candidate" in file else np.arange(len(pixels))
    card, model = load_model(
        name, runtime=how.runtime, threads=how.threads, catalogues=how.catalogues
    )
    if card.task != "judge":
        raise EngineError(f"engine {name} does not judge patches: its task is {card.task}")
    patches = predict_patches(card.input, model, pixels, numbers.tolist())
    yield from track(patches, "patches", total=len(pixels), console=console)
    model.close()


def _predicted(sets: Sets, name: str, how: How) -> Iterator[Prediction]:
    if sets.slices is not None:
        folder = sets.slices
        images = sorted(str(p.relative_to(folder)) for p in (folder / "images").glob("*.png"))
        engine = load_engine(name, device="cpu", **asdict(how))
        yield from track(
            predict_slices(engine, folder, images), "slices", total=len(images), console=console
        )
        engine.close()


def _frames(sets: Sets, name: str, how: How) -> list[Frame]:
    if sets.frames is None:
        return []
    engine = load_engine(name, device="cpu", **asdict(how))
    with console.status("frames"):
        frames = lidc.score(sets.frames, engine)
    engine.close()
    return frames


def _said(frame: Frame) -> Prediction:
    return Prediction(FRAMES, frame.file, frame.probability, rows_of(frame.score.lesions))


def measure(
    sets: Sets,
    predictions: list[Prediction],
    frames: list[Frame],
    card: EngineCard,
    judge: EngineCard | None,
    trained: set[str],
) -> Evaluation | None:
    """Compare predictions with labels; None where no set has any."""
    threshold = card.operating_points.screen
    figures: list[Figure] = []
    truths, slices, halves = [], [], None
    of_slices = [p for p in predictions if p.dataset == SLICES]
    labels = read_labels(sets.patches) if sets.patches is not None else None
    if judge is not None and labels is not None:
        said = np.asarray([p.score for p in predictions if p.dataset == PATCHES])
        patches = PatchScores(said, labels.labels, labels.scans)
        at = judge.operating_points.model_dump()
        figures += patch_figures(patches, at, on=f"{PATCHES}, {_WHOLE}, by {judge.name}")
    if sets.slices is not None and (sources := read_all_slices(sets.slices)):
        folder = sets.slices
        truths = [read_truth(folder, s) for s in track(sources, "labels", console=console)]
        by_image = {p.id: p for p in of_slices}
        of_slices = [by_image[t.image] for t in truths]
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
    if frames:
        points = card.operating_points
        figures += lidc.measure(frames, points.screen, points.alarm)
    if not figures:
        return None
    return Evaluation(
        title=f"Evaluation of {card.name} {card.version}",
        notice=_notice({t.patient for t in truths} | {f.patient for f in frames}, trained, sets),
        figures=figures,
        truths=truths,
        predictions=of_slices,
        slices=slices,
        halves=halves,
        frames=frames,
        threshold=threshold,
        shift=card.calibration_shift,
        read=lambda image: _grey(sets.slices, image),
    )


_WHOLE = "as labelled"


def trained_on(name: str, catalogues: Sequence[Path]) -> set[str]:
    """Return the patients an engine was trained on, as its folder lists them."""
    path = find_engine(name, catalogues=catalogues) / TRAINED_ON
    return set(path.read_text().split()) if path.is_file() else set()


def _notice(patients: set[str], trained: set[str], sets: Sets) -> str:
    words = ["Rates are a slice, not a scan: not to be set beside LUNA16's own."]
    seen = patients & trained
    if not trained:
        words.append("The engine has no list of training patients: it may have seen these.")
    elif seen:
        words.append(
            f"{len(seen)} of the {len(patients)} patients of slices and frames were in the "
            "engine's training: figures on them say nothing about patients it has never seen. "
            "Those, by cross-validation, are on the engine's card (`engines info`)."
        )
    elif patients:
        words.append("No patient of the slices and frames is on its list of training patients.")
    if sets.patches is not None:
        words.append("Patches do not name their patient: keep them apart yourself.")
    return " ".join(words)


def _grey(folder: Path | None, image: str) -> NDArray[np.uint8]:
    assert folder is not None  # noqa: S101 -- there are slices to show only with a folder
    return grey_of(read_hu(folder, image))


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("figure", "value", "95 % interval", "units")
    for f in figures:
        interval = "" if f.low is None else f"{f.low:.3f} to {f.high:.3f}"
        table.add_row(f.name, f"{f.value:.3f}", interval, f.n)
    return table
