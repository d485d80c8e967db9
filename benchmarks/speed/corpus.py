"""The frames that every contender answers: the same bytes, under so many patients' keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from lesionstream.console import progress_bar
from producers.prepare import Prepared, prepare
from producers.scanner.course import patients
from producers.scanner.series import scans
from wire.part10 import to_bytes

KEY = b"benchmark" * 4


def corpus(count: int, people: int, *, side: int = 512, lidc: Path | None = None) -> list[Prepared]:
    """Return so many frames as producers publish them, of `people` identities in turn.

    Parameters
    ----------
    side : rows and columns; a smaller one has larger pixels.
    lidc : a folder of real DICOM; every second frame is taken from it.
    """
    sources = [_simulated(side)] + ([_real(lidc)] if lidc is not None else [])
    frames = []
    with progress_bar("frames") as bar:
        task = bar.add_task("preparing", total=count, note="")
        for number in range(count):
            ds = next(sources[number % len(sources)])
            ds.PatientID = f"BENCH-{number % people:04d}"
            ds.SOPInstanceUID = f"2.25.{number + 1}"
            (frame,) = prepare(to_bytes(ds), KEY)
            if not isinstance(frame, Prepared):
                raise TypeError(f"{lidc}: not every file is a frame that can be published")
            frames.append(frame)
            bar.advance(task)
    return frames


def _simulated(side: int) -> Iterator[Dataset]:
    """Yield the slices of simulated chests again and again."""
    slices = [
        image.dataset
        for scan in scans(list(patients(3, studies=1, slices=8, seed=1)), 8)
        for image in scan.images()
    ]
    for ds in slices:
        step = ds.Rows // side
        pixels = np.frombuffer(ds.PixelData, np.int16).reshape(ds.Rows, ds.Columns)
        ds.PixelData = np.ascontiguousarray(pixels[::step, ::step]).tobytes()
        ds.Rows, ds.Columns = pixels[::step, ::step].shape
        ds.PixelSpacing = [spacing * step for spacing in ds.PixelSpacing]
    return cycle(slices)


def _real(folder: Path) -> Iterator[Dataset]:
    """Yield the images of a folder again and again."""
    files = sorted(folder.rglob("*.dcm"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .dcm files")
    return cycle([pydicom.dcmread(file) for file in files])
