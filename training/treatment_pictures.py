"""Pictures of what treatment engines are worth: forecasts against outcome, plans against truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.effect_figures import Compared
from training.response_figures import Said

INK, FIRST, SECOND, THIRD = "#1b1f24", "#0b5cad", "#b25c00", "#2f7d4f"
FIGURES = "figures.png"
"""What `train` leaves beside the card: of patients never seen."""

_BINS = 10


def draw_response(path: Path, said: Said, title: str) -> None:
    """Draw medians against outcome, the calibration of progression, and the width of intervals."""
    plot, (left, middle, right) = _panels(title)
    shown = np.random.default_rng(0).permutation(len(said.target))[:1500]
    left.plot([0, 120], [0, 120], color=INK, lw=0.8)
    left.scatter(said.target[shown], said.median[shown], s=5, alpha=0.3, color=FIRST, lw=0)
    left.set(
        xlabel="next diameter as measured, mm", ylabel="forecast, mm", xlim=(0, 120), ylim=(0, 120)
    )
    fresh = ~said.already
    told, happened = _reliability(said.progression[fresh], said.progresses[fresh])
    most = 1.1 * max(told.max(), happened.max())
    middle.plot([0, most], [0, most], color=INK, lw=0.8)
    middle.plot(told, happened, "o-", color=SECOND)
    middle.set(
        xlabel="probability of progression said, in tenths of visits",
        ylabel="share that progressed",
    )
    by_size = np.array_split(np.argsort(said.last, kind="stable"), _BINS)
    inside = (said.target >= said.low) & (said.target <= said.high)
    right.axhline(0.8, color=INK, lw=0.8)
    right.plot(
        [said.last[rows].mean() for rows in by_size],
        [inside[rows].mean() for rows in by_size],
        "o-",
        color=THIRD,
    )
    right.set(xlabel="last diameter, mm", ylabel="share inside the 80 % interval", ylim=(0.5, 1))
    _save(plot, path)


def draw_effects(path: Path, told: Compared, plans: tuple[str, ...], title: str) -> None:
    """Draw effects against the truth, where one is known, and how often the best plan is named.

    Where the truth is not known: the mean response against what was said, in tenths.
    """
    plot, (left, middle, right) = _panels(title)
    for number, (plan, colour) in enumerate(zip(plans, (FIRST, SECOND, THIRD), strict=False)):
        rows = told.plan == number
        said, came = _reliability(told.effects[told.lesion[rows], number], told.response[rows])
        left.plot(100 * said, 100 * came, "o-", color=colour, ms=3, label=plan)
        if told.truth is not None:
            middle.scatter(
                100 * told.truth[:, number], 100 * told.effects[:, number], s=5, alpha=0.4,
                color=colour, lw=0,
            )  # fmt: skip
    ends = np.asarray(left.get_xlim())
    left.plot(ends, ends, color=INK, lw=0.8)
    left.set(xlabel="change said, %, in tenths of patients", ylabel="mean change measured, %")
    left.legend(frameon=False, fontsize=8)
    if told.truth is not None:
        ends = np.asarray(middle.get_xlim())
        middle.plot(ends, ends, color=INK, lw=0.8)
        middle.set(xlabel="expected change in truth, %", ylabel="change said, %")
        ordered = np.sort(told.truth, axis=1)
        gap = ordered[:, 1] - ordered[:, 0]
        right_plan = told.effects.argmin(axis=1) == told.best
        tenths = np.array_split(np.argsort(gap, kind="stable"), _BINS)
        right.plot(
            [100 * gap[rows].mean() for rows in tenths],
            [100 * right_plan[rows].mean() for rows in tenths],
            "o-",
            color=INK,
        )
        right.axvline(100 * told.noise, color=SECOND, lw=0.8, ls="--")
        right.text(100 * told.noise, 35, " noise of a reading", color=SECOND, fontsize=8)
        right.set(
            xlabel="between best and next plan, % of the diameter",
            ylabel="named plan is the best, %",
            ylim=(30, 102),
        )
    _save(plot, path)


def _reliability(
    said: NDArray[np.float64], came: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of what was said and of what came, by tenths of what was said."""
    tenths = np.array_split(np.argsort(said, kind="stable"), _BINS)
    means = [(said[rows].mean(), came[rows].mean()) for rows in tenths if len(rows)]
    told, happened = zip(*means, strict=True)
    return np.asarray(told), np.asarray(happened)


def _panels(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure as Plot  # the train extra

    plot = Plot(figsize=(12, 3.9), dpi=90, layout="constrained")
    plot.suptitle(title, fontsize=11)
    return plot, plot.subplots(1, 3)


def _save(plot: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plot.savefig(path)
