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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import CtSlice, EngineCard, Figure, load_engine

_SET = "LIDC-IDRI DICOM"


@dataclass(frozen=True, slots=True)
class Frame:
    """One scored slice: its file, the readers' word, the engine's."""

    file: str
    lesion: bool
    clean: bool
    probability: float

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
    card, frames = score(args.data, args.engine)
    for frame in frames:
        word = "lesion" if frame.lesion else "clean" if frame.clean else "disputed"
        print(f"{frame.file}  {word:8}  {frame.probability:.3f}")
    figures = measure(frames, card.operating_points.screen, card.operating_points.alarm)
    for figure in figures:
        print(f"{figure.name}: {figure.value} ({figure.n})")
    kept = [figure for figure in card.figures if not figure.on.startswith(_SET)]
    noted = card.model_copy(update={"figures": (*kept, *figures)})
    (args.engine / "engine.json").write_text(noted.model_dump_json(indent=2) + "\n")
    return 0


def score(data: Path, folder: Path) -> tuple[EngineCard, list[Frame]]:
    """Score every slice listed in slices.csv with the engine in `folder`."""
    engine = load_engine(folder.name, device="cpu", catalogues=[folder.parent])
    with (data / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    frames = [
        Frame(
            row["file"],
            row["lesion_3of4"] == "1",
            row["clean_negative"] == "1",
            engine.score(_read(data / row["file"])).lesion_probability,
        )
        for row in rows
    ]
    engine.close()
    return engine.card, frames


def measure(frames: list[Frame], screen: float, alarm: float) -> list[Figure]:
    """Sensitivity on slices with a lesion, specificity on clean ones, at both thresholds."""
    lesion = [frame for frame in frames if frame.lesion]
    clean = [frame for frame in frames if frame.clean]
    figures = []
    for point, threshold in (("screen", screen), ("alarm", alarm)):
        hits = sum(frame.probability >= threshold for frame in lesion)
        passed = sum(frame.probability < threshold for frame in clean)
        figures.append(_figure(f"sensitivity at {point}", hits, lesion, "with a lesion"))
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
