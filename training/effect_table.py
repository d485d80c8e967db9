"""What is learnt from: lesions, the plan each patient was on, and what came of it.

Either of the simulation, or a hospital's own table: a row a treated lesion, with the columns
``patient``, ``image`` (a DICOM file, relative to the table), ``x_px``, ``y_px`` (centre of the
lesion), ``plan`` and ``response`` (diameter after the plan over the diameter before).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.effects import lesion_view
from engines.preprocess import HU_WINDOW
from training.effect_world import PLANS, Rates, Traits, noise_of, rates_of, traits_of, trial
from training.luna import read_hu, read_slices
from training.predictions import SLICES
from training.trials_table import TableError, read_table
from wire.errors import FrameError
from wire.frame import attributes_of, frame_of
from wire.part10 import Broken, decode_frames, parse

TRIALS = Path("response") / "tumour_trials.csv"
PAIRS = Path("response") / "dls_pairs_valid.csv"
COPIES = 60
"""Patients for each lesion of the simulation: the trial it stands for has 66,000."""

_COLUMNS = ("patient", "image", "x_px", "y_px", "plan", "response")


@dataclass(frozen=True, slots=True)
class Table:
    """L lesions, and R responses of patients who had one of them.

    Attributes
    ----------
    views : (L, 32, 32) float32, see `engines.effects.lesion_view`.
    groups : (L,) lesions of one number are of one patient: on one side of any split.
    plans : codes.
    lesion, plan : (R,) which lesion, which plan.
    response : (R,) change of the diameter, as a share.
    """

    views: NDArray[np.float32]
    groups: NDArray[np.int64]
    plans: tuple[str, ...]
    lesion: NDArray[np.int64]
    plan: NDArray[np.int64]
    response: NDArray[np.float64]

    def at(self, lesions: NDArray[np.bool_]) -> Table:
        """Return the table of some lesions, given by a mask over all."""
        rows = lesions[self.lesion]
        number = np.cumsum(lesions) - 1
        return Table(
            self.views[lesions],
            self.groups[lesions],
            self.plans,
            number[self.lesion[rows]],
            self.plan[rows],
            self.response[rows],
        )


@dataclass(frozen=True, slots=True)
class World:
    """A simulated table, and what is true of it.

    traits : of each lesion; rates : of the trials.
    """

    table: Table
    traits: Traits
    rates: Rates


def simulated(data: Path, *, seed: int = 1) -> World:
    """Simulate a trial on the nodules of luna16-slices, with rates and noise of real patients.

    Raises
    ------
    TableError, FileNotFoundError  the data are not there.
    """
    rates = rates_of(read_table(data / TRIALS), noise_of(data / PAIRS))
    sources = read_slices(data / SLICES)
    if not sources:
        raise FileNotFoundError(f"{data / SLICES}: no labels.csv")
    numbers = {name: i for i, name in enumerate(sorted({one.patient for one in sources}))}
    views, diameters, groups = [], [], []
    for source in sources:
        hu = read_hu(data / SLICES, source.image)
        for nodule in source.nodules:
            views.append(lesion_view(hu, (1.0, 1.0), nodule.x, nodule.y, HU_WINDOW))
            diameters.append(nodule.diameter)
            groups.append(numbers[source.patient])
    seen = np.stack(views)
    traits = traits_of(seen, np.asarray(diameters, dtype=np.float64))
    lesion, plan, response = trial(traits, rates, COPIES, seed)
    table = Table(seen, np.asarray(groups), PLANS, lesion, plan, response)
    return World(table, traits, rates)


def read_own(path: Path) -> Table:
    """Read a hospital's own table.

    Raises
    ------
    TableError  a column is missing, a value is no number, or an image cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
        rows = list(table)
    if missing:
        raise TableError(f"{path}: no column {', '.join(missing)}")
    plans = tuple(sorted({row["plan"] for row in rows}))
    patients = sorted({row["patient"] for row in rows})
    if len(plans) < 2:
        raise TableError(f"{path}: names {len(plans)} plan; two are needed to compare")
    views, responses = [], []
    for line, row in enumerate(rows, start=2):
        try:
            x, y, response = (float(row[name]) for name in ("x_px", "y_px", "response"))
            if not math.isfinite(x + y + response) or response < 0:
                raise ValueError("a number is not finite, or a response is below 0")
            views.append(_view_of(path.parent / row["image"], x, y))
        except (ValueError, OSError, FrameError) as error:
            raise TableError(f"{path}:{line}: {error}") from error
        responses.append(response - 1.0)
    return Table(
        np.stack(views),
        np.asarray([patients.index(row["patient"]) for row in rows]),
        plans,
        np.arange(len(rows)),
        np.asarray([plans.index(row["plan"]) for row in rows]),
        np.asarray(responses),
    )


def _view_of(path: Path, x_px: float, y_px: float) -> NDArray[np.float32]:
    dataset = parse(path.read_bytes())
    about = attributes_of(dataset)
    (decoded,) = decode_frames(dataset)
    if isinstance(decoded, Broken):
        raise decoded.error
    if about.pixel_spacing_mm is None:
        raise ValueError("PixelSpacing missing")
    hu = frame_of(dataset, decoded.pixels, about).hu()
    return lesion_view(hu, about.pixel_spacing_mm, x_px, y_px, HU_WINDOW)


def parts_of(groups: Sequence[int] | NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Return which part each lesion's patient is in, by lot: (L,)."""
    names = np.unique(groups)
    place = {
        int(name): i % parts for i, name in enumerate(np.random.default_rng(0).permutation(names))
    }
    return np.asarray([place[int(group)] for group in groups])
