"""LUNA16 candidate patches: 50 x 50 mm around what somebody or something took for a nodule.

The list is ordered by scan. A nodule's patch names its scan; one that is no nodule does not, but
lies between two that do, so it belongs to one of the scans from the one to the other. A patch is
used on one side of a split only if every scan it may belong to is on that side.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.luna import HELD_OUT_PATIENTS

SIDE = 50


@dataclass(frozen=True, slots=True)
class Patches:
    """N patches in the order of the list.

    Attributes
    ----------
    pixels : (N, 50, 50) uint8, 0..255 is HU -1000..400, 1 mm pixels.
    labels : (N,) 1 nodule, 0 none.
    candidates : (N,) LUNA16's number of the candidate.
    first, last : (N,) the scans between which the patch lies, as numbers in the order of the
        list; equal where the scan is known.
    patients : of each scan, "" where the slices do not tell.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    candidates: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    patients: tuple[str, ...]

    def at(self, chosen: NDArray[np.bool_]) -> Patches:
        """Return the patches chosen by an (N,) mask."""
        return Patches(
            self.pixels[chosen],
            self.labels[chosen],
            self.candidates[chosen],
            self.first[chosen],
            self.last[chosen],
            self.patients,
        )

    def without(self, patients: set[str]) -> Patches:
        """Return the patches that cannot be of any of `patients`."""
        scans = np.asarray([patient in patients for patient in self.patients])
        return self.at(~touches(self, scans))

    def only(self, patients: set[str]) -> Patches:
        """Return the patches that must be of one of `patients`."""
        others = np.asarray([patient not in patients for patient in self.patients])
        return self.at(~touches(self, others))


def read_patches(folder: Path, patients: Mapping[str, str]) -> Patches:
    """Read a luna16-patches folder, without the patients held out for the final test.

    Parameters
    ----------
    patients : the patient of each SeriesInstanceUID known, see `training.luna.read_patients`.

    Raises
    ------
    FileNotFoundError  `folder` is not such a folder.
    """
    with np.load(folder / "patches.npz") as file:
        pixels, candidates = file["x"], file["candidate"].astype(np.int64)
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    named = [row["seriesuid_aligned"] for row in rows]
    series = sorted(set(patients) | {uid for uid in named if uid})
    number = {uid: i for i, uid in enumerate(series)}
    known = np.asarray([number.get(uid, -1) for uid in named], dtype=np.int64)
    first, last = _bounds(known, len(series))
    labels = np.asarray([int(row["label"]) for row in rows], dtype=np.int64)
    of = tuple(patients.get(uid, "") for uid in series)
    patches = Patches(pixels, labels, candidates, first, last, of)
    return patches.without(set(HELD_OUT_PATIENTS))


@dataclass(frozen=True, slots=True)
class PatchLabels:
    """(N,) labels, and for each patch a number that is the same within a scan."""

    labels: NDArray[np.int64]
    scans: NDArray[np.int64]


def read_labels(folder: Path) -> PatchLabels | None:
    """Read labels.csv alone, in the order of patches.npz; None where there is none.

    A patch that names no scan counts for the last scan named before it: good enough to draw
    patients again, not to keep them apart.
    """
    path = folder / "labels.csv"
    if not path.is_file():
        return None
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.asarray([int(row["label"]) for row in rows], dtype=np.int64)
    named = np.asarray([row.get("seriesuid_aligned") or "" for row in rows])
    known = np.where(named != "", np.unique(named, return_inverse=True)[1], -1).astype(np.int64)
    first, _ = _bounds(known, int(known.max(initial=0)) + 1)
    return PatchLabels(labels, first)


def views_of(patch: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Return the middle of an (S, S) patch, flipped and turned: (8, size, size) in [0, 1].

    Raises
    ------
    ValueError  the patch is smaller than `size`.
    """
    edge = (patch.shape[0] - size) // 2
    if edge < 0:
        raise ValueError(f"patches are {patch.shape[0]} pixels wide; {size} are looked at")
    middle = patch[edge : edge + size, edge : edge + size].astype(np.float32) / np.float32(255)
    return np.stack([np.rot90(m, i) for m in (middle, middle.T) for i in range(4)])


def touches(patches: Patches, scans: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say of each patch whether it may belong to one of the scans of a mask over all scans."""
    below = np.concatenate(([0], np.cumsum(scans)))
    return np.asarray(below[patches.last + 1] > below[patches.first])


def _bounds(known: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each patch the nearest known scan before and after it, itself where it is known."""
    named = np.flatnonzero(known >= 0)
    places = np.arange(len(known))
    before = np.searchsorted(named, places, side="right") - 1
    after = np.searchsorted(named, places, side="left")
    first = np.where(before >= 0, known[named[np.maximum(before, 0)]], 0)
    last = np.where(after < len(named), known[named[np.minimum(after, len(named) - 1)]], count - 1)
    return first, last
