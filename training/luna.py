"""LUNA16 slices as they were published: read, repaired, cut into half-lungs with labels.

Source: LUNA16 (Setio et al., Med Image Anal 2017, doi:10.1016/j.media.2017.06.015, CC BY 4.0) of
LIDC-IDRI (Armato et al., Med Phys 2011, doi:10.1118/1.3528204, CC BY 3.0). Slices are 8-bit, lungs
already cut out with a centimetre of wall, 1 mm pixels; grey 0..255 is HU -1000..400 (measured
against the DICOM of LIDC-IDRI-0001 and -0003: slope 0.184, offset 183; exact 0.182 and 182.1).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.lungs import find_lungs
from engines.preprocess import HU_WINDOW, View, lung_view
from training.wrap_around import unwrap

HELD_OUT_PATIENTS = frozenset({"LIDC-IDRI-0001", "LIDC-IDRI-0003"})  # their DICOM is a test set

_MARGIN_MM = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A place on a slice: centre (column, row) and diameter, px = mm."""

    x: float
    y: float
    diameter: float


@dataclass(frozen=True, slots=True)
class LunaSlice:
    """One slice with what its readers said.

    Attributes
    ----------
    image : path relative to the data folder, the slice's name.
    patient : LIDC-IDRI patient.
    fold : the LUNA16 subset, 0..9, of the patient's first scan; the source has the scans of
        LIDC-IDRI-0332 in subsets 2 and 6, and a patient must lie in one.
    nodules : boxes of the source and other annotated nodules that cross the slice.
    ignored : findings that are neither: fewer than 3 of 4 readers, or below 3 mm.
    """

    image: str
    patient: str
    fold: int
    nodules: tuple[Finding, ...]
    ignored: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class HalfLung:
    """One view of one lung and its label.

    Attributes
    ----------
    view : what a network sees.
    label : 1 a nodule's centre lies in the lung, 0 none and nothing ignored.
    nodules, ignored : in pixels of the view, (n, 3): column, row, diameter.
    """

    source: LunaSlice
    view: View
    label: int
    nodules: NDArray[np.float32]
    ignored: NDArray[np.float32]


def read_slices(folder: Path) -> list[LunaSlice]:
    """Read what may be trained on: `read_all_slices` without the held-out patients."""
    slices = read_all_slices(folder)
    return [source for source in slices if source.patient not in HELD_OUT_PATIENTS]


def read_all_slices(folder: Path) -> list[LunaSlice]:
    """Read labels.csv and ignore.csv of a `luna16-slices` folder; empty without labels.csv.

    Raises
    ------
    FileNotFoundError  labels.csv is there, ignore.csv is not.
    """
    if not (folder / "labels.csv").is_file():
        return []
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["image"]].append(row)
    folds: dict[str, int] = {}
    for _, (box, *_) in sorted(rows.items()):
        folds.setdefault(box["lidc_patient"], int(box["luna16_subset"]))
    ignored: dict[str, list[Finding]] = defaultdict(list)
    with (folder / "ignore.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            ignored[row["image"]].append(_finding(row))
    return [
        LunaSlice(
            image,
            boxes[0]["lidc_patient"],
            folds[boxes[0]["lidc_patient"]],
            tuple(_finding(box) for box in boxes),
            tuple(ignored[image]),
        )
        for image, boxes in sorted(rows.items())
    ]


def read_patients(folder: Path) -> dict[str, str]:
    """Read the patient of each SeriesInstanceUID from a `luna16-slices` folder."""
    with (folder / "labels.csv").open(newline="") as file:
        return {row["seriesuid"]: row["lidc_patient"] for row in csv.DictReader(file)}


def read_hu(folder: Path, image: str, *, repaired: bool = True) -> NDArray[np.float32]:
    """Read one slice, repair it, and map it back to HU: (H, W) float32, -1000..400, 1 mm pixels.

    Parameters
    ----------
    repaired : False leaves the source's wrap-around as it is.

    Raises
    ------
    FileNotFoundError  no image there, or not one OpenCV can read.
    """
    grey = cv2.imread(str(folder / image), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FileNotFoundError(f"{folder / image}: missing or not a PNG")
    low, high = HU_WINDOW
    pixels = np.asarray(grey, dtype=np.uint8)
    unit = (unwrap(pixels) if repaired else pixels).astype(np.float32) / np.float32(255)
    return unit * np.float32(high - low) + np.float32(low)


def half_lungs(folder: Path, source: LunaSlice, *, size: int) -> Iterator[HalfLung]:
    """Cut a slice as the engine does, into views of `size` pixels a side, and label each lung.

    A half that holds only ignored findings is left out: it is neither positive nor negative.
    """
    hu = read_hu(folder, source.image)
    lungs = find_lungs(hu)
    for mask in lungs.masks if lungs else ():
        nodules = [f for f in source.nodules if _inside(mask, f)]
        ignored = [f for f in source.ignored if _inside(mask, f)]
        if ignored and not nodules:
            continue
        view = lung_view(hu, mask, size=size)
        yield HalfLung(
            source, view, int(bool(nodules)), _in_view(view, nodules), _in_view(view, ignored)
        )


def _finding(row: dict[str, str]) -> Finding:
    diameter = float(row.get("diameter_px") or row["diameter_mm"])
    return Finding(float(row["cx_px"]), float(row["cy_px"]), max(diameter, 3.0))


def _inside(mask: NDArray[np.uint8], finding: Finding) -> bool:
    """Whether a finding's centre lies in a lung or within 2 mm of it."""
    reach = _MARGIN_MM
    height, width = mask.shape
    top, bottom = (int(np.clip(finding.y + d, 0, height)) for d in (-reach, reach + 1))
    left, right = (int(np.clip(finding.x + d, 0, width)) for d in (-reach, reach + 1))
    return bool(mask[top:bottom, left:right].any())


def _in_view(view: View, findings: list[Finding]) -> NDArray[np.float32]:
    scale = view.pixels.shape[0] / view.side_mm
    places = [
        ((f.x - view.x_mm) * scale, (f.y - view.y_mm) * scale, f.diameter * scale) for f in findings
    ]
    return np.asarray(places, dtype=np.float32).reshape(-1, 3)
