"""The figures of the lesion engine, on answers whose figures can be said beforehand."""

import json

import numpy as np
import pytest

from training.lesion_figures import (
    PatchScores,
    calibration_error,
    halves_of,
    match_slices,
    patch_figures,
    slice_figures,
)
from training.lesion_truth import Half, Truth, half_scores
from training.predictions import PATCHES, SLICES, Prediction, patch_score, read, write

NOBODY = np.zeros((0, 3))


def _truth(i, nodules, labels):
    columns = np.broadcast_to(np.arange(200, dtype=np.float32), (100, 200))
    left, right = np.maximum(columns - 90, 0), np.maximum(110 - columns, 0)
    halves = tuple(Half(d, label) for d, label in zip((left, right), labels, strict=True))
    rows = np.asarray(nodules, float).reshape(-1, 3)
    return Truth(f"images/{i}.png", f"p{i % 20}", rows, NOBODY, halves)


def _said(i, *rows):
    table = np.asarray(rows, float).reshape(-1, 4)
    return Prediction(SLICES, f"images/{i}.png", float(table[:, 0].max(initial=0)), table)


@pytest.fixture
def perfect():
    """Return 40 slices with a nodule at the left, found where it is and nowhere else."""
    truths = [_truth(i, [(40, 50, 8)], (1, 0)) for i in range(40)]
    return truths, [_said(i, (0.9, 41, 50, 9), (0.1, 150, 50, 4)) for i in range(40)]


def _by_name(figures):
    return {figure.name: figure for figure in figures}


def test_a_perfect_answer_has_perfect_figures(perfect):
    truths, said = perfect
    figures = _by_name(
        slice_figures(match_slices(truths, said), halves_of(truths, said), 0.5, on="nowhere")
    )
    for name in (
        "mean FROC sensitivity, 1/8 to 8 false positives a slice",
        "sensitivity at 1/8 false positive a slice, 6-10 mm",
        "half-lungs, AUC",
        "half-lungs, sensitivity at screen",
        "half-lungs, specificity at screen",
    ):
        assert (figures[name].value, figures[name].low, figures[name].high) == (1.0, 1.0, 1.0)
    assert figures["median error of the diameter, mm"].value == 1.0
    assert figures["half-lungs, expected calibration error"].value == pytest.approx(0.1)
    froc = figures["mean FROC sensitivity, 1/8 to 8 false positives a slice"]
    assert froc.n == "40 nodules on 40 slices of 20 patients"


def test_an_interval_holds_the_figure_and_narrows_with_patients():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 400)
    scores = np.clip(labels * 0.3 + rng.random(400), 0, 1)
    few = patch_figures(PatchScores(scores[:60], labels[:60], np.arange(60) // 3), on="nowhere")[0]
    many = patch_figures(PatchScores(scores, labels, np.arange(400) // 3), on="nowhere")[0]
    for figure in (few, many):
        assert figure.low < figure.value < figure.high
    assert many.high - many.low < few.high - few.low


def test_a_candidate_counts_for_the_lung_it_is_nearest_to():
    truth = _truth(0, [], (0, 0))
    rows = np.array([[0.3, 10, 10, 5], [0.7, 95, 50, 5], [0.4, 180, 50, 5]])
    assert half_scores(truth, rows) == [0.7, 0.4]


def test_a_lung_with_only_ignored_findings_is_no_negative():
    truths = [_truth(0, [(40, 50, 8)], (1, None))]
    assert halves_of(truths, [_said(0, (0.9, 40, 50, 8))]).labels.tolist() == [1]


def test_calibration_error_is_none_where_said_is_found():
    scores = np.repeat([0.25, 0.75], 400)
    labels = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0]).astype(np.int64)
    assert calibration_error(scores, labels) < 0.01
    assert calibration_error(1 - scores, labels) == pytest.approx(0.5, abs=0.01)


def test_predictions_survive_the_file(tmp_path):
    said = [_said(3, (0.9, 41.5, 50.25, 9.0)), Prediction(PATCHES, "123", 0.25)]
    assert write(tmp_path / "p.jsonl", said, 0.5) == 2
    first, second = (json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines())
    assert first["threshold"] == 0.5
    assert (second["id"], second["score"]) == (123, 0.25)
    again = read(tmp_path / "p.jsonl")
    assert [(p.dataset, p.id, p.score) for p in again] == [(p.dataset, p.id, p.score) for p in said]
    assert np.array_equal(again[0].lesions, said[0].lesions)


def test_a_line_that_is_no_prediction_is_named(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"dataset": "luna16-slices"}\n')
    with pytest.raises(ValueError, match=r"p\.jsonl:1"):
        read(tmp_path / "p.jsonl")


class Middle:
    """A network that looks at nothing but brightness."""

    backend, precision = "arithmetic", "fp32"
    input_shape, outputs = (1, 1, 256, 352), ("heat", "diameter_mm")

    def run(self, view):
        heat = view.reshape(1, 1, 128, 2, 176, 2).mean(axis=(3, 5))
        return {"heat": heat, "diameter_mm": heat}

    def close(self):
        pass


def test_a_patch_is_scored_by_its_middle():
    dark = np.full((50, 50), 60, dtype=np.uint8)
    bright = dark.copy()
    bright[22:28, 22:28] = 220
    aside = dark.copy()
    aside[5:11, 5:11] = 220
    scores = [patch_score(Middle(), patch) for patch in (dark, aside, bright)]
    assert scores[0] == pytest.approx(scores[1])
    assert scores[2] > 0.8
    assert patch_score(Middle(), np.ascontiguousarray(bright[::-1])) == pytest.approx(scores[2])
