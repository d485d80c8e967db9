"""A world in which plans of treatment work differently on different lesions: a simulation.

No open data link images, plans and outcome. So here is a world whose truth is known: its lesions
are real pictures, its rates of growth and response those of real trials, and which plan works on
which lesion follows textbook models. How much of it a picture tells is an assumption, `SHARE`.

Diameters follow regression and growth, d(t) = d0 (exp(-k t) + exp(g t) - 1) (Stein et al., Clin
Cancer Res 2011, doi:10.1158/1078-0432.CCR-10-1762). What a picture tells of a lesion:

- how dense it is: dense lesions grow faster (rate g);
- how large it is: large lesions have hypoxic parts, which radiation kills less, and the growth of a
  large lesion has slowed (Gompertz);
- how much tissue it hangs on: the kill rate k of the immune system, which comes with the blood.

Plans:

- chemotherapy kills in proportion to the lesion's own growth (Norton and Simon, Cancer Treat Rep
  1977), slowed by size as the growth is;
- immunotherapy kills at a rate that the tissue around tells of;
- radiotherapy: of the cells S = exp(-n (alpha d + beta d^2)) survive (linear-quadratic model) and
  grow; what is dead is cleared with a half-life.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.trials_table import Patient

PLANS = ("radiotherapy", "chemotherapy", "immunotherapy")
DAYS = 84.0
SHARE = 0.6
"""Of the variance of each trait on a log scale that a picture tells: an assumption."""

FRACTIONS, DOSE_GY, ALPHA_BETA_GY = 10, 3.0, 10.0
ALPHA, ALPHA_SPREAD = 0.03, 0.6
"""Per Gy, in a patient's lesion, not in a dish; and the spread of its logarithm."""

CHEMOTHERAPY = 1.5
"""Its kill rate on the average lesion, of that in the trials: so that no plan is best for most."""

SLOWED = 0.25
"""Of its growth, for a lesion larger than others by one spread: Gompertz's growth slows."""

MOST = 1.0
"""A plan is given up once the diameter has doubled."""

HALF_LIFE_DAYS = 30.0
DRAWS = 4000

USUAL = ((0.5733, 0.1687), (1.9044, 0.5124), (0.2043, 0.0863))
"""Mean and spread of density, log diameter and tissue around, of 1,102 nodules of luna16-slices."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of real trials, a day: median and spread of the logarithm; and the noise of a reading.

    growth, kill : (median, spread). The spread is that of the faster half: below it a rate cannot
        be told from none.
    noise : spread of the logarithm of one reading.
    """

    growth: tuple[float, float]
    kill: tuple[float, float]
    noise: float


def rates_of(patients: Sequence[Patient], noise: float) -> Rates:
    """Fit regression and growth to each patient with four readings or more since the baseline."""
    from scipy.optimize import least_squares  # comes with scikit-learn, training only

    logs = []
    for patient in patients:
        known = np.isfinite(patient.course.diameters_mm)
        days, mm = patient.course.days[known], patient.course.diameters_mm[known]
        begin = max(int(np.searchsorted(days, 0.0, side="right")) - 1, 0)
        days, mm = days[begin:] - days[begin : begin + 1].sum(), mm[begin:]
        if len(mm) < 4 or mm[0] <= 0:
            continue
        seen = np.log((mm + 3.0) / (mm[0] + 3.0))  # readings of 0 occur

        def rest(
            rates: Values, days: Values = days, first: float = float(mm[0]), seen: Values = seen
        ) -> Values:
            grown = first * np.exp(_change(np.exp(rates[0]), np.exp(rates[1]), days))
            return np.asarray(np.log((grown + 3.0) / (first + 3.0)) - seen)

        fitted = least_squares(
            rest, np.log([5e-4, 3e-3]), bounds=(np.log([1e-6, 1e-6]), np.log([0.05, 0.1]))
        )
        logs.append(fitted.x)
    middle, upper = np.percentile(np.asarray(logs), [50, 75], axis=0)
    spread = (upper - middle) / 0.6745  # of a normal distribution
    growth, kill = zip(np.exp(middle).tolist(), spread.tolist(), strict=True)
    return Rates(growth, kill, noise)


def noise_of(path: Path) -> float:
    """Return the spread of the logarithm of one reading, from pairs within one study.

    Parameters
    ----------
    path : `dls_pairs_valid.csv`: the same lesion measured on two slices or series, long axes in mm.
    """
    with path.open(newline="", encoding="utf-8") as file:
        pairs = [
            math.log(float(row["target_long_mm"]) / float(row["source_long_mm"]))
            for row in csv.DictReader(file)
            if row["same_study"] == "1"
        ]
    return 1.4826 * float(np.median(np.abs(pairs))) / math.sqrt(2)  # of a normal distribution


def _change(growth: Values, kill: Values, days: Values | float) -> Values:
    """Return the log change of the diameter by regression and growth."""
    return np.asarray(np.log(np.exp(-kill * days) + np.exp(growth * days) - 1.0))


@dataclass(frozen=True, slots=True)
class Traits:
    """What a picture tells of N lesions, each as a number of mean 0 and spread 1 over nodules.

    density, size, supply : (N,).
    """

    density: Values
    size: Values
    supply: Values

    def at(self, rows: NDArray[np.int64]) -> Traits:
        """Return the traits of some lesions, one may stand several times."""
        return Traits(self.density[rows], self.size[rows], self.supply[rows])


def traits_of(views: NDArray[np.float32], diameters_mm: Values) -> Traits:
    """Measure N lesions in the middle of their views, (N, side, side) in [0, 1], 1 mm a pixel."""
    side = views.shape[1]
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    away = np.hypot(rows, columns)
    dense, around = [], []
    for view, diameter in zip(views, diameters_mm, strict=True):
        dense.append(view[away <= max(0.4 * diameter, 1.5)].mean())
        edge = min(0.6 * diameter, side / 2 - 3)
        around.append(view[(away > edge) & (away <= side / 2)].mean())
    measured = (np.asarray(dense), np.log(diameters_mm), np.asarray(around))
    return Traits(*(_standard(one, *of) for one, of in zip(measured, USUAL, strict=True)))


def _standard(values: Values, mean: float, spread: float) -> Values:
    """Say how far values lie from those of the nodules the world was made with; at most 2.5."""
    return np.asarray(np.clip((values - mean) / spread, -2.5, 2.5))


def changes(traits: Traits, rates: Rates, hidden: Values) -> Values:
    """Return the change of the diameter after `DAYS`, as a share: (N, plans).

    Parameters
    ----------
    hidden : (N, 3) normal: what a picture does not tell of growth, kill and radiosensitivity.
    """
    told, not_told = np.sqrt(SHARE), np.sqrt(1 - SHARE)
    median_g, spread_g = rates.growth
    median_k, spread_k = rates.kill
    growth = median_g * np.exp(spread_g * (told * traits.density + not_told * hidden[:, 0]))
    left = 1.0 - SLOWED * told * traits.size
    immune = median_k * np.exp(spread_k * (told * traits.supply + not_told * hidden[:, 1]))
    norton_simon = CHEMOTHERAPY * median_k / median_g * growth * left
    alpha = ALPHA * np.exp(ALPHA_SPREAD * (-told * traits.size + not_told * hidden[:, 2]))
    kill = FRACTIONS * alpha * (DOSE_GY + DOSE_GY**2 / ALPHA_BETA_GY)
    survive = np.exp(-kill)
    volume = survive * np.exp(3 * growth * left * DAYS)
    volume += (1 - survive) * 0.5 ** (DAYS / HALF_LIFE_DAYS)
    logs = (
        np.log(volume) / 3,
        _change(growth * left, norton_simon, DAYS),
        _change(growth * left, immune, DAYS),
    )
    return np.asarray(np.minimum(np.expm1(np.column_stack(logs)), MOST))


def expected(traits: Traits, rates: Rates) -> Values:
    """Return the truth: the mean change over all that a picture does not tell, (N, plans)."""
    rng = np.random.default_rng(0)
    total = np.zeros((len(traits.size), len(PLANS)))
    for _ in range(DRAWS):
        total += changes(traits, rates, np.broadcast_to(rng.normal(size=3), (len(total), 3)))
    return total / DRAWS


def trial(
    traits: Traits, rates: Rates, copies: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Values]:
    """Let each lesion be that of `copies` patients, each on a plan by lot.

    Returns
    -------
    lesion, plan : (copies N,).
    response : (copies N,) measured change of the diameter, as a share, by two noisy readings.
    """
    rng = np.random.default_rng(seed)
    lesion = np.tile(np.arange(len(traits.size)), copies)
    plan = rng.integers(len(PLANS), size=len(lesion))
    true = changes(traits.at(lesion), rates, rng.normal(size=(len(lesion), 3)))
    noise = rng.normal(scale=rates.noise * np.sqrt(2), size=len(lesion))
    return lesion, plan, (1 + true[np.arange(len(lesion)), plan]) * np.exp(noise) - 1
