"""Compare ways to forecast by cross-validation, and measure what each input is worth.

Run as ``python -m training.response_trials --data FILE.csv --work FOLDER``. Prints the table of
docs/response.md: every row on the same patients, none of whom its model has seen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from engines.course import FEATURES, Course, features, progression_mm, since_baseline
from training.evaluation import auc
from training.response import (
    NETS,
    PARTS,
    SHIPPED,
    Values,
    Views,
    Way,
    conformal_levels,
    cross_validate,
    networks_of,
    parts_of,
    said_of,
    views_of,
)
from training.response_examples import Examples, examples
from training.response_figures import Said, difference, pinball
from training.response_net import build, build_recurrent
from training.response_rivals import CURVES, boosted_progression, boosting, quantiles
from training.trials_table import read_table

FEW = 3
"""Networks of a row that only says what an input is worth; beside it a row with all inputs."""

VISITS = 16
"""Of a course that the recurrent network sees, the last ones."""

_NEXT_DATE = ("log days to the next visit", "log days from the baseline to the next visit")
_ONE_VISIT = ("log diameter", "log days since the baseline", *_NEXT_DATE)

console = Console(stderr=True)


def main(argv: list[str] | None = None) -> int:
    """Measure what is missing, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.response_trials", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a table of readings")
    parser.add_argument("--work", type=Path, required=True, help="folder for networks")
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    known = examples(read_table(args.data))
    arms = sorted({course.arm for course in known.courses if course.arm})
    said: dict[str, Said] = {}
    with Progress(console=console) as bar:
        for name, way in WAYS.items():
            task = bar.add_task(name, total=way.nets * PARTS)
            watch = partial(bar.advance, task)
            folder = networks_of(args.data, args.work) / name.replace(" ", "-")
            mass, specs = cross_validate(known, arms, folder, way=way, watch=watch)
            low, high = conformal_levels(known, mass, specs)
            levels = {"low_level": low, "high_level": high}
            said[name] = said_of(known, mass, [s.model_copy(update=levels) for s in specs])
    best = said["network"]
    print(
        "| way | mean error, mm | the network is closer by | AUC of progression | q10, q90 loss |"
    )
    print("|---|---|---|---|---|")
    for name, one in said.items():
        print(_line(name, best, one.median, one.progression, _loss(one.target, one.low, one.high)))
    for name, curve in CURVES.items():
        forecast = curve(known, known)
        print(_line(name, best, forecast, forecast / _progression_line(known), None))
    boosted, chance = _apart(known, boosting), _apart(known, boosted_progression)
    print(_line("boosting on 16 features", best, boosted, chance, None))
    middle, least, most = (_apart(known, partial(quantiles, level=q)) for q in (0.5, 0.1, 0.9))
    print(_line("quantiles of all", best, middle, None, _loss(known.target, least, most)))
    return 0


def without(*names: str) -> Callable[[Examples, Sequence[str]], Views]:
    """Return a view that does not tell some features."""
    hidden = [FEATURES.index(name) for name in names]

    def view(known: Examples, arms: Sequence[str]) -> Views:
        views = views_of(known, arms)
        views[:, hidden] = 0.0
        return views

    return view


def without_arm(known: Examples, arms: Sequence[str]) -> Views:
    """Return a view that does not tell the arm."""
    views = views_of(known, arms)
    views[:, len(FEATURES) :] = 0.0
    return views


def histories(known: Examples, arms: Sequence[str]) -> Views:
    """Return every visit so far as the network of one visit sees it: (N, `VISITS`, F)."""
    views = np.zeros((len(known.courses), VISITS, len(FEATURES) + len(arms)), dtype=np.float32)
    for i, (course, day) in enumerate(zip(known.courses, known.next_days, strict=True)):
        days = [*course.days[1:].tolist(), float(day)]
        rows = [features(course.until(v), days[v]) for v in range(len(days))][-VISITS:]
        views[i, VISITS - len(rows) :, : len(FEATURES)] = rows
        views[i, VISITS - len(rows) :, len(FEATURES) :] = [course.arm == arm for arm in arms]
    return views


WAYS: dict[str, Way] = {
    "network": SHIPPED,
    "recurrent network": Way(histories, build_recurrent, FEW),
    f"network, {FEW} of {NETS}": Way(views_of, build, FEW),
    "without the arm": Way(without_arm, build, FEW),
    "without the date of the next visit": Way(without(*_NEXT_DATE), build, FEW),
    "without history": Way(
        without(*(name for name in FEATURES if name not in _ONE_VISIT)), build, FEW
    ),
}


def _apart(known: Examples, learn: Callable[[Examples, Examples], Values]) -> Values:
    """Forecast every part by what was learnt from the others."""
    part = parts_of(known)
    told: Values = np.zeros(len(part))
    for k in range(PARTS):
        told[part == k] = learn(known.at(part != k), known.at(part == k))
    return told


def _progression_line(known: Examples) -> Values:
    """Return the diameter at which each next visit would be progressive disease, mm."""
    return np.asarray([_line_of(course) for course in known.courses])


def _line_of(course: Course) -> float:
    return progression_mm(float(since_baseline(course).min()))


def _loss(target: Values, low: Values, high: Values) -> float:
    return float((pinball(target, low, 0.1) + pinball(target, high, 0.9)).mean() / 2)


def _line(
    name: str, best: Said, median: Values, progression: Values | None, loss: float | None
) -> str:
    wrong = float(np.abs(median - best.target).mean())
    gain, (low, high) = difference(best, median)
    closer = "" if np.array_equal(median, best.median) else f"{gain:.3f} [{low:.3f}, {high:.3f}]"
    fresh = ~best.already
    found = (
        ""
        if progression is None
        else f"{auc(progression[fresh], best.progresses[fresh].astype(np.int64)):.3f}"
    )
    return (
        f"| {name} | {wrong:.3f} | {closer} | {found} | {'' if loss is None else f'{loss:.3f}'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
