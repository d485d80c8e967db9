"""The scores and labels behind a card's figures: no pixels, small enough to ship with the engine.

Whoever doubts a figure computes it again from this file; `make test` does.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.froc import Matched
from training.lesion_figures import Halves, Scores

SCORES, INT8_SCORES = "scores.json", "scores.int8.json"
_DIGITS = 4


def write_scores(path: Path, scores: Scores) -> None:
    """Write what became of candidates and nodules, and the score of each half-lung."""
    halves = scores.halves
    lines = [
        json.dumps(
            {
                "patient": s.patient,
                "nodules": [
                    [_rounded(hit), _rounded(diameter), _rounded(said)]
                    for hit, diameter, said in zip(s.hits, s.diameters_mm, s.sizes_mm, strict=True)
                ],
                "false_positives": [_rounded(p) for p in s.false_positives],
            }
        )
        for s in scores.slices
    ]
    rows = zip(halves.scores, halves.labels, halves.patients, strict=True)
    lungs = [json.dumps([_rounded(score), int(label), str(name)]) for score, label, name in rows]
    named = {"slices": lines, "halves": lungs}
    parts = [f'"{name}": [\n' + ",\n".join(rows) + "\n]" for name, rows in named.items()]
    path.write_text("{" + ",\n".join(parts) + "}\n")


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote."""
    told = json.loads(path.read_text())
    slices = []
    for one in told["slices"]:
        rows = [[np.nan if v is None else v for v in row] for row in one["nodules"]]
        table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
        false = np.asarray(one["false_positives"], dtype=np.float64)
        slices.append(Matched(one["patient"], table[:, 0], table[:, 1], false, table[:, 2]))
    scores, labels, patients = zip(*told["halves"], strict=True)
    halves = Halves(np.asarray(scores, float), np.asarray(labels, np.int64), np.asarray(patients))
    return Scores(slices, halves)


def _rounded(value: float) -> float | None:
    return round(float(value), _DIGITS) if np.isfinite(value) else None
