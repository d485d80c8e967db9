"""The scores and labels behind a card's figures: no pixels, small enough to ship with the engine.

Whoever doubts a figure computes it again from this file; `make test` does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.froc import Matched
from training.lesion_figures import Halves

SCORES = "scores.json"
_DIGITS = 4


def write_scores(path: Path, slices: Sequence[Matched], halves: Halves) -> None:
    """Write what became of every slice's candidates and nodules, and every half-lung's score."""
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
        for s in slices
    ]
    rows = zip(halves.scores, halves.labels, halves.patients, strict=True)
    lungs = [json.dumps([_rounded(score), int(label), str(name)]) for score, label, name in rows]
    parts = ('{"slices": [', ",\n".join(lines), '], "halves": [', ",\n".join(lungs), "]}", "")
    path.write_text("\n".join(parts))


def read_scores(path: Path) -> tuple[list[Matched], Halves]:
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
    return slices, halves


def _rounded(value: float) -> float | None:
    return round(float(value), _DIGITS) if np.isfinite(value) else None
