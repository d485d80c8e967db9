"""Train the engine that compares plans of treatment: cross-validate by patient, train on all.

On a simulation (`training.effect_world`), whose truth is known, or on a hospital's own table. Every
figure is of networks that have not seen the patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from engines.card import DataSource, EffectSpec, EngineCard, InputSpec, OperatingPoints
from engines.effects import SIDE
from engines.preprocess import HU_WINDOW
from training.effect_export import export
from training.effect_figures import Compared, figures
from training.effect_fit import NETS, learn
from training.effect_table import Table, World, parts_of, read_own, simulated
from training.effect_world import DAYS, expected
from training.response import SOURCES as TRIALS
from training.sources import CHEST_CT, luna_sources
from training.treatment_pictures import FIGURES, draw_effects

NAME, VERSION = "effect", "0.1.0"
PARTS = 5
COVERED, FAMILIAR = 0.8, 0.99

_SIMULATED = (
    "SIMULATED: what works on which lesion is made up (training/effect_world.py). It shows that "
    "the machinery works; no patient may be treated by it. Off unless LESIONSTREAM_MODELS names "
    "it.",
    "How much a picture tells of response is an assumption of the simulation: 60 % of the "
    "variance.",
    "One slice through a lung nodule of 3 to 30 mm, as LUNA16 has them; the lesion as it is before "
    "treatment.",
    "Noise, emptiness and inverted pictures are called strange; other tissue often, not always.",
)
_OWN = (
    "Decision support under development; not a medical device, not for treatment decisions.",
    "Plans in the table were not given by lot: what decided about them is mixed with what they "
    "did.",
)
PAIRS = DataSource(
    name="Lesions of DeepLesion measured twice (Deep Longitudinal Study)",
    licence="CC BY-SA 4.0",
    use="the noise of a reading, one number",
    cite="Cai et al., Deep Lesion Tracker, CVPR 2021; Yan et al., J Med Imaging 5(3):036501, 2018",
)

console = Console(stderr=True)
Values = NDArray[np.float64]


def cross_validate(
    table: Table, folder: Path, *, watch: Callable[[], None] = lambda: None
) -> tuple[Values, Values]:
    """Answer for every lesion by networks that have not seen its patient: see `Learnt.answer`."""
    part = parts_of(table.groups, PARTS)
    effects = np.zeros((len(table.views), len(table.plans)))
    strange = np.zeros(len(table.views))
    for k in range(PARTS):
        learnt = learn(table.at(part != k), folder / f"part-{k}", watch=watch)
        effects[part == k], strange[part == k] = learnt.answer(table.views[part == k])
    return effects, strange


def conformal(
    table: Table, effects: Values, chosen: NDArray[np.bool_]
) -> tuple[list[float], list[float]]:
    """Return what is added to effects by plan so that `COVERED` of unseen responses lie between.

    A conformal predictive system for each plan (Vovk et al., 2017).

    Parameters
    ----------
    chosen : responses that count, (R,).
    """
    from crepes import ConformalPredictiveSystem  # the train extra

    low, high = [], []
    for plan in range(len(table.plans)):
        rows = chosen & (table.plan == plan)
        rest = table.response[rows] - effects[table.lesion[rows], plan]
        system = ConformalPredictiveSystem().fit(rest)
        ((least, most),) = system.predict_int(np.asarray([0.0]), confidence=COVERED)
        low.append(round(float(least), 4))
        high.append(round(float(most), 4))
    return low, high


def inside(table: Table, effects: Values) -> NDArray[np.bool_]:
    """Return which responses lie inside intervals made without their patients' part: (R,)."""
    part = parts_of(table.groups, PARTS)[table.lesion]
    rest = table.response - effects[table.lesion, table.plan]
    held = np.zeros(len(rest), dtype=bool)
    for k in range(PARTS):
        low, high = (np.asarray(one)[table.plan] for one in conformal(table, effects, part != k))
        held |= (part == k) & (rest >= low) & (rest <= high)
    return held


def train(data: Path, out: Path, work: Path) -> None:
    """Cross-validate, train on all, write the engine's folder.

    Parameters
    ----------
    data : a folder with luna16-slices and response/tumour_trials.csv, for the simulation; or a
        hospital's own table (.csv), see `training.effect_table`.
    out : the engine's folder; model.onnx and engine.json are made anew.
    work : networks lie here; those that are finished are not trained again.

    Raises
    ------
    TableError, FileNotFoundError  the data cannot be read.
    """
    world = None if data.is_file() else simulated(data)
    table = read_own(data) if world is None else world.table
    folder = folder_of(table, work)
    with Progress(console=console) as bar:
        task = bar.add_task("networks", total=NETS * (PARTS + 1))

        def watch() -> None:
            bar.advance(task)

        effects, strange = cross_validate(table, folder, watch=watch)
        final = learn(table, folder / "all", watch=watch)
    low, high = conformal(table, effects, np.ones(len(table.plan), dtype=bool))
    noise = _noise(world, table, effects)
    spec = EffectSpec(
        plans=table.plans,
        days=DAYS,
        low=tuple(low),
        high=tuple(high),
        noise=round(noise, 4),
        strangest=round(float(np.quantile(strange, FAMILIAR)), 4),
    )
    out.mkdir(parents=True, exist_ok=True)
    compared = compare(table, world, effects)
    export(final, out / "model.onnx")
    card = _card(out, spec, compared, simulated=world is not None)
    (out / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    where = "SIMULATED, " if world is not None else ""
    title = f"{NAME} {VERSION}, {where}patients never seen"
    draw_effects(out / FIGURES, compared, spec.plans, title)
    for figure in card.figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")


def folder_of(table: Table, work: Path) -> Path:
    """Return the folder for what is learnt from this very table."""
    seen = table.views.tobytes() + table.response.tobytes()
    return work / hashlib.sha256(seen).hexdigest()[:12]


def _noise(world: World | None, table: Table, effects: Values) -> float:
    """Return the noise of a measured change: known of a simulation, else what is left of it."""
    if world is not None:
        return float(world.rates.noise * np.sqrt(2))
    rest = table.response - effects[table.lesion, table.plan]
    return float(np.std(rest))


def compare(table: Table, world: World | None, effects: Values) -> Compared:
    """Bring effects together with the truth (None where nobody knows it) and the responses."""
    truth = None if world is None else expected(world.traits, world.rates)
    noise = _noise(world, table, effects)
    return Compared(
        groups=table.groups,
        effects=effects,
        truth=truth,
        noise=noise,
        lesion=table.lesion,
        plan=table.plan,
        response=table.response,
        inside=inside(table, effects),
    )


def _card(folder: Path, spec: EffectSpec, compared: Compared, *, simulated: bool) -> EngineCard:
    patients = len(np.unique(compared.groups))
    learnt_from = (
        f"a simulated trial on {len(compared.groups)} real nodules of {patients} patients, "
        f"{len(compared.response)} simulated responses"
        if simulated
        else f"{len(compared.response)} responses of {patients} patients of the site's own table"
    )
    on = f"{'simulation, ' if simulated else ''}patients never seen ({PARTS} parts)"
    return EngineCard(
        name=NAME,
        version=VERSION,
        task="effect",
        simulated=simulated,
        description=(
            f"{'SIMULATED. ' if simulated else ''}Compares {', '.join(spec.plans)} by the expected "
            f"change of a lesion's diameter after {spec.days:g} days, from a picture of 32 x 32 "
            f"mm. Trained on {learnt_from}. The mean of {NETS} networks. Figures, intervals and "
            "what counts as strange are of networks trained the same way without the patients."
        ),
        accepted=CHEST_CT,
        input=InputSpec(
            shape=(-1, SIDE, SIDE, 1), axes="NHWC", spacing_mm=1.0, hu_window=HU_WINDOW
        ),
        operating_points=OperatingPoints(screen=0.0, alarm=1.0),
        effect=spec,
        training_data=(*luna_sources("pictures of lesions"), *TRIALS, PAIRS) if simulated else (),
        figures=tuple(figures(compared, on=on)),
        prevalence=_prevalence(spec, compared),
        limits_of_use=_SIMULATED if simulated else _OWN,
        licence="Apache-2.0 for the weights; trained on CC BY data, cite it",
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    )


def _prevalence(spec: EffectSpec, compared: Compared) -> str:
    best = compared.effects.argmin(axis=1) if compared.truth is None else compared.best
    words = [f"{plan} {np.mean(best == i):.0%}" for i, plan in enumerate(spec.plans)]
    return f"Best plan, by {'answer' if compared.truth is None else 'truth'}: {', '.join(words)}."
