"""One training run as a process: fit an engine without some folds, predict these.

Run as ``python -m training.lesion_job FILE``, where FILE is what `Job.write` wrote; prints where it
stands as JSON lines. A finished job is not done again, an unfinished one goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engines.model import Model
from engines.onnx_runtime import OnnxModel
from training.fitting import Progress
from training.joined import Calibration, Joined, Stages
from training.lesion_export import export
from training.lesion_fields import Field, read_fields
from training.lesion_fit import MODEL, fit, predict
from training.lesion_int8 import VIEWS, every_so_often, quantize, view_of
from training.look_fit import LOOK, find_examples
from training.look_fit import fit as fit_look
from training.luna import read_patients, read_slices
from training.patches import Patches, read_patches
from training.predictions import PATCHES, SLICES, Prediction, predict_patches, write
from training.recipes import LookRecipe, Recipe

PREDICTIONS, INT8_PREDICTIONS = "predictions.jsonl", "predictions-int8.jsonl"
DONE, LOSSES = "done", "losses.json"
RAW_SHIFT = 3.0  # what is not calibrated yet must not fall below the least candidate
RAW = Calibration(shift=RAW_SHIFT)


@dataclass(frozen=True, slots=True)
class Job:
    """A run: what to train, without what, and where it lies.

    Attributes
    ----------
    data : folder with luna16-slices and luna16-patches.
    folder : the run's own.
    folds : LUNA16 subsets that are left out and predicted; none trains on everything.
    threads : that TensorFlow may use.
    int8 : predict what is left out in 8 bits, too.
    flips : predict the slices that are left out with so many flips, too, whatever the recipe says.
    """

    name: str
    data: Path
    folder: Path
    recipe: Recipe
    folds: tuple[int, ...]
    seed: int
    threads: int = 1
    int8: bool = False
    flips: tuple[int, ...] = ()

    @property
    def done(self) -> bool:
        """Whether it was finished, with this very recipe and these very folds."""
        last = (DONE, INT8_PREDICTIONS) if self.int8 and self.folds else (DONE,)
        finished = all((self.folder / name).is_file() for name in last)
        return finished and self._same_as(self.folder / "job.json")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        look = self.recipe.look
        return self.recipe.steps + (look.steps if look else 0)

    def write(self) -> Path:
        """Write the job into its folder, emptied if another job lay there; return the file."""
        path = self.folder / "job.json"
        if self.folder.is_dir() and not self._same_as(path):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).unlink(missing_ok=True)
        _replace(path, self._json())
        return path

    def _same_as(self, path: Path) -> bool:
        """Whether a file tells of the same run; what it does not know are code and data."""
        try:
            made = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        asked = json.loads(self._json())
        return all(asked[key] == made[key] for key in ("recipe", "folds", "seed"))

    def _json(self) -> str:
        told = asdict(self) | {"data": str(self.data), "folder": str(self.folder)}
        return json.dumps(told, indent=2) + "\n"


def read_job(path: Path) -> Job:
    """Read what `Job.write` wrote."""
    told: dict[str, Any] = json.loads(path.read_text())
    recipe = _tuples(told["recipe"])
    if recipe["look"] is not None:
        recipe["look"] = LookRecipe(**_tuples(recipe["look"]))
    places = {"data": Path(told["data"]), "folder": Path(told["folder"])}
    return Job(**_tuples(told) | places | {"recipe": Recipe(**recipe)})


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}


def main(argv: list[str] | None = None) -> int:
    """Run one job; return the exit code."""
    (path,) = sys.argv[1:] if argv is None else argv
    job = read_job(Path(path))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    slices = job.data / SLICES
    sources = read_slices(slices)
    fields = list(read_fields(slices, sources, repaired=job.recipe.repaired))
    test = [f for f in fields if f.source.fold in job.folds]
    train = [f for f in fields if f.source.fold not in job.folds]
    patches = read_patches(job.data / PATCHES, read_patients(slices))
    left_out = {source.patient for source in sources if source.fold in job.folds}
    stages = _fit(job, train, patches.without(left_out))
    if test:
        _predict(job, stages, test, patches.only(left_out))
        if job.int8:
            _predict_int8(job, stages, train, test, patches.only(left_out))
    (job.folder / DONE).write_text("")
    return 0


def load_stages(job: Job) -> Stages:
    """Load what a finished job trained."""
    import keras  # heavy, training only

    look = None
    if job.recipe.look is not None:
        look = keras.models.load_model(job.folder / "look" / LOOK, compile=False)
    model = keras.models.load_model(job.folder / MODEL, compile=False)
    return Stages(model, look, job.recipe.flips, job.recipe.look.share if job.recipe.look else 0)


def _fit(job: Job, train: list[Field], patches: Patches) -> Stages:
    """Train what is missing of the stages; where the run broke off between them it goes on."""
    recipe, seed, folder = job.recipe, job.seed, job.folder
    if not (folder / MODEL).is_file():
        fit(train, recipe, seed=seed, folder=folder, watch=_teller(0, job.steps), patches=patches)
    look = recipe.look
    if look is not None and not (folder / "look" / LOOK).is_file():
        import keras  # heavy, training only

        alone = Joined(Stages(keras.models.load_model(folder / MODEL, compile=False)), RAW)
        examples = find_examples(alone, train, patches if look.patches else None)
        watch = _teller(recipe.steps, job.steps)
        fit_look(examples, look, seed=seed, folder=folder / "look", watch=watch)
    return load_stages(job)


def _predict(job: Job, stages: Stages, test: list[Field], patches: Patches) -> None:
    """Predict what was left out by the recipe, and the slices with the other flips asked for."""
    _write(job.folder / PREDICTIONS, _said(Joined(stages, RAW), test, patches))
    for flips in job.flips:
        model = Joined(replace(stages, flips=flips), RAW)
        _write(job.folder / f"predictions-flips-{flips}.jsonl", (predict(model, f) for f in test))


def _predict_int8(
    job: Job, stages: Stages, train: list[Field], test: list[Field], patches: Patches
) -> None:
    """Predict what was left out with what would be shipped as int8."""
    with TemporaryDirectory() as folder:
        full, small = Path(folder) / "model.onnx", Path(folder) / "model.int8.onnx"
        export(stages, RAW, full)
        quantize(full, small, [view_of(field) for field in every_so_often(train, VIEWS)])
        model = OnnxModel(small, threads=job.threads, precision="int8")
        _write(job.folder / INT8_PREDICTIONS, _said(model, test, patches))
        model.close()


def _said(model: Model, test: list[Field], patches: Patches) -> Iterator[Prediction]:
    yield from (predict(model, field) for field in test)
    yield from predict_patches(model, patches.pixels, patches.candidates.tolist())


def _write(path: Path, predictions: Iterable[Prediction]) -> None:
    part = path.with_suffix(".part")
    write(part, predictions, threshold=0.5)
    part.replace(path)


def _teller(before: int, steps: int) -> Callable[[Progress], None]:
    """Return a watcher for a stage that begins after `before` of `steps` steps."""

    def tell(progress: Progress) -> None:
        told = {"step": before + progress.step, "steps": steps, "loss": progress.loss}
        print(json.dumps(told), flush=True)

    return tell


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
