"""Compare ways to name a plan on the simulation, by cross-validation.

Run as ``python -m training.effect_trials --data DIR --work FOLDER``. Prints the table of
docs/models.md: every row on the same lesions, of patients none of whom its model has seen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from training.effect import PARTS, cross_validate, folder_of
from training.effect_figures import interval, regret
from training.effect_fit import NETS
from training.effect_rivals import boosted, one_for_all, textbook
from training.effect_table import Table, World, parts_of, simulated
from training.effect_world import expected

console = Console(stderr=True)
Values = NDArray[np.float64]


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.effect_trials", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="as for `train effect`")
    parser.add_argument("--work", type=Path, required=True, help="folder for networks")
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    world = simulated(args.data)
    table, folder = world.table, folder_of(world.table, args.work)
    with Progress(console=console) as bar:
        task = bar.add_task("networks", total=(NETS + 1) * PARTS)

        def watch() -> None:
            bar.advance(task)

        effects, _ = cross_validate(table, folder, watch=watch)
        rivals = {"network": effects} | _rivals(world, folder, watch)
    print("| way | named plan is the best, where plans differ | regret, share of the diameter |")
    print("|---|---|---|")
    truth = expected(world.traits, world.rates)
    for name, said in rivals.items():
        print(_line(name, said.argmin(axis=1), truth, world))
    return 0


def _rivals(world: World, folder: Path, watch: Callable[[], None]) -> dict[str, Values]:
    table, traits = world.table, world.traits
    measured = np.column_stack((traits.density, traits.size, traits.supply))

    def by_hand(seen: Table, apart: NDArray[np.bool_], features: Values) -> Values:
        return boosted(seen, features[apart], features[~apart])

    def by_textbook(seen: Table, apart: NDArray[np.bool_], part: int) -> Values:
        said = textbook(seen, table.views[~apart], folder / f"textbook-{part}")
        watch()
        return said

    return {
        "boosting on the traits themselves": _apart(
            table, lambda seen, apart, _: by_hand(seen, apart, measured)
        ),
        "boosting on the size alone": _apart(
            table, lambda seen, apart, _: by_hand(seen, apart, measured[:, 1:2])
        ),
        "the textbook's functional model": _apart(table, by_textbook),
        "without the picture: one plan for all": _apart(
            table, lambda seen, apart, _: one_for_all(seen, int((~apart).sum()))
        ),
    }


def _apart(table: Table, learn: Callable[[Table, NDArray[np.bool_], int], Values]) -> Values:
    """Answer for every part by what was learnt from the others."""
    part = parts_of(table.groups, PARTS)
    effects = np.zeros((len(part), len(table.plans)))
    for k in range(PARTS):
        effects[part == k] = learn(table.at(part != k), part != k, k)
    return effects


def _line(name: str, named: NDArray[np.int64], truth: Values, world: World) -> str:
    ordered = np.sort(truth, axis=1)
    differ = ordered[:, 1] - ordered[:, 0] > world.rates.noise * np.sqrt(2)
    right = (named == truth.argmin(axis=1))[differ].astype(np.float64)
    low, high = interval(right, world.table.groups[differ])
    lost = regret(truth, named)
    least, most = interval(lost, world.table.groups)
    return (
        f"| {name} | {right.mean():.2f} [{low:.2f}, {high:.2f}] "
        f"| {lost.mean():.3f} [{least:.3f}, {most:.3f}] |"
    )


if __name__ == "__main__":
    sys.exit(main())
