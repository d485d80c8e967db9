"""From a name to a loaded engine: the catalogue folder, its checks, the choice of device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationError

from engines import cuda
from engines.card import EngineCard
from engines.classifier import Classifier
from engines.detector import Detector
from engines.effects import PlanEffects
from engines.enclosed import check_enclosed
from engines.errors import CatalogueError, EngineError, EngineFailed
from engines.forecaster import Forecaster
from engines.model import Model
from engines.on_gpu import GpuOptions, on_gpu
from engines.protocol import Engine
from engines.tensorrt_runtime import TensorRtModel

DEFAULT_ENGINE = "lesion"
DEFAULT_FORECASTER = "response"
CATALOGUE = Path(__file__).parent / "catalogue"

TRAINED_ON = "patients.txt"
"""In an engine's folder: the patients its training saw, a line each."""

Runtime = Literal["onnxruntime", "openvino"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]

_CARD, _MODEL = "engine.json", "model.onnx"
_TASKS: dict[str, Callable[[EngineCard, Model], Engine]] = {
    "classify": Classifier,
    "detect": Detector,
}


def list_engines(*catalogues: Path) -> list[EngineCard]:
    """Read the cards of all engines, sorted by name; no model is loaded.

    Parameters
    ----------
    catalogues : folders with one folder an engine; by default the one shipped with this package.

    Raises
    ------
    CatalogueError  a folder is missing, or one of the cards is missing or not valid.
    """
    folders = _folders(catalogues or (CATALOGUE,))
    return [_read_card(folders[name]) for name in sorted(folders)]


def read_card(name: str, *, catalogues: Sequence[Path] = (CATALOGUE,)) -> EngineCard:
    """Read one engine's card; its model is not loaded.

    Raises
    ------
    CatalogueError  no such engine, or its card is missing or not valid.
    """
    return _read_card(find_engine(name, catalogues=catalogues))


def load_engine(
    name: str,
    *,
    device: Device = "auto",
    runtime: Runtime = "onnxruntime",
    precision: Precision = "auto",
    threads: int | None = None,
    catalogues: Sequence[Path] = (CATALOGUE,),
    gpu: GpuOptions | None = None,
    tell: Callable[[str], None] | None = None,
) -> Engine:
    """Load an engine, checked against its card.

    Takes some tenths of a second; on a GPU, once for each card and version, the minutes of a build.

    Parameters
    ----------
    name : folder in the catalogue, e.g. ``DEFAULT_ENGINE``.
    device : "cuda" is the first GPU of this process, "auto" the same where it can be had, else the
        CPU.
    runtime : what computes on the CPU; "openvino" needs the extra of that name. With "auto" it is
        a wish for the CPU.
    precision : "auto" is what the card says on the CPU, and fp32 on a GPU; "bf16" is for OpenVINO
        only, "fp16" for GPUs only.
    threads : that one inference may use on the CPU, >= 1; by default 1, since workers scale by
        processes and one thread answers with the same bits on every machine of a kind.
    catalogues : as for `list_engines`.
    gpu : how plans come about there; by default each load builds its own.
    tell : told in words why "auto" is the CPU.

    Raises
    ------
    CatalogueError  no such engine; or its files are missing, altered, or do not fit together.
    EngineError     the device, runtime or precision cannot be had.
    ValueError      `threads` below 1, or an unknown `device`.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if device not in get_args(Device):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    folder = find_engine(name, catalogues=catalogues)
    card = _read_card(folder)
    made = _TASKS.get(card.task)
    if made is None:
        raise EngineError(f"engine {name}: its task, {card.task}, is none of {', '.join(_TASKS)}")
    if device == "cuda" or (device == "auto" and runtime != "openvino" and precision != "bf16"):
        why = cuda.lacking()
        if not why:
            try:
                return made(card, _opened_on_gpu(folder, card, precision, gpu))
            except CatalogueError:
                raise
            except EngineError as error:
                why = str(error)
        if device == "cuda":
            raise _not_on_cuda(name, why)
        if tell is not None:
            tell(why)
    try:
        return made(card, _opened(folder, card, runtime, precision, threads or 1))
    except EngineFailed as error:
        raise CatalogueError(f"{error}. Restore {folder} from its release.") from error


def load_forecaster(name: str, *, catalogues: Sequence[Path] = (CATALOGUE,)) -> Forecaster:
    """Load an engine that forecasts; it needs nothing but the CPU.

    Raises
    ------
    CatalogueError  no such engine; or its files are missing, altered, or do not fit together.
    EngineError     the engine does not forecast.
    """
    card, model = load_model(name, catalogues=catalogues)
    if card.task != "forecast":
        raise EngineError(f"engine {name} does not forecast: its task is {card.task}")
    return Forecaster(card, model)


def load_effects(name: str, *, catalogues: Sequence[Path] = (CATALOGUE,)) -> PlanEffects:
    """Load an engine that says what plans would do; it needs nothing but the CPU.

    Raises
    ------
    CatalogueError, EngineError  as `load_forecaster`.
    """
    card, model = load_model(name, catalogues=catalogues)
    if card.task != "effect":
        raise EngineError(f"engine {name} says nothing of effects: its task is {card.task}")
    return PlanEffects(card, model)


def load_model(
    name: str,
    *,
    runtime: Runtime = "onnxruntime",
    precision: Precision = "auto",
    threads: int = 1,
    catalogues: Sequence[Path] = (CATALOGUE,),
) -> tuple[EngineCard, Model]:
    """Load an engine's network alone, for those who make its input themselves.

    Raises
    ------
    CatalogueError, EngineError  as `load_engine`.
    EngineFailed    the runtime cannot load it.
    """
    folder = find_engine(name, catalogues=catalogues)
    card = _read_card(folder)
    return card, _opened(folder, card, runtime, precision, threads)


def load_on_gpu(
    name: str,
    *,
    precision: Precision = "auto",
    catalogues: Sequence[Path] = (CATALOGUE,),
    gpu: GpuOptions | None = None,
) -> tuple[EngineCard, TensorRtModel]:
    """Load an engine's network alone, on the first GPU of this process.

    Raises
    ------
    CatalogueError, EngineError  as `load_engine` with the device cuda.
    EngineFailed    TensorRT cannot build or load it.
    """
    why = cuda.lacking()
    if why:
        raise _not_on_cuda(name, why)
    folder = find_engine(name, catalogues=catalogues)
    card = _read_card(folder)
    return card, _opened_on_gpu(folder, card, precision, gpu)


def _opened(
    folder: Path, card: EngineCard, runtime: Runtime, precision: Precision, threads: int
) -> Model:
    """Open the file of the precision that is wanted, on the CPU."""
    wanted = card.precision if precision == "auto" else precision
    if wanted == "fp16":
        raise EngineError("fp16 needs a GPU: use device cuda, or precision auto.")
    path = _file(folder, card, wanted)
    if runtime == "openvino":
        from engines.openvino_runtime import OpenVinoModel  # an extra

        return OpenVinoModel(path, threads=threads, precision=wanted)
    if wanted == "bf16":
        raise EngineError(
            "bf16 needs the runtime openvino: set LESIONSTREAM_RUNTIME, or use precision auto."
        )
    from engines.onnx_runtime import OnnxModel  # keeps `import engines` cheap

    return OnnxModel(path, threads=threads, precision=wanted)


def _not_on_cuda(name: str, why: str) -> EngineError:
    return EngineError(f"engine {name} cannot run on cuda: {why}. Use device cpu (or auto).")


def _opened_on_gpu(
    folder: Path, card: EngineCard, precision: Precision, options: GpuOptions | None
) -> TensorRtModel:
    """Open the file of the precision that is wanted, on a GPU."""
    wanted = "fp32" if precision == "auto" else precision
    if wanted == "bf16":
        raise EngineError("bf16 is for the runtime openvino: use precision fp16, or device cpu.")
    path = _file(folder, card, wanted)
    cpu: Precision = "int8" if wanted == "int8" else "fp32"
    return on_gpu(
        card.name,
        path,
        wanted,
        lambda: _opened(folder, card, "onnxruntime", cpu, 1),
        options or GpuOptions(),
    )


def _file(folder: Path, card: EngineCard, precision: str) -> Path:
    """Return the file that a precision comes from; every file of the engine must be whole."""
    files = dict.fromkeys(("fp32", "fp16", "bf16"), (_MODEL, card.sha256))
    files |= {v.precision: (f"model.{v.precision}.onnx", v.sha256) for v in card.variants}
    if precision not in files:
        raise EngineError(f"engine {card.name} has no {precision} file. Use precision auto.")
    checked = {name: _checked_model(folder, name, sha256) for name, sha256 in files.values()}
    return checked[files[precision][0]]


def find_engine(name: str, *, catalogues: Sequence[Path] = (CATALOGUE,)) -> Path:
    """Return the folder of an engine; a name never leaves the catalogues.

    Raises
    ------
    CatalogueError  no such engine.
    """
    folders = _folders(catalogues)
    if name not in folders:
        places = ", ".join(str(catalogue) for catalogue in catalogues)
        known = ", ".join(sorted(folders)) or "none is installed"
        raise CatalogueError(f"{places}: no engine {name!r}. Use one of: {known}.")
    return folders[name]


def _folders(catalogues: Sequence[Path]) -> dict[str, Path]:
    """Folders by name; of two engines with one name that of the first catalogue."""
    found: dict[str, Path] = {}
    for catalogue in catalogues:
        if not catalogue.is_dir():
            raise CatalogueError(f"{catalogue}: no such folder. Install the package again.")
        for folder in catalogue.iterdir():
            if folder.is_dir() and not folder.name.startswith((".", "_")):
                found.setdefault(folder.name, folder)
    return found


def _read_card(folder: Path) -> EngineCard:
    path = folder / _CARD
    try:
        card = EngineCard.model_validate_json(_read(folder, _CARD))
    except ValidationError as error:
        raise CatalogueError(f"{path}: not a valid card. Restore it. {error}") from error
    if card.name != folder.name:
        raise CatalogueError(
            f"{path}: says it is {card.name!r}. Name the folder so, or restore it."
        )
    return card


def _checked_model(folder: Path, name: str, sha256: str) -> Path:
    """Path of a model file, whose bytes are those the card speaks of."""
    path = folder / name
    data = _read(folder, name)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CatalogueError(
            f"{path}: sha256 is {found}, {_CARD} says {sha256}. "
            "The file was altered or half copied: restore both from one release."
        )
    check_enclosed(data, path)
    return path


def _read(folder: Path, name: str) -> bytes:
    """Return the bytes of one file of an engine, which lies in the engine's own folder."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.parent.resolve() / folder.name):
            raise CatalogueError(f"{path}: leads out of its folder. Copy the file there instead.")
        return path.read_bytes()
    except OSError as error:
        raise CatalogueError(f"{path}: {error.strerror}. Restore it from its release.") from error
