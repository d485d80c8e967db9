"""The commands around engines: the catalogue, training, evaluation."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lesionstream.cli_options import Json, Jsonl


class PlanPrecision(StrEnum):
    """What a plan computes in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


engines_app = typer.Typer(
    no_args_is_help=True,
    help="The catalogue: list, info, add, promote, rollback, compare, bench, build.",
)
train_app = typer.Typer(no_args_is_help=True, help="Train an engine; needs the `train` extra.")
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure an engine on labelled images.")


@engines_app.command("list")
def engines_list(as_json: Json = False) -> None:
    """Show every engine, the one in use marked with a star."""
    from lesionstream import catalogue

    catalogue.list_all(as_json=as_json)


@engines_app.command("info")
def engines_info(
    name: Annotated[str, typer.Argument(help="Engine of the catalogue.")], as_json: Json = False
) -> None:
    """Show an engine's card: figures, what it was trained on, where it fails."""
    from lesionstream import catalogue

    catalogue.info(name, as_json=as_json)


@engines_app.command("add")
def engines_add(
    file: Annotated[Path, typer.Argument(help="ONNX, .keras or .h5 file.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    window: Annotated[tuple[float, float], typer.Option(help="HU that become 0 and 1.")] = (
        -1000.0,
        400.0,
    ),
    screen: Annotated[float, typer.Option(help="A frame is positive at or above it.")] = 0.5,
    alarm: Annotated[float, typer.Option(help="Few false alarms at or above it.")] = 0.5,
) -> None:
    """Bring your own model: a classifier of lungs, or a detector (docs/lesion.md)."""
    from lesionstream import catalogue

    catalogue.add(file, name=name, window=window, screen=screen, alarm=alarm)


@engines_app.command("promote")
def engines_promote(
    name: Annotated[str, typer.Argument(help="Engine of the catalogue.")],
) -> None:
    """Put an engine in use, after it has been loaded once."""
    from lesionstream import catalogue

    catalogue.promote(name)


@engines_app.command("rollback")
def engines_rollback() -> None:
    """Put the engine in use again that was before the last promotion."""
    from lesionstream import catalogue

    catalogue.rollback()


@engines_app.command("compare")
def engines_compare(jsonl: Jsonl = False) -> None:
    """Show what shadow engines said beside the active one: counts, and every disagreement."""
    from lesionstream import comparing

    comparing.compare(jsonl=jsonl)


@engines_app.command("bench")
def engines_bench(
    name: Annotated[str | None, typer.Argument(help="Default: the one in use.")] = None,
    seconds: Annotated[float, typer.Option(help="For each number of threads.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Measure an engine on this machine: frames a second, lung cut, inference."""
    from lesionstream import catalogue

    catalogue.bench(name, seconds=seconds, as_json=as_json)


@engines_app.command("build")
def engines_build(
    name: Annotated[str | None, typer.Argument(help="Default: the one in use.")] = None,
    precision: Annotated[
        PlanPrecision, typer.Option(help="Workers take that of LESIONSTREAM_PRECISION.")
    ] = PlanPrecision.FP32,
) -> None:
    """Build the TensorRT plan ahead of time; without it the first worker to start does."""
    from lesionstream import catalogue

    catalogue.build(name, precision.value)


@train_app.command("lesion")
def train_lesion(
    data: Annotated[Path, typer.Option(help="Folder with luna16-slices and luna16-patches.")],
    out: Annotated[Path, typer.Option(help="The engine's folder.")] = Path("lesion"),
    work: Annotated[Path, typer.Option(help="Runs lie here.")] = Path("lesion-runs"),
    folds: Annotated[
        str | None,
        typer.Option(help="Cross-validate, e.g. 3+7,0+1; by default all, in pairs."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and tiles.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes at a time, a thread each.")] = 2,
) -> None:
    """Train the lesion engine and cross-validate it. Goes on where an earlier run broke off."""
    needs_extra("train", "keras", "tensorflow", "tf2onnx", "matplotlib")
    from training.lesion import PAIRS, train

    left_out = PAIRS
    if folds is not None:
        try:
            left_out = tuple(tuple(map(int, pair.split("+"))) for pair in folds.split(","))
        except ValueError as error:
            raise typer.BadParameter(f"{folds!r} is no list of folds such as 3+7,0+1") from error
    train(data, out, work, left_out=left_out, seed=seed, workers=workers)


@train_app.command("candidate")
def train_candidate(
    data: Annotated[Path, typer.Option(help="Folder with luna16-slices and luna16-patches.")],
    out: Annotated[Path, typer.Option(help="The engine's folder.")] = Path("candidate"),
    work: Annotated[Path, typer.Option(help="Runs lie here.")] = Path("candidate-runs"),
    workers: Annotated[int, typer.Option(help="Processes at a time, a thread each.")] = 2,
) -> None:
    """Train the engine that judges candidates and cross-validate it."""
    needs_extra("train", "keras", "tensorflow", "tf2onnx")
    from training.candidate import train

    train(data, out, work, workers=workers)


@train_app.command("response")
def train_response(
    data: Annotated[Path, typer.Option(help="CSV: a reading a row (docs/response.md).")],
    out: Annotated[Path, typer.Option(help="The engine's folder.")] = Path("response"),
    work: Annotated[Path, typer.Option(help="Networks lie here.")] = Path("response-runs"),
) -> None:
    """Train the engine that forecasts the next diameter and cross-validate it."""
    needs_extra("train", "keras", "tensorflow", "tf2onnx", "crepes", "matplotlib")
    from training.response import train

    train(data, out, work)


@train_app.command("effect")
def train_effect(
    data: Annotated[
        Path, typer.Option(help="Folder of labelled images and trials, or a CSV (docs/models.md).")
    ],
    out: Annotated[Path, typer.Option(help="The engine's folder.")] = Path("effect"),
    work: Annotated[Path, typer.Option(help="Networks lie here.")] = Path("effect-runs"),
) -> None:
    """Train the engine that compares plans: on a SIMULATION, or on a hospital's own table."""
    needs_extra("train", "keras", "tensorflow", "tf2onnx", "crepes", "matplotlib")
    from training.effect import train

    train(data, out, work)


@evaluate_app.command("effect")
def evaluate_effect(
    data: Annotated[Path, typer.Option(help="As for `train effect`.")],
    engine: Annotated[str, typer.Option(help="Engine of the catalogue.")] = "effect",
    picture: Annotated[Path | None, typer.Option(help="Draw it here, a PNG.")] = None,
) -> None:
    """Measure how often the plan that an engine names is the best, and what the others cost."""
    needs_extra("train", "scipy", "matplotlib")
    from lesionstream import catalogue
    from training.effect_evaluate import evaluate

    evaluate(data, engine, catalogues=catalogue.catalogues(), picture=picture)


@evaluate_app.command("response")
def evaluate_response(
    data: Annotated[Path, typer.Option(help="CSV: a reading a row (docs/response.md).")],
    engine: Annotated[str, typer.Option(help="Engine of the catalogue.")] = "response",
    picture: Annotated[Path | None, typer.Option(help="Draw it here, a PNG.")] = None,
) -> None:
    """Forecast a table whose outcome is known, and measure: error, interval, progression."""
    needs_extra("train", "scipy", "matplotlib")
    from lesionstream import catalogue
    from training.response_evaluate import evaluate

    evaluate(data, engine, catalogues=catalogue.catalogues(), picture=picture)


@evaluate_app.command("lesion")
def evaluate_lesion(
    data: Annotated[
        Path, typer.Option(help="luna16-patches, luna16-slices, lidc-dicom, or what holds them.")
    ],
    predictions: Annotated[
        Path | None, typer.Option(help="Write a JSON line an item here.", show_default=False)
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with pictures here.", show_default=False)
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine of the catalogue.")] = "lesion",
    judge: Annotated[str, typer.Option(help="Engine that scores patches.")] = "candidate",
) -> None:
    """Score labelled slices and patches, and measure: FROC, AUC, half-lungs, sizes."""
    from lesionstream import catalogue
    from lesionstream.settings import settings
    from training.lesion_evaluate import How, evaluate

    if report is not None:
        needs_extra("train", "matplotlib")
    wanted = settings()
    threads = wanted.engine_threads or 1
    how = How(wanted.runtime, wanted.precision, threads, catalogue.catalogues())
    code = evaluate(data, engine, judge=judge, predictions=predictions, report=report, how=how)
    raise typer.Exit(code)


def needs_extra(extra: str, *modules: str) -> None:
    """Say what to install where one of the modules of an extra is missing.

    Raises
    ------
    EngineError
    """
    from importlib.util import find_spec

    from engines import EngineError

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise EngineError(
            f"{', '.join(missing)} missing: pip install 'lesionstream[{extra}]' first."
        )
