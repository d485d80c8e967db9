"""Measure an engine on real DICOM slices of LIDC-IDRI and note it in the engine's card.

Run as ``python -m training.lidc --data lidc-dicom --engine engines/catalogue/textbook-256``. The
slices never train a network (Armato et al., doi:10.1118/1.3528204, CC BY 3.0). They check the
whole way from raw HU, lung cut included, which the 8-bit LUNA16 slices cannot; the lung cut's
thresholds were set with these slices in view. They are of three patients, so each figure says how
few it rests on and carries no interval.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import CtSlice, Engine, Figure, NotScorable, Score, load_engine
from engines.loading import Precision, read_card

_SET = "LIDC-IDRI DICOM"


@dataclass(frozen=True, slots=True)
class Frame:
    """One scored slice.

    Attributes
    ----------
    file : path relative to the folder.
    ct : the slice.
    lesion, clean : at least 3 of 4 readers marked a lesion of 3 mm; nobody marked anything.
    contours : (n, 2) column, row of every reader's outline of a nodule of 3 mm or more.
    score : what the engine said.
    """

    file: str
    ct: CtSlice
    lesion: bool
    clean: bool
    contours: tuple[NDArray[np.int32], ...]
    score: Score

    @property
    def probability(self) -> float:
        """Probability that a lesion is on the slice."""
        return self.score.lesion_probability

    @property
    def patient(self) -> str:
        """Folder of the file."""
        return self.file.split("/")[0]


def main(argv: list[str] | None = None) -> int:
    """Score the slices, print one line each, rewrite the card; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.lidc", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a lidc-dicom folder")
    parser.add_argument("--engine", type=Path, required=True, help="the engine's folder")
    args = parser.parse_args(argv)
    card = read_card(args.engine.name, catalogues=[args.engine.parent])
    figures = _with(card.figures, _measured(args.data, args.engine, "fp32"))
    variants = tuple(
        v.model_copy(
            update={"figures": _with(v.figures, _measured(args.data, args.engine, v.precision))}
        )
        for v in card.variants
    )
    noted = card.model_copy(update={"figures": figures, "variants": variants})
    (args.engine / "engine.json").write_text(noted.model_dump_json(indent=2) + "\n")
    return 0


def _measured(data: Path, folder: Path, precision: Precision) -> list[Figure]:
    engine = load_engine(folder.name, device="cpu", precision=precision, catalogues=[folder.parent])
    frames = score(data, engine)
    points = engine.card.operating_points
    engine.close()
    for frame in frames:
        word = "lesion" if frame.lesion else "clean" if frame.clean else "disputed"
        print(f"{precision}  {frame.file}  {word:8}  {frame.probability:.3f}")
    return measure(frames, points.screen, points.alarm)


def _with(old: tuple[Figure, ...], new: list[Figure]) -> tuple[Figure, ...]:
    return (*(figure for figure in old if not figure.on.startswith(_SET)), *new)


def score(data: Path, engine: Engine) -> list[Frame]:
    """Score every .dcm below `data`; slices.csv and contours.csv may be missing.

    A slice that the engine cannot score, as one without lungs, has probability 0.
    """
    labels = {row["file"]: row for row in _rows(data / "slices.csv")}
    contours = _contours(data / "contours.csv")
    frames = []
    for path in sorted(data.rglob("*.dcm")):
        name, ct = str(path.relative_to(data)), _read(path)
        row = labels.get(name, {})
        frames.append(
            Frame(
                name,
                ct,
                row.get("lesion_3of4") == "1",
                row.get("clean_negative") == "1",
                tuple(contours[name]),
                _score(engine, ct),
            )
        )
    return frames


def _score(engine: Engine, ct: CtSlice) -> Score:
    try:
        return engine.score(ct)
    except NotScorable:
        return Score(0.0, (), {}, 0.0, 0.0)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _contours(path: Path) -> dict[str, list[NDArray[np.int32]]]:
    found: dict[str, list[NDArray[np.int32]]] = defaultdict(list)
    for row in _rows(path):
        if row["kind"] == "nodule>=3mm":
            points = [point.split(",") for point in row["contour"].split()]
            found[row["file"]].append(np.asarray(points, dtype=np.int32))
    return found


def measure(frames: list[Frame], screen: float, alarm: float) -> list[Figure]:
    """Sensitivity on slices with a lesion, specificity on clean ones, where there are such."""
    lesion = [frame for frame in frames if frame.lesion]
    clean = [frame for frame in frames if frame.clean]
    figures = []
    for point, threshold in (("screen", screen), ("alarm", alarm)):
        hits = sum(frame.probability >= threshold for frame in lesion)
        passed = sum(frame.probability < threshold for frame in clean)
        if lesion:
            figures.append(_figure(f"sensitivity at {point}", hits, lesion, "with a lesion"))
        if clean:
            figures.append(_figure(f"specificity at {point}", passed, clean, "nobody marked"))
    return figures


def _figure(name: str, right: int, frames: list[Frame], kind: str) -> Figure:
    patients = len({frame.patient for frame in frames})
    return Figure(
        name=name,
        value=round(right / len(frames), 3),
        on=f"{_SET}, whole frames from raw HU",
        n=f"{right} of {len(frames)} slices {kind}, n = {patients} patients: no interval",
    )


def _read(path: Path) -> CtSlice:
    import pydicom  # here alone: engines know no DICOM

    image = pydicom.dcmread(path)
    stored: NDArray[np.float32] = image.pixel_array.astype(np.float32)
    hu = stored * np.float32(image.RescaleSlope) + np.float32(image.RescaleIntercept)
    row, column = (float(value) for value in image.PixelSpacing)
    return CtSlice(hu, (row, column))


if __name__ == "__main__":
    sys.exit(main())
