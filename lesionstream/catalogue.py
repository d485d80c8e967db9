"""`engines`: the catalogue, shipped and own; which engine is in use."""

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from engines import (
    DEFAULT_ENGINE,
    CtSlice,
    Engine,
    EngineCard,
    EngineError,
    Figure,
    Score,
    list_engines,
    load_engine,
)
from engines.adding import Told, add_onnx
from engines.loading import CATALOGUE, find_engine, load_on_gpu, read_card
from engines.on_gpu import GpuOptions
from engines.plan_store import PlanStore
from engines.tensorrt_runtime import TensorRtModel
from lesionstream.console import note, out, print_json, say
from lesionstream.plan_progress import plan_progress
from lesionstream.settings import settings

_KERAS = (".keras", ".h5")
_SUFFIXES = (".onnx", *_KERAS)


def catalogues() -> list[Path]:
    """Return the shipped catalogue and, if there is one, the operator's own."""
    own = own_catalogue()
    return [CATALOGUE, own] if own.is_dir() else [CATALOGUE]


def own_catalogue() -> Path:
    """Return where added engines lie: in the state folder."""
    return settings().home / "engines"


def engine_in_use() -> str:
    """Return the engine that scores: the setting, else what was promoted, else the default."""
    chosen = settings().engine or (promoted()[-1:] or [DEFAULT_ENGINE])[0]
    find_engine(chosen, catalogues=catalogues())
    return chosen


def load(
    name: str | None = None, *, device: str | None = None, threads: int | None = None
) -> Engine:
    """Load an engine, by default the one in use, as the settings say.

    Raises
    ------
    EngineError  as `engines.load_engine`.
    """
    wanted = settings()
    chosen = name or engine_in_use()
    with plan_progress(chosen) as watch:
        return load_engine(
            chosen,
            device=device or wanted.device,  # type: ignore[arg-type]
            runtime=wanted.runtime,
            precision=wanted.precision,
            threads=threads or wanted.engine_threads,
            catalogues=catalogues(),
            gpu=GpuOptions(PlanStore(wanted.plans_folder), watch=watch),
            tell=_tell_of_cpu,
        )


@lru_cache(maxsize=8)
def _tell_of_cpu(why: str) -> None:
    """Say once why no GPU is used."""
    note("engines compute on the CPU", why=why)


def promoted() -> list[str]:
    """Return the engines promoted so far, the last of them in use.

    Raises
    ------
    EngineError  the file that says so is damaged.
    """
    path = promotions_file()
    if not path.is_file():
        return []
    try:
        names = json.loads(path.read_text())["promoted"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: damaged. Remove it, then promote again.") from error
    return [str(name) for name in names]


def promotions_file() -> Path:
    """Return the file that says what was promoted; workers look at it."""
    return settings().home / "promoted.json"


def promote(name: str) -> None:
    """Put an engine in use; running workers take it up between two frames."""
    load(name).close()
    before = engine_in_use()
    names = promoted() or [before]
    if name != names[-1]:
        _write([*names, name])
    _say_changed(before)


def rollback() -> None:
    """Put the engine in use that was before the last promotion."""
    names = promoted()
    if len(names) < 2:
        raise EngineError("nothing to roll back to: no engine was promoted here.")
    before = engine_in_use()
    _write(names[:-1])
    _say_changed(before)


def _write(names: list[str]) -> None:
    path = promotions_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps({"promoted": names}) + "\n")
    draft.replace(path)


def _say_changed(before: str) -> None:
    now = engine_in_use()
    if settings().engine:
        say(f"LESIONSTREAM_ENGINE says {now}, which comes first. Unset it.", style="yellow")
    say(f"in use: {now} (before: {before}). Running workers on this machine follow by themselves.")


def add(
    path: Path, *, name: str | None, window: tuple[float, float], screen: float, alarm: float
) -> None:
    """Add a model to the own catalogue; a Keras file is converted to ONNX first."""
    if path.suffix not in _SUFFIXES:
        raise EngineError(f"{path}: not a file of {', '.join(_SUFFIXES)}.")
    if not path.is_file():
        raise EngineError(f"{path}: no such file.")
    chosen = name or path.stem.lower().replace("_", "-").replace(" ", "-")
    if chosen in {card.name for card in list_engines(*catalogues())}:
        raise EngineError(f"an engine {chosen!r} is there already. Choose another --name.")
    told = Told(chosen, path.name, window, screen, alarm)
    with TemporaryDirectory() as folder:
        model = path
        if path.suffix in _KERAS:
            from training.keras_import import convert  # needs the `train` extra

            model = Path(folder) / f"{path.stem}.onnx"
            convert(path, model)
        card = add_onnx(model, told, own_catalogue())
    say(f"added {card.name} ({card.task}, input {card.input.axes} {card.input.shape}).")
    say(f"Next: lesionstream evaluate lesion --engine {card.name} --data DIR; engines promote.")


def bench(name: str | None, *, seconds: float, as_json: bool) -> None:
    """Measure an engine on one drawn chest, with one thread and with two."""
    chosen = name or engine_in_use()
    rows: list[dict[str, Any]] = []
    for threads in (1, 2):
        engine = load(chosen, threads=threads)
        how = {"backend": engine.backend, "precision": engine.precision, "threads": threads}
        rows.append({"engine": chosen, **how, **_timed(engine, seconds)})
        engine.close()
        if engine.backend == TensorRtModel.backend:
            break  # threads of the CPU change nothing there; batches: benchmarks/gpu.sh
    if as_json:
        print_json(rows)
        return
    table = Table(*(key.replace("_ms", ", ms").replace("_", " ") for key in rows[0]))
    for row in rows:
        table.add_row(*(f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()))
    out.print(table)


def build(name: str | None, precision: str) -> None:
    """Build an engine's TensorRT plan for the GPU of this machine, unless it is there."""
    chosen, store = name or engine_in_use(), PlanStore(settings().plans_folder)
    with plan_progress(chosen) as watch:
        card, model = load_on_gpu(
            chosen,
            precision=precision,  # type: ignore[arg-type]
            catalogues=catalogues(),
            gpu=GpuOptions(store, watch=watch),
        )
    model.close()
    say(f"{card.name} {card.version}, {precision}: its plan lies in {store.folder}.")


def _timed(engine: Engine, seconds: float) -> dict[str, float]:
    chest = _drawn_chest()
    engine.score(chest)  # the first one loads what is loaded late
    scores: list[Score] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or not scores:
        scores.append(engine.score(chest))
    spent = time.perf_counter() - began
    inference = [score.inference_ms for score in scores]
    return {
        "frames_a_second": len(scores) / spent,
        "lung_cut_p50_ms": float(np.median([score.preprocess_ms for score in scores])),
        "inference_p50_ms": float(np.median(inference)),
        "inference_p95_ms": float(np.percentile(inference, 95)),
    }


def _drawn_chest() -> CtSlice:
    """Draw 512 x 512 pixels of 0.7 mm: a body, two lungs, some vessels."""
    rows, columns = np.mgrid[:512, :512].astype(np.float32)

    def ellipse(x: float, y: float, width: float, height: float) -> NDArray[np.bool_]:
        return np.asarray(((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1)

    hu = np.where(ellipse(256, 256, 240, 170), 40.0, -1000.0)
    for x in (150, 362):
        hu[ellipse(x, 256, 75, 115)] = -850.0
    rng = np.random.default_rng(0)
    for x, y, radius in rng.uniform((90, 160, 2), (430, 350, 7), (40, 3)):
        hu[ellipse(x, y, radius, radius)] = 30.0
    return CtSlice((hu + rng.normal(0, 20, hu.shape)).astype(np.float32), (0.7, 0.7))


def list_all(*, as_json: bool) -> None:
    """Show every engine, the one in use marked."""
    cards = list_engines(*catalogues())
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards])
        return
    in_use = engine_in_use()
    table = Table("", "engine", "version", "task", "trained on", "screen", "alarm")
    for card in cards:
        points = card.operating_points
        table.add_row(
            "*" if card.name == in_use else "",
            card.name,
            card.version,
            card.task,
            "a simulation" if card.simulated else escape(_sets(card)),
            f"{points.screen:.2f}",
            f"{points.alarm:.2f}",
        )
    out.print(table)


def info(name: str, *, as_json: bool) -> None:
    """Show one engine's card."""
    card = read_card(name, catalogues=catalogues())
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    out.print(f"[bold]{card.name}[/] {card.version} ({card.task})", highlight=False)
    out.print(escape(card.description))
    out.print(f"Used in {card.precision} unless LESIONSTREAM_PRECISION says otherwise.")
    _print_figures("fp32", card.figures)
    for variant in card.variants:
        _print_figures(variant.precision, variant.figures)
    for title, lines in (
        ("Where it fails", card.limits_of_use),
        ("Trained on", [f"{d.name} ({d.licence}): {d.use}. {d.cite}" for d in card.training_data]),
        ("Prevalence", [card.prevalence]),
        ("Licence", [card.licence]),
    ):
        out.print(f"[bold]{title}[/]")
        for line in lines:
            out.print(f"- {escape(line)}", highlight=False)
    points = card.operating_points
    out.print(
        f"[bold]Operating points[/] screen {points.screen} (a frame is positive at or above it), "
        f"alarm {points.alarm}",
        highlight=False,
    )


def _print_figures(precision: str, figures: Sequence[Figure]) -> None:
    table = Table("figure", "value", "95 % interval", "on", "units")
    table.title = f"measured in {precision}"
    for f in figures:
        interval = "none" if f.low is None else f"{f.low:.3f} to {f.high:.3f}"
        table.add_row(escape(f.name), f"{f.value:.3f}", interval, escape(f.on), escape(f.n))
    out.print(table)


def _sets(card: EngineCard) -> str:
    return ", ".join(source.name.split(",")[0] for source in card.training_data) or "not stated"
