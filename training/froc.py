"""FROC by LUNA16's rules, a slice at a time.

A candidate hits a nodule when its centre lies within the nodule's radius; further candidates on a
nodule already hit, and any on an ignored finding, are neither hits nor false positives (Setio et
al., Med Image Anal 2017, section 2.4). Rates are false positives a *slice*: never set them beside
LUNA16's own, which are false positives a scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matched:
    """What became of one slice's candidates and nodules.

    Attributes
    ----------
    patient : whose slice it is.
    hits : (m,) probability of the best candidate on each nodule, -1 where none is.
    diameters_mm : (m,) of the nodules.
    false_positives : probabilities of candidates that hit nothing and are not ignored.
    sizes_mm : (m,) diameter the best candidate says, NaN where none is.
    """

    patient: str
    hits: Table
    diameters_mm: Table
    false_positives: Table
    sizes_mm: Table


def match(patient: str, candidates: Table, nodules: Table, ignored: Table) -> Matched:
    """Match the candidates of one slice.

    Parameters
    ----------
    candidates : (n, 4) probability, column, row, diameter in mm.
    nodules, ignored : (m, 3) and (k, 3) column, row, diameter; 1 mm pixels.
    """
    hits = np.full(len(nodules), -1.0)
    sizes = np.full(len(nodules), np.nan)
    false = []
    for probability, x, y, diameter in candidates:
        on = np.flatnonzero(_within(x, y, nodules))
        for i in on:
            if probability > hits[i]:
                hits[i], sizes[i] = probability, diameter
        if not len(on) and not _within(x, y, ignored).any():
            false.append(probability)
    return Matched(patient, hits, nodules[:, 2], np.asarray(false, dtype=np.float64), sizes)


def _within(x: float, y: float, findings: Table) -> NDArray[np.bool_]:
    return np.hypot(findings[:, 0] - x, findings[:, 1] - y) <= findings[:, 2] / 2


def sensitivity_at(
    slices: Sequence[Matched], rate: float, size_mm: tuple[float, float] = (0.0, np.inf)
) -> float:
    """Share of nodules hit where `rate` false positives a slice are allowed; NaN without nodules.

    Parameters
    ----------
    size_mm : only nodules of low <= diameter < high count.
    """
    hits = _of_size(slices, size_mm)
    return float(np.mean(hits >= threshold_at(slices, rate))) if len(hits) else float("nan")


def threshold_at(slices: Sequence[Matched], rate: float) -> float:
    """Least threshold with at most `rate` false positives a slice; just above 0 if all pass."""
    false = np.sort(np.concatenate([s.false_positives for s in slices]))[::-1]
    allowed = int(rate * len(slices))
    return float(np.nextafter(false[allowed], 1.0)) if len(false) > allowed else 1e-9


def mean_sensitivity(slices: Sequence[Matched]) -> float:
    """Mean of the sensitivities at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a slice."""
    return float(np.mean([sensitivity_at(slices, rate) for rate in RATES]))


def _of_size(slices: Sequence[Matched], size_mm: tuple[float, float]) -> Table:
    low, high = size_mm
    hits = np.concatenate([s.hits for s in slices])
    diameters = np.concatenate([s.diameters_mm for s in slices])
    return np.asarray(hits[(diameters >= low) & (diameters < high)])
