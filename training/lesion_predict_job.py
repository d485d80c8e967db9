"""Predict what networks have not seen: ``python -m training.lesion_predict_job FILE``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engines.model import Model
from engines.onnx_runtime import OnnxModel
from training import jobs
from training.jobs import Job, Watch
from training.joined import Calibration, Ensemble, Joined
from training.lesion_export import export
from training.lesion_fields import Field, read_fields
from training.lesion_fit import predict
from training.lesion_fit_job import FitJob
from training.lesion_int8 import VIEWS, every_so_often, quantize, view_of
from training.luna import LunaSlice, read_slices
from training.predictions import SLICES, Prediction, write

INT8_PREDICTIONS = "predictions-int8.jsonl"
RAW_SHIFT = 3.0  # what is not calibrated yet must not fall below the least candidate
RAW = Calibration(shift=RAW_SHIFT)


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """Slices to predict with networks that were trained without them.

    Attributes
    ----------
    fits : trained without the same folds; their maps are averaged.
    flips : how many views are averaged; a file of predictions for each number.
    int8 : predict in 8 bits, too, with the first number of flips.
    """

    fits: tuple[FitJob, ...]
    flips: tuple[int, ...]
    int8: bool = False

    @property
    def steps(self) -> int:
        """Slices to look at, each way they are."""
        return len(self._sources(unseen=True)) * (len(self.flips) + self.int8)

    def told(self) -> Any:
        """Return what the networks were told, and how they are used."""
        return {
            "fits": [fit.told() for fit in self.fits],
            "flips": self.flips,
            "int8": self.int8,
        }

    def do(self, watch: Watch) -> None:
        """Write the predictions."""
        nets, made = tuple(fit.model() for fit in self.fits), 0

        def said(model: Model) -> Iterator[Prediction]:
            nonlocal made
            for field in fields:
                yield predict(model, field)
                made += 1
                watch(made, "")

        fields = list(self._fields(self._sources(unseen=True)))
        for flips in self.flips:
            _write(self.folder / predictions(flips), said(Joined(Ensemble(nets, flips), RAW)))
        if self.int8:
            with TemporaryDirectory() as folder:
                model = self._int8(Ensemble(nets, self.flips[0]), Path(folder))
                _write(self.folder / INT8_PREDICTIONS, said(model))
                model.close()

    def _int8(self, ensemble: Ensemble, folder: Path) -> Model:
        """Make what would be shipped as int8."""
        full, small = folder / "model.onnx", folder / "model.int8.onnx"
        export(ensemble, RAW, full)
        some = every_so_often(self._sources(unseen=False), VIEWS)
        quantize(full, small, [view_of(field) for field in self._fields(some)])
        return OnnxModel(small, threads=self.threads, precision="int8")

    def _sources(self, *, unseen: bool) -> list[LunaSlice]:
        folds = self.fits[0].folds
        return [s for s in read_slices(self.data / SLICES) if (s.fold in folds) == unseen]

    def _fields(self, sources: list[LunaSlice]) -> Iterator[Field]:
        repaired = self.fits[0].recipe.repaired
        return read_fields(self.data / SLICES, sources, repaired=repaired)


def predictions(flips: int) -> str:
    """Return the name of the file of predictions from so many views."""
    return f"predictions-flips-{flips}.jsonl"


def _write(path: Path, said: Iterator[Prediction]) -> None:
    part = path.with_suffix(".part")
    write(part, said, threshold=0.5)
    part.replace(path)


if __name__ == "__main__":
    sys.exit(jobs.main(PredictJob))
