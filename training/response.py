"""Train the engine that forecasts the next diameter: cross-validate by patient, train on all.

Every figure is of networks that have not seen the patient, and so are the levels of the interval.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from engines.card import (
    Accepted,
    DataSource,
    EngineCard,
    ForecastSpec,
    InputSpec,
    OperatingPoints,
)
from engines.course import FEATURES
from engines.errors import EngineFailed
from engines.forecaster import read
from engines.onnx_runtime import OnnxModel
from training.evaluation import threshold_at_sensitivity, threshold_at_specificity
from training.fitting import Run, Schedule
from training.fitting import train as fit
from training.onnx_file import OPSET, save
from training.response_examples import Examples, examples, together, varied
from training.response_figures import Said, figures, outcome_of
from training.response_net import (
    OFFSET_MM,
    STRETCHES,
    build,
    edges_of,
    growth_of,
    stretch_of,
)
from training.treatment_pictures import FIGURES, draw_response
from training.trials_table import read_table

NAME, VERSION = "response", "0.1.0"
PARTS, NETS = 5, 6
STEPS, BATCH, RATE = 2000, 128, 3e-3
COPIES = 8
"""Varied forecasts for each real one, see `training.response_examples.varied`."""

CAUTION = 0.8
"""Power of what the averaged networks say: they are surer than they should be of the unseen.

Chosen on the same cross-validation as the figures.
"""

UNKNOWN_ARM = 0.1  # of the examples of a batch, so that a treatment that is not listed is no riddle
SCORES = "scores.json"
COVERED = 0.8
SCREEN_SENSITIVITY, ALARM_SPECIFICITY = 0.8, 0.95

_MODEL = "net.keras"
_LIMITS = (
    "Decision support under development; not a medical device, not for treatment decisions.",
    "One target lesion of adults in five trials of chemotherapy and immunotherapy (lung cancer and "
    "others), read by people every six weeks or so: other treatments, other intervals and sums of "
    "several lesions were not seen.",
    "A treatment that is none of the listed arms is forecast as the average of all.",
    "What a visit will bring is mostly unknown at the visit before: on average the median is "
    "hardly closer than the last reading. The interval and the probability of progression are what "
    "it is for.",
    "Patients leave a trial when they progress or die: who has no next visit is in no figure.",
)

_AGREEMENT = 1e-4
_COLUMNS = tuple(field.name for field in fields(Said))
SOURCES = (
    DataSource(
        name="Target lesions of patients in five trials, by arm and week",
        licence="CC BY 4.0",
        use="training of the shipped weights (all patients); figures from other weights",
        cite="Laleh et al., PLoS Comput Biol 18(2):e1009822, 2022, "
        "doi:10.1371/journal.pcbi.1009822",
    ),
)

console = Console(stderr=True)
Values = NDArray[np.float64]
Views = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to learn to forecast.

    Attributes
    ----------
    view : what a network sees of forecasts: (N, ..., features and arms), by the arms known.
    build : makes one from the views of training and the number of stretches.
    nets : how many are averaged.
    """

    view: Callable[[Examples, Sequence[str]], Views]
    build: Callable[[Views, int], Any]
    nets: int


@dataclass(frozen=True, slots=True)
class Nets:
    """Networks that are averaged, and how their answer is read."""

    nets: Sequence[Any]
    spec: ForecastSpec

    def mass(self, views: Views) -> Values:
        """Return the mean probability of each stretch: (N, stretches)."""
        return np.asarray(_averaged(self.nets, views), dtype=np.float64)


def _averaged(nets: Sequence[Any], views: Any) -> Any:
    """Average networks' distributions, less sure than they are: tensors (N, stretches)."""
    from keras import ops

    said = [ops.softmax(net(views, training=False)) for net in nets]
    mass = (sum(said[1:], said[0]) / len(said)) ** CAUTION
    return mass / ops.sum(mass, axis=-1, keepdims=True)


def parts_of(known: Examples) -> NDArray[np.int64]:
    """Return which of `PARTS` parts each forecast's patient is in, arms spread evenly; (N,)."""
    patients = np.unique(known.patients)
    arm = {int(p): c.arm for p, c in zip(known.patients, known.courses, strict=True)}
    shuffled = np.random.default_rng(0).permutation(patients)
    ordered = sorted(shuffled.tolist(), key=lambda patient: arm[patient])  # stable
    part = {patient: i % PARTS for i, patient in enumerate(ordered)}
    return np.asarray([part[int(patient)] for patient in known.patients])


def views_of(known: Examples, arms: Sequence[str]) -> Views:
    """Return what the shipped networks see of each forecast: (N, features and arms)."""
    one_hot = [[course.arm == arm for arm in arms] for course in known.courses]
    return np.column_stack((known.features, np.asarray(one_hot, dtype=np.float32)))


SHIPPED = Way(views_of, build, NETS)


def learn(
    seen: Examples,
    arms: Sequence[str],
    folder: Path,
    *,
    way: Way = SHIPPED,
    watch: Callable[[], None] = lambda: None,
) -> Nets:
    """Train networks on forecasts; each that is finished in `folder` is loaded instead.

    Parameters
    ----------
    watch : told when a network is there.
    """
    import keras  # heavy, training only

    edges = edges_of(growth_of(seen.last, seen.target))
    many = together([seen, *(varied(seen, copy) for copy in range(COPIES))])
    stretches = stretch_of(growth_of(many.last, many.target), edges)
    views, made = way.view(many, arms), []
    for seed in range(way.nets):
        keras.utils.set_random_seed(seed)
        net = way.build(views, len(edges) - 1)
        path = folder / str(seed)
        if (path / _MODEL).is_file():
            net.load_weights(path / _MODEL)
        else:
            _fit(net, views, stretches, path, seed)
        made.append(net)
        watch()
    waits = seen.next_days - np.asarray([course.days[-1] for course in seen.courses])
    spec = ForecastSpec(
        arms=tuple(arms),
        edges=tuple(edges.round(9).tolist()),
        offset_mm=OFFSET_MM,
        low_level=(1 - COVERED) / 2,
        high_level=(1 + COVERED) / 2,
        longest_mm=float(max(course.diameters_mm.max() for course in seen.courses)),
        longest_wait_days=float(waits.max()),
    )
    return Nets(made, spec)


def _fit(net: Any, views: Views, stretches: NDArray[np.int64], folder: Path, seed: int) -> None:
    import keras  # heavy, training only

    def draw(step: int) -> tuple[Views, Views]:
        rng = np.random.default_rng([seed, step])
        rows = rng.integers(len(views), size=BATCH)
        batch = views[rows].copy()
        batch[rng.random(BATCH) < UNKNOWN_ARM, ..., len(FEATURES) :] = 0.0
        return batch, stretches[rows].astype(np.float32)

    fit(
        net,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        draw,
        Schedule(STEPS, RATE),
        run=Run(folder, {"seed": seed, "forecasts": len(views), "steps": STEPS}),
        name=_MODEL,
        watch=lambda _: None,
    )


def cross_validate(
    known: Examples,
    arms: Sequence[str],
    folder: Path,
    *,
    way: Way = SHIPPED,
    watch: Callable[[], None] = lambda: None,
) -> tuple[Values, list[ForecastSpec]]:
    """Forecast every patient by networks that have not seen them.

    Returns
    -------
    mass : (N, stretches) probabilities.
    specs : how to read each row.
    """
    part = parts_of(known)
    mass: Values = np.zeros((len(part), 2 * STRETCHES + 1))
    specs: dict[int, ForecastSpec] = {}
    for k in range(PARTS):
        apart, unseen = part != k, known.at(part == k)
        learnt = learn(known.at(apart), arms, folder / f"part-{k}", way=way, watch=watch)
        mass[part == k] = learnt.mass(way.view(unseen, arms))
        specs[k] = learnt.spec
    return mass, [specs[int(k)] for k in part]


def networks_of(data: Path, work: Path) -> Path:
    """Return the folder for what is learnt from this very table."""
    return work / hashlib.sha256(data.read_bytes()).hexdigest()[:12]


def conformal_levels(
    known: Examples, mass: Values, specs: Sequence[ForecastSpec]
) -> tuple[float, float]:
    """Return the levels of the distribution between which `COVERED` of patients never seen lie.

    Where in its forecast each outcome lay (a place in "exactly as it is" is drawn) is what the
    conformal predictive system is fitted to (Vovk et al., 2017).
    """
    from crepes import ConformalPredictiveSystem  # the train extra

    rng = np.random.default_rng(0)
    growth = growth_of(known.last, known.target)
    places = []
    for m, g, spec in zip(mass, growth, specs, strict=True):
        edges = np.asarray(spec.edges)
        below = np.concatenate(([0.0], np.cumsum(m)))
        g = float(rng.uniform(-1e-9, 1e-9)) if g == 0 else float(g)
        places.append(np.interp(g, edges, below))
    system = ConformalPredictiveSystem().fit(np.asarray(places) - 0.5)
    ((low, high),) = system.predict_int(np.asarray([0.5]), confidence=COVERED, y_min=0.0, y_max=1.0)
    return round(float(low), 4), round(float(high), 4)


def said_of(known: Examples, mass: Values, specs: Sequence[ForecastSpec]) -> Said:
    """Bring forecasts together with what came of them."""
    told = [read(m, c, spec) for m, c, spec in zip(mass, known.courses, specs, strict=True)]
    return outcome_of(known, told)


def train(data: Path, out: Path, work: Path) -> None:
    """Cross-validate, train on all patients, write the engine's folder.

    Parameters
    ----------
    data : a table of readings, see `training.trials_table`.
    out : the engine's folder; model.onnx, engine.json and scores.json are made anew.
    work : networks lie here; those that are finished are not trained again.

    Raises
    ------
    TableError  the table cannot be read.
    """
    known = examples(read_table(data))
    arms = sorted({course.arm for course in known.courses if course.arm})
    with Progress(console=console) as bar:
        task = bar.add_task("networks", total=NETS * (PARTS + 1))

        def watch() -> None:
            bar.advance(task)

        folder = networks_of(data, work)
        mass, specs = cross_validate(known, arms, folder, watch=watch)
        final = learn(known, arms, folder / "all", watch=watch)
    low, high = conformal_levels(known, mass, specs)
    levels = {"low_level": low, "high_level": high}
    told = said_of(known, mass, [spec.model_copy(update=levels) for spec in specs])
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / SCORES, told)
    _export(final, out / "model.onnx")
    card = _card(out, final.spec.model_copy(update=levels), read_scores(out / SCORES))
    (out / "engine.json").write_text(card.model_dump_json(indent=2) + "\n")
    draw_response(out / FIGURES, told, f"{NAME} {VERSION}, patients never seen")
    for figure in card.figures:
        console.print(f"{figure.name}: {figure.value} [{figure.low}, {figure.high}] ({figure.n})")


def _export(nets: Nets, path: Path) -> None:
    """Write the mean of the networks as model.onnx: `course` (batch, F) -> `probability`."""
    import tensorflow as tf  # heavy, training only
    import tf2onnx

    width = len(FEATURES) + len(nets.spec.arms)
    spec = (tf.TensorSpec((None, width), tf.float32, name="course"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def probability(views: Any) -> Any:
        return tf.identity(_averaged(nets.nets, views), name="probability")

    proto, _ = tf2onnx.convert.from_function(probability, input_signature=spec, opset=OPSET)
    for end in (proto.graph.input[0], proto.graph.output[0]):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    save(
        proto,
        path,
        {proto.graph.input[0].name: "course", proto.graph.output[0].name: "probability"},
    )
    views = np.random.default_rng(0).normal(0, 2, (64, width)).astype(np.float32)
    model = OnnxModel(path, threads=1)
    gap = float(np.abs(model.run(views)["probability"] - nets.mass(views)).max())
    if gap > _AGREEMENT:
        raise EngineFailed(f"{path}: differs from Keras by {gap}")


def write_scores(path: Path, said: Said) -> None:
    """Write every forecast and what came of it, a line each: no names, small enough to ship."""
    rows = zip(*(getattr(said, name).tolist() for name in _COLUMNS), strict=True)
    lines = [
        json.dumps([round(v, 4) if isinstance(v, float) else int(v) for v in row]) for row in rows
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def read_scores(path: Path) -> Said:
    """Read what `write_scores` wrote."""
    columns = dict(zip(_COLUMNS, zip(*json.loads(path.read_text()), strict=True), strict=True))
    kinds = {"patients": np.int64, "progresses": np.bool_, "already": np.bool_}
    return Said(
        **{
            name: np.asarray(column, kinds.get(name, np.float64))
            for name, column in columns.items()
        }
    )


def _card(folder: Path, spec: ForecastSpec, said: Said) -> EngineCard:
    progresses = said.progresses[~said.already].astype(np.int64)
    probability = said.progression[~said.already]
    screen = threshold_at_sensitivity(probability, progresses, SCREEN_SENSITIVITY)
    alarm = threshold_at_specificity(probability, progresses, ALARM_SPECIFICITY)
    patients = len(np.unique(said.patients))
    on = f"tumour_trials.csv, patients never seen ({PARTS} parts)"
    return EngineCard(
        name=NAME,
        version=VERSION,
        task="forecast",
        simulated=False,
        description=(
            "Forecasts the diameter of a target lesion at the next visit, and the probability that "
            "it is progressive disease then, from the readings so far, the arm and the date of the "
            f"visit. The mean of {NETS} small networks that answer with a distribution over "
            f"{2 * STRETCHES + 1} stretches of growth; all numbers are read from it. Trained on "
            f"{patients} patients of five trials. The figures are of networks trained the same way "
            f"without the patients they are measured on ({PARTS} parts); so are the levels of the "
            "80 % interval (a conformal predictive system). screen finds "
            f"{SCREEN_SENSITIVITY:.0%} of the progressions, alarm is false for "
            f"{1 - ALARM_SPECIFICITY:.0%} of the visits without one."
        ),
        accepted=Accepted(modalities=(), sop_class_uids=(), body_parts=()),
        input=InputSpec(shape=(-1, len(FEATURES) + len(spec.arms)), axes="NF"),
        operating_points=OperatingPoints(screen=round(screen, 4), alarm=round(alarm, 4)),
        forecast=spec,
        training_data=SOURCES,
        figures=tuple(figures(said, on=on)),
        prevalence=(
            f"{progresses.mean():.0%} of the visits of patients without progression so far bring "
            f"it, {said.progresses[said.already].mean():.0%} of the visits after a first one."
        ),
        limits_of_use=_LIMITS,
        licence="Apache-2.0 for the weights; trained on CC BY 4.0 data, cite it",
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
    )
