"""One training run as a process: fit a detector without one fold, predict that fold.

Run as ``python -m training.lesion_job FILE``, where FILE is what `Job.write` wrote; prints where it
stands as JSON lines. A finished job is not done again, an unfinished one goes on.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.fitting import Progress
from training.lesion_fields import Field, read_fields
from training.lesion_fit import KerasModel, Recipe, fit, predict
from training.luna import read_patients, read_slices
from training.patches import read_patches
from training.predictions import PATCHES, SLICES, write

MODEL, PREDICTIONS, LOSSES = "model.keras", "predictions.jsonl", "losses.json"
RAW_SHIFT = 3.0  # see `KerasModel`


@dataclass(frozen=True, slots=True)
class Job:
    """A run: what to train, without what, and where it lies.

    Attributes
    ----------
    data : folder with luna16-slices and luna16-patches.
    folder : the run's own.
    fold : LUNA16 subset that is left out and predicted; None trains on everything.
    threads : that TensorFlow may use.
    """

    name: str
    data: Path
    folder: Path
    recipe: Recipe
    fold: int | None
    seed: int
    threads: int = 1

    @property
    def done(self) -> bool:
        """Whether it was finished, with this very recipe."""
        told = self.folder / "job.json"
        last = MODEL if self.fold is None else PREDICTIONS
        return (
            (self.folder / last).is_file()
            and told.is_file()
            and json.loads(told.read_text())["recipe"] == json.loads(self._json())["recipe"]
        )

    def write(self) -> Path:
        """Write the job into its folder; return the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "job.json"
        path.write_text(self._json())
        return path

    def _json(self) -> str:
        told = asdict(self) | {"data": str(self.data), "folder": str(self.folder)}
        return json.dumps(told, indent=2) + "\n"


def read_job(path: Path) -> Job:
    """Read what `Job.write` wrote."""
    told: dict[str, Any] = json.loads(path.read_text())
    recipe: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in told["recipe"].items()
    }
    places = {"data": Path(told["data"]), "folder": Path(told["folder"])}
    return Job(**told | places | {"recipe": Recipe(**recipe)})


def main(argv: list[str] | None = None) -> int:
    """Run one job; return the exit code."""
    (path,) = sys.argv[1:] if argv is None else argv
    job = read_job(Path(path))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    slices = job.data / SLICES
    fields = list(read_fields(slices, read_slices(slices), repaired=job.recipe.repaired))
    test = [f for f in fields if f.source.fold == job.fold]
    train = [f for f in fields if f.source.fold != job.fold]
    model = _fit(job, train, {f.source.patient for f in test})
    model.save(job.folder / MODEL)
    if test:
        _predict(job, model, test)
    return 0


def _fit(job: Job, train: list[Field], left_out: set[str]) -> Any:
    patches = None
    if job.recipe.patches:
        patients = read_patients(job.data / SLICES)
        patches = read_patches(job.data / PATCHES, patients).without(left_out)
    return fit(train, job.recipe, seed=job.seed, folder=job.folder, watch=_say, patches=patches)


def _predict(job: Job, model: Any, test: list[Field]) -> None:
    """Predict the fold as often as flips may be averaged; the recipe's own goes last."""
    for flips in sorted({1, 4, job.recipe.flips}, key=lambda n: n == job.recipe.flips):
        scored = KerasModel(model, flips=flips, shift=RAW_SHIFT)
        name = f"predictions-flips-{flips}.jsonl"
        write(job.folder / name, (predict(scored, field) for field in test), threshold=0.5)
    write_last = job.folder / f"predictions-flips-{job.recipe.flips}.jsonl"
    (job.folder / PREDICTIONS).write_bytes(write_last.read_bytes())


def _say(progress: Progress) -> None:
    print(json.dumps(asdict(progress)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
