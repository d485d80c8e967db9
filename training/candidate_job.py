"""Train the candidates' network without some scans and judge their patches, as a process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import candidate_net, jobs
from training.candidate_fit import MODEL, fit
from training.jobs import Job, Watch
from training.luna import read_patients
from training.patches import Patches, read_patches, views_of
from training.predictions import PATCHES, SLICES
from training.recipes import PatchRecipe

LOGITS = "logits.json"
"""What a job leaves beside its model: [candidate's number, logit] of what it has not seen."""


@dataclass(frozen=True, kw_only=True)
class CandidateJob(Job):
    """A network to train.

    Attributes
    ----------
    part, parts : the list of scans is cut into so many parts, and this one is left out; part -1
        leaves nothing out.
    """

    recipe: PatchRecipe
    part: int
    parts: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of training."""
        return self.recipe.steps

    def told(self) -> Any:
        """Return recipe, part and seed."""
        return {
            "recipe": asdict(self.recipe),
            "part": self.part,
            "parts": self.parts,
            "seed": self.seed,
        }

    def do(self, watch: Watch) -> None:
        """Train, judge what was left out."""
        patches = read_patches(self.data / PATCHES, read_patients(self.data / SLICES))
        left_out = patients_of(patches, self.part, self.parts)
        if not (self.folder / MODEL).is_file():
            fit(
                patches.without(left_out),
                self.recipe,
                seed=self.seed,
                folder=self.folder,
                watch=lambda p: watch(p.step, f"loss {p.loss:.3f}"),
            )
        unseen = patches.only(left_out)
        said = logits(self.logit(), unseen.pixels)
        rows = [[int(c), round(float(v), 5)] for c, v in zip(unseen.candidates, said, strict=True)]
        (self.folder / LOGITS).write_text(json.dumps(rows))

    def logit(self) -> Callable[[Any], Any]:
        """Load what was trained: (N, 48, 48, 1) -> (N, 1), in float32."""
        model = candidate_net.build(self.recipe.channels)
        model.load_weights(self.folder / MODEL)
        return lambda view: model(view, training=False)


def patients_of(patches: Patches, part: int, parts: int) -> set[str]:
    """Return the patients of one of `parts` stretches of the list of scans; nobody for -1.

    A patient of several scans belongs where the first of them lies.
    """
    if part < 0:
        return set()
    in_order = list(dict.fromkeys(patches.patients))
    return {in_order[i] for i in np.array_split(np.arange(len(in_order)), parts)[part]}


def logits(logit: Callable[[Any], Any], pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Judge (N, 50, 50) patches as the engine does: the mean over eight turns; (N,)."""
    seen = (views_of(patch, candidate_net.SIDE)[..., None] for patch in pixels)
    return np.asarray([np.mean(np.asarray(logit(views))) for views in seen], dtype=np.float64)


if __name__ == "__main__":
    sys.exit(jobs.main(CandidateJob))
