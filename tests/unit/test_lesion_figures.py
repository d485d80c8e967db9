"""The figures of the lesion engine, on answers whose figures can be said beforehand."""

import json

import numpy as np
import pytest

from training.classifier_export import input_of
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
    few = PatchScores(scores[:60], labels[:60], np.arange(60) // 3)
    many = PatchScores(scores, labels, np.arange(400) // 3)
    few, many = (patch_figures(some, {"screen": 0.6}, on="nowhere")[0] for some in (few, many))
    for figure in (few, many):
        assert figure.low < figure.value < figure.high
    assert many.high - many.low < few.high - few.low


def test_patches_are_decided_at_each_point():
    patches = PatchScores(np.array([0.1, 0.4, 0.6, 0.9]), np.array([0, 1, 0, 1]), np.arange(4))
    figures = patch_figures(patches, {"screen": 0.3, "alarm": 0.7}, on="nowhere")
    assert {f.name: f.value for f in figures} == {
        "patches, AUC": 0.75,
        "patches, sensitivity at screen": 1.0,
        "patches, specificity at screen": 0.5,
        "patches, sensitivity at alarm": 0.5,
        "patches, specificity at alarm": 1.0,
    }


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


class Corner:
    """A network that looks at nothing but the view's first pixels, so that turns matter."""

    backend, precision = "arithmetic", "fp32"
    input_shape, outputs = (-1, 1, 48, 48), ("probability",)

    def run(self, view):
        assert view.shape == (1, 1, 48, 48)
        return {"probability": view[:, 0, :8, :8].mean(axis=(1, 2), keepdims=False)[:, None]}

    def close(self):
        pass


def test_a_patch_is_seen_from_all_sides():
    spec = input_of(48, spacing_mm=1.0)
    patch = np.full((50, 50), 51, dtype=np.uint8)
    assert patch_score(spec, Corner(), patch) == pytest.approx(0.2)
    patch[1:9, 1:9] = 204  # two of eight views have this corner first
    logit = (6 * np.log(0.2 / 0.8) + 2 * np.log(0.8 / 0.2)) / 8
    assert patch_score(spec, Corner(), patch) == pytest.approx(1 / (1 + np.exp(-logit)))
    assert patch_score(spec, Corner(), patch[:, ::-1]) == patch_score(spec, Corner(), patch)


def test_a_patch_that_is_too_small_says_so():
    with pytest.raises(ValueError, match="40 pixels wide; 48"):
        patch_score(input_of(48), Corner(), np.zeros((40, 40), dtype=np.uint8))
