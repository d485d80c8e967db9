"""The evaluation as a page: figures, curves, and pictures of hits, misses and false alarms."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import Figure
from training.frame_pictures import FOUND as _FOUND
from training.frame_pictures import READER as _NODULE
from training.frame_pictures import draw
from training.froc import RATES, Matched, sensitivity_at, threshold_at
from training.lesion_figures import Halves, unshifted
from training.lesion_truth import Truth
from training.lidc import Frame
from training.predictions import Prediction

_CROP_MM = 64
_PICTURES = 12
_SCALE = 3
_IGNORED = (60, 200, 200)  # BGR

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
table { border-collapse: collapse }
td, th { padding: .25rem .8rem; border-bottom: 1px solid #d5d9de; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: .4rem; vertical-align: top } figcaption { font-size: 12px }
img.curve { max-width: 100% } .warn { border-left: 4px solid #b25c00; padding-left: .8rem }
"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that the page shows.

    Attributes
    ----------
    title, notice : whose figures these are, and on what.
    figures : the table.
    truths, predictions, slices : in the same order; empty without slices.
    frames : whole DICOM frames.
    shift : the card's `calibration_shift`.
    read : makes the (H, W) uint8 picture of a slice from its name.
    """

    title: str
    notice: str
    figures: Sequence[Figure]
    truths: Sequence[Truth]
    predictions: Sequence[Prediction]
    slices: Sequence[Matched]
    halves: Halves | None
    frames: Sequence[Frame]
    threshold: float
    shift: float
    read: Callable[[str], NDArray[np.uint8]]


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Write one HTML file that needs no other."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(evaluation.title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(evaluation.title)}</h1>",
        f"<p class=warn>{html.escape(evaluation.notice)}</p>",
        _table(evaluation.figures),
    ]
    if evaluation.slices and evaluation.halves is not None:
        parts.append(_curves(evaluation, evaluation.halves))
        parts += _galleries(evaluation)
    parts += _frame_galleries(evaluation.frames, evaluation.threshold)
    path.write_text("\n".join(parts) + "</html>\n")


def _table(figures: Sequence[Figure]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(f.name)}<td class=n>{f.value:.3f}"
        f"<td class=n>{'' if f.low is None else f'{f.low:.3f} to {f.high:.3f}'}"
        f"<td>{html.escape(f.n)}<td>{html.escape(f.on)}"
        for f in figures
    )
    head = "<tr><th>figure<th>value<th>95 % interval, by patient<th>units<th>on"
    return f"<table>{head}{rows}</table>"


def _curves(evaluation: Evaluation, halves: Halves) -> str:
    """Draw FROC, ROC, reliability and sizes side by side."""
    from matplotlib.figure import Figure as Plot  # only reports draw

    plot = Plot(figsize=(13, 3.6), layout="constrained")
    axes = plot.subplots(1, 4)
    _froc(axes[0], evaluation.slices)
    _roc(axes[1], halves, evaluation.threshold)
    _reliability(axes[2], unshifted(halves.scores, evaluation.shift), halves.labels)
    _sizes(axes[3], evaluation.slices)
    file = io.BytesIO()
    plot.savefig(file, format="png", dpi=110)
    return f'<p><img class=curve alt="curves" src="{_data_url(file.getvalue())}">'


def _froc(axis: Any, slices: Sequence[Matched]) -> None:
    rates = np.geomspace(1 / 16, 8, 60)
    axis.plot(rates, [sensitivity_at(slices, rate) for rate in rates])
    axis.plot(RATES, [sensitivity_at(slices, rate) for rate in RATES], "o")
    axis.set(xscale="log", ylim=(0, 1), title="FROC", xlabel="false positives a slice")
    axis.set_ylabel("sensitivity")
    axis.set_xticks(RATES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axis.grid(alpha=0.3)


def _roc(axis: Any, halves: Halves, threshold: float) -> None:
    order = np.argsort(-halves.scores, kind="stable")
    labels = halves.labels[order]
    hits = np.cumsum(labels) / max(labels.sum(), 1)
    false = np.cumsum(1 - labels) / max((1 - labels).sum(), 1)
    axis.plot(false, hits)
    at = int((halves.scores >= threshold).sum()) - 1
    if at >= 0:
        axis.plot([false[at]], [hits[at]], "o", label=f"screen {threshold:.2f}")
        axis.legend(loc="lower right")
    axis.set(title="half-lungs: ROC", xlabel="1 - specificity", ylabel="sensitivity")
    axis.grid(alpha=0.3)


def _reliability(axis: Any, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    parts = [p for p in np.array_split(np.argsort(scores, kind="stable"), 10) if len(p)]
    axis.plot([0, 1], [0, 1], ":", color="grey")
    axis.plot([scores[p].mean() for p in parts], [labels[p].mean() for p in parts], "o-")
    axis.set(title="half-lungs: calibration, unshifted", xlabel="said", ylabel="found")
    axis.grid(alpha=0.3)


def _sizes(axis: Any, slices: Sequence[Matched]) -> None:
    true = np.concatenate([s.diameters_mm for s in slices])
    said = np.concatenate([s.sizes_mm for s in slices])
    axis.plot([0, 40], [0, 40], ":", color="grey")
    axis.plot(true, said, ".", alpha=0.4)
    axis.set(title="diameter, mm", xlabel="readers", ylabel="engine")
    axis.grid(alpha=0.3)


def _galleries(evaluation: Evaluation) -> list[str]:
    """Show the clearest hits, the largest misses and the most certain false alarms."""
    level = threshold_at(evaluation.slices, 1.0)
    triples = list(zip(evaluation.truths, evaluation.predictions, evaluation.slices, strict=True))
    nodules = [
        (truth, prediction, slice_.hits[i], place)
        for truth, prediction, slice_ in triples
        for i, place in enumerate(truth.nodules)
    ]
    hits = sorted((n for n in nodules if n[2] >= level), key=lambda n: -n[2])
    misses = sorted((n for n in nodules if n[2] < level), key=lambda n: -n[3][2])
    false = sorted(
        (
            (truth, prediction, row[0], row[1:4])
            for truth, prediction, _ in triples
            for row in prediction.lesions
            if _is_false(truth, row)
        ),
        key=lambda n: -n[2],
    )
    words = "at the threshold with 1 false positive a slice"
    parts = ["<p>Green: marked by readers. Yellow: to be ignored. Blue: found by the engine."]
    for name, found in (
        (f"Hits, {len(hits)} {words}: the surest", hits),
        (f"Misses, {len(misses)} {words}: the largest", misses),
        ("False alarms: the surest", false),
    ):
        pictures = "".join(_picture(evaluation, *one) for one in found[:_PICTURES])
        parts.append(f"<h2>{html.escape(name)}</h2>{pictures or '<p>none'}")
    return parts


def _frame_galleries(frames: Sequence[Frame], threshold: float) -> list[str]:
    """Show every frame by what became of it, misses first."""
    if not frames:
        return []
    kinds: dict[str, Callable[[Frame], bool]] = {
        "Whole frames, missed at screen": lambda f: f.lesion and f.probability < threshold,
        "Whole frames, false alarm at screen": lambda f: f.clean and f.probability >= threshold,
        "Whole frames, found": lambda f: f.lesion and f.probability >= threshold,
        "Whole frames, rightly passed": lambda f: f.clean and f.probability < threshold,
        "Whole frames that the readers dispute": lambda f: not (f.lesion or f.clean),
    }
    parts = [
        "<p>Green: outlines of up to four readers. Blue: boxes of the engine at screen or above. "
        "Glow: its heat map, which a finding carries at screen or above."
    ]
    for name, fits in kinds.items():
        chosen = [frame for frame in frames if fits(frame)]
        pictures = "".join(_frame_figure(frame, threshold) for frame in chosen)
        parts.append(f"<h2>{name}: {len(chosen)}</h2>{pictures or '<p>none'}")
    return parts


def _frame_figure(frame: Frame, threshold: float) -> str:
    return _figure(draw(frame, threshold), f"{frame.file}, p = {frame.probability:.2f}")


def _figure(picture: NDArray[np.uint8], text: str) -> str:
    _, png = cv2.imencode(".png", picture)
    caption, width = html.escape(text), picture.shape[1]
    return (
        f'<figure style="width:{width}px"><img width={width} alt="{caption}" '
        f'src="{_data_url(png.tobytes())}"><figcaption>{caption}</figcaption></figure>'
    )


def _is_false(truth: Truth, row: NDArray[np.float64]) -> bool:
    marked = np.concatenate((truth.nodules, truth.ignored))
    return not (np.hypot(marked[:, 0] - row[1], marked[:, 1] - row[2]) <= marked[:, 2] / 2).any()


def _picture(
    evaluation: Evaluation,
    truth: Truth,
    prediction: Prediction,
    probability: float,
    place: NDArray[np.float64],
) -> str:
    x, y, diameter = (float(v) for v in place)
    pad = _CROP_MM // 2
    grey = np.pad(evaluation.read(truth.image), pad)
    left, top = round(x), round(y)
    crop = grey[top : top + _CROP_MM, left : left + _CROP_MM]
    size = (crop.shape[1] * _SCALE, crop.shape[0] * _SCALE)
    canvas = cv2.cvtColor(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)

    def ring(rows: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
        for cx, cy, across in rows:
            centre = (round((cx - left + pad) * _SCALE), round((cy - top + pad) * _SCALE))
            cv2.circle(canvas, centre, round(across / 2 * _SCALE) + 3, colour, 1, cv2.LINE_AA)

    ring(truth.ignored, _IGNORED)
    ring(truth.nodules, _NODULE)
    ring(prediction.lesions[prediction.lesions[:, 0] >= evaluation.threshold, 1:4], _FOUND)
    said = f"p = {probability:.2f}" if probability >= 0 else "not found"
    picture = np.asarray(canvas, dtype=np.uint8)
    return _figure(picture, f"{truth.image} ({truth.patient}), {diameter:.0f} mm, {said}")


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
