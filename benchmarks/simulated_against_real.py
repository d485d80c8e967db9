"""Compare the simulated scanner with real CT: densities, noise, vessels, and an engine's scores.

Run as ``python -m benchmarks.simulated_against_real --data FOLDER``, where FOLDER holds
`lidc-dicom`. Prints the tables of docs/simulator.md and draws its picture. It measures; nothing is
tuned by it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from engines import CtSlice, Engine, load_engine
from producers.scanner.course import patients
from producers.scanner.series import scans

Hu = NDArray[np.float32]
PICTURE = Path("docs/simulator.png")
PERCENTILES = (5, 25, 50, 75, 95)
VESSEL_HU = -600
AREAS_MM2 = ((1.5, 6.0), (6.0, 20.0), (20.0, 60.0), (60.0, np.inf))
ROUND = 1.7
"""Longer than wide by less than this: round."""

SEED = 11
PATIENTS = 6
SLICES = 12


@dataclass(frozen=True, slots=True)
class Case:
    """One slice.

    lesion : whether one is in it; None where nobody says.
    """

    hu: Hu
    spacing_mm: float
    lesion: bool | None


def main(argv: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated_against_real", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True, help="parent of lidc-dicom")
    parser.add_argument("--engine", default="lesion")
    args = parser.parse_args(argv)
    real, simulated = read_real(args.data / "lidc-dicom"), simulate()
    engine = load_engine(args.engine)
    print(_table([("real", real), ("simulated", simulated)], engine))
    cv2.imwrite(str(PICTURE), side_by_side(real, simulated))
    print(f"\n{PICTURE}: left real (LIDC-IDRI), right simulated", file=sys.stderr)
    return 0


def read_real(folder: Path) -> list[Case]:
    """Return the real slices; those with a contour by three of four readers hold a lesion."""
    with (folder / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [_real(folder, row) for row in rows]


def _real(folder: Path, row: dict[str, str]) -> Case:
    ds = pydicom.dcmread(folder / row["file"])
    hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    lesion = True if row["lesion_3of4"] == "1" else False if row["clean_negative"] == "1" else None
    return Case(np.maximum(hu, -1024).astype(np.float32), float(ds.PixelSpacing[0]), lesion)


def simulate() -> list[Case]:
    """Return simulated slices of several patients; a lesion counts from 4 mm on, as readers' do."""
    cases = []
    for scan in scans(list(patients(PATIENTS, studies=1, slices=SLICES, seed=SEED)), SLICES):
        for image in scan.images():
            ds = image.dataset
            hu = ds.pixel_array.astype(np.float32) + float(ds.RescaleIntercept)
            seen = [lesion["diameter_mm"] for lesion in image.truth["lesions"]]
            lesion = True if max(seen, default=0) >= 4 else None if seen else False
            cases.append(Case(hu, float(ds.PixelSpacing[0]), lesion))
    return cases


def lungs_of(hu: Hu) -> NDArray[np.bool_]:
    """Return what lies well inside the lungs, vessels included."""
    air = (hu < -500).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(air)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    round_image = np.hypot(*(np.indices(hu.shape) - hu.shape[0] / 2)) > hu.shape[0] / 2 - 3
    outside = set(rim) | set(np.unique(labels[round_image]))
    kept = np.zeros_like(air)
    for number in range(1, count):
        if number not in outside and stats[number, cv2.CC_STAT_AREA] > 3000:
            kept[labels == number] = 1
    outlines, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(kept, outlines, -1, 1, thickness=-1)
    return np.asarray(cv2.erode(kept, np.ones((7, 7), np.uint8)) > 0)


def vessels_of(case: Case) -> Counter[tuple[int, str]]:
    """Count what is dense in the lungs, by class of area and by shape."""
    dense = ((case.hu > VESSEL_HU) & lungs_of(case.hu)).astype(np.uint8)
    count, labels = cv2.connectedComponents(dense)
    found: Counter[tuple[int, str]] = Counter()
    for number in range(1, count):
        rows, columns = np.nonzero(labels == number)
        area = len(rows) * case.spacing_mm**2
        if area < AREAS_MM2[0][0]:
            continue
        spread = np.cov(np.stack([rows, columns])) + np.eye(2) / 12
        narrow, wide = np.linalg.eigvalsh(spread)
        size = next(n for n, (low, high) in enumerate(AREAS_MM2) if low <= area < high)
        found[size, "round" if np.sqrt(wide / narrow) < ROUND else "long"] += 1
    return found


def noise_of(case: Case) -> tuple[float, float]:
    """Return noise in muscle and blood: standard deviation in HU, correlation with the next pixel.

    Of what is left after a median over 7 pixels, where all around is soft tissue.
    """
    soft = ((case.hu > -20) & (case.hu < 120)).astype(np.uint8)
    inside = cv2.erode(soft, np.ones((7, 7), np.uint8)) > 0
    smooth = cv2.blur(case.hu, (7, 7))
    rest = case.hu - smooth
    pair = inside[:, 1:] & inside[:, :-1]
    a, b = rest[:, 1:][pair], rest[:, :-1][pair]
    return float(rest[inside].std()), float(np.corrcoef(a, b)[0, 1])


def _table(groups: Sequence[tuple[str, list[Case]]], engine: Engine) -> str:
    columns = [_measured(cases, engine) for _, cases in groups]
    lines = [
        f"| | {' | '.join(name for name, _ in groups)} |",
        f"|---|{'---|' * len(groups)}",
    ]
    for name in columns[0]:
        lines.append(f"| {name} | {' | '.join(column[name] for column in columns)} |")
    return "\n".join(lines)


def _measured(cases: list[Case], engine: Engine) -> dict[str, str]:
    """Return each measurement by name, as it is printed."""
    masks = [lungs_of(case.hu) for case in cases]
    inside = np.concatenate([case.hu[mask] for case, mask in zip(cases, masks, strict=True)])
    area = sum(m.sum() * c.spacing_mm**2 for c, m in zip(cases, masks, strict=True)) / 1e4
    noise = np.array([noise_of(case) for case in cases])
    vessels: Counter[tuple[int, str]] = Counter()
    for case in cases:
        vessels += vessels_of(case)
    percentiles = " / ".join(f"{v:.0f}" for v in np.percentile(inside, PERCENTILES))
    found: dict[str, str] = {
        "slices": str(len(cases)),
        "HU inside the lungs, 5 / 25 / 50 / 75 / 95 %": percentiles,
        f"part of the lungs over {VESSEL_HU} HU": f"{(inside > VESSEL_HU).mean():.1%}",
        "noise in soft tissue, HU": f"{np.median(noise[:, 0]):.1f}",
        "correlation of its neighbouring pixels": f"{np.median(noise[:, 1]):.2f}",
    }
    for size, (low, high) in enumerate(AREAS_MM2):
        label = f"{low:g} to {high:g} mm²" if np.isfinite(high) else f"over {low:g} mm²"
        counts = [vessels[size, shape] / area for shape in ("round", "long")]
        found[f"dense spots of {label} on 100 cm² of lung, round / long"] = (
            f"{counts[0]:.1f} / {counts[1]:.1f}"
        )
    scores = [
        (case.lesion, engine.score(CtSlice(case.hu, (case.spacing_mm,) * 2)).lesion_probability)
        for case in cases
    ]
    screen = engine.card.operating_points.screen
    for words, lesion in (("with", True), ("without", False)):
        of = [score for known, score in scores if known is lesion]
        if of:
            quartiles = " / ".join(f"{v:.2f}" for v in np.percentile(of, (25, 50, 75)))
            positive = sum(score >= screen for score in of)
            found[f"slices {words} a lesion: positive"] = f"{positive} of {len(of)}"
            found[f"slices {words} a lesion: score, quartiles"] = quartiles
    return found


def side_by_side(real: list[Case], simulated: list[Case]) -> NDArray[np.uint8]:
    """Draw two real and two simulated slices with a lesion, in a lung and a soft-tissue window."""
    rows = []
    chosen = [case for case in real if case.lesion][:: max(1, sum(1 for c in real if c.lesion) - 1)]
    drawn = [case for case in simulated if case.lesion]
    pairs = zip(chosen[:2], drawn[4 :: max(1, len(drawn) // 2)][:2], strict=False)
    for left, right in pairs:
        for centre, width in ((-600, 1500), (40, 400)):
            rows.append(np.hstack([_windowed(case.hu, centre, width) for case in (left, right)]))
    return np.asarray(np.vstack(rows), dtype=np.uint8)


def _windowed(hu: Hu, centre: float, width: float) -> NDArray[Any]:
    unit = np.clip((hu - centre) / width + 0.5, 0, 1)
    grey = (unit * 255).astype(np.uint8)
    return np.asarray(cv2.resize(grey, (448, 448), interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    sys.exit(main())
