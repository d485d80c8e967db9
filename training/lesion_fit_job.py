"""Fit one detector without some folds, as a process: ``python -m training.lesion_fit_job FILE``."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

from training import jobs, lesion_net
from training.jobs import Job, Watch
from training.lesion_fields import Field, read_fields
from training.lesion_fit import MODEL, fit
from training.luna import read_patients, read_slices
from training.patches import read_patches
from training.predictions import PATCHES, SLICES
from training.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class FitJob(Job):
    """A network to train.

    Attributes
    ----------
    folds : LUNA16 subsets that are left out; none trains on everything.
    """

    recipe: Recipe
    folds: tuple[int, ...]
    seed: int

    @property
    def steps(self) -> int:
        """Steps of training."""
        return self.recipe.steps

    def told(self) -> Any:
        """Return recipe, folds and seed."""
        return {"recipe": asdict(self.recipe), "folds": self.folds, "seed": self.seed}

    def do(self, watch: Watch) -> None:
        """Train; go on where the run broke off."""
        if (self.folder / MODEL).is_file():
            return
        slices = self.data / SLICES
        sources = read_slices(slices)
        left_out = {source.patient for source in sources if source.fold in self.folds}
        seen = [source for source in sources if source.fold not in self.folds]
        fields: list[Field] = list(read_fields(slices, seen, repaired=self.recipe.repaired))
        patches = read_patches(self.data / PATCHES, read_patients(slices)).without(left_out)
        fit(
            fields,
            self.recipe,
            seed=self.seed,
            folder=self.folder,
            watch=lambda p: watch(p.step, f"loss {p.loss:.3f}"),
            patches=patches,
        )

    def model(self) -> Any:
        """Load what was trained: a Keras model that computes in float32."""
        model = lesion_net.build(self.recipe.down, self.recipe.up)
        model.load_weights(self.folder / MODEL)
        return model


if __name__ == "__main__":
    sys.exit(jobs.main(FitJob))
