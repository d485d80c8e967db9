"""Measure an engine that compares plans: on the simulation, or on a hospital's own table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table as Shown

from engines.card import EffectSpec
from engines.effects import PlanEffects
from engines.errors import EngineFailed, NotForecastable
from engines.loading import load_effects
from training.effect_figures import Compared, figures
from training.effect_table import read_own, simulated
from training.effect_world import expected
from training.treatment_pictures import draw_effects

console = Console(stderr=True)


def evaluate(
    data: Path, name: str, *, catalogues: Sequence[Path], picture: Path | None = None
) -> None:
    """Print the figures of an engine on these data, beside those of its card.

    Parameters
    ----------
    data : as for `training.effect.train`.
    picture : where to draw them, a PNG.

    Raises
    ------
    TableError, FileNotFoundError  the data cannot be read.
    EngineError  the engine cannot be loaded, or is of another task or of other plans.
    """
    engine = load_effects(name, catalogues=catalogues)
    told = compared(data, engine)
    engine.close()
    card = {figure.name: figure for figure in engine.card.figures}
    console.print(
        "Patients the engine was trained on count here like any other: what it is worth for those "
        "it has never seen stands on its card.",
        style="yellow",
    )
    if engine.card.simulated:
        console.print("SIMULATED: what works on which lesion is made up.", style="bold")
    shown = Shown("figure", "here", "95 % interval", "units", "card, patients never seen")
    for f in figures(told, on=data.name):
        known = card.get(f.name)
        apart = f"{known.value:.3f} [{known.low:.3f}, {known.high:.3f}]" if known else ""
        shown.add_row(f.name, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}", f.n, apart)
    console.print(shown)
    if picture is not None and engine.card.effect is not None:
        simulated_words = "SIMULATED: " if engine.card.simulated else ""
        title = f"{simulated_words}{name} {engine.card.version} on {data.name}"
        draw_effects(picture, told, engine.card.effect.plans, title)


def compared(data: Path, engine: PlanEffects) -> Compared:
    """Ask an engine about every lesion of the data; those it abstains from are left out."""
    spec = engine.card.effect
    assert spec is not None  # noqa: S101 -- checked when it was loaded
    world = None if data.is_file() else simulated(data)
    table = read_own(data) if world is None else world.table
    if table.plans != spec.plans:
        words = f"the data have the plans {', '.join(table.plans)}"
        raise EngineFailed(f"engine {engine.card.name} compares {', '.join(spec.plans)}; {words}")
    effects = np.full((len(table.views), len(spec.plans)), np.nan)
    for row, view in enumerate(track(table.views, "lesions", console=console)):
        try:
            changes = {one.plan: one.change for one in engine.effects(view)}
        except NotForecastable:
            continue
        effects[row] = [changes[plan] for plan in spec.plans]
    answered = np.isfinite(effects[:, 0])
    console.print(f"{(~answered).sum()} of {len(answered)} lesions were too strange to answer")
    kept = table.at(answered)
    truth = None if world is None else expected(world.traits, world.rates)[answered]
    return Compared(
        groups=kept.groups,
        effects=effects[answered],
        truth=truth,
        noise=spec.noise,
        lesion=kept.lesion,
        plan=kept.plan,
        response=kept.response,
        inside=_inside(kept.response - effects[answered][kept.lesion, kept.plan], kept.plan, spec),
    )


def _inside(
    rest: NDArray[np.float64], plan: NDArray[np.int64], spec: EffectSpec
) -> NDArray[np.bool_]:
    low, high = np.asarray(spec.low)[plan], np.asarray(spec.high)[plan]
    return np.asarray((rest >= low) & (rest <= high))
