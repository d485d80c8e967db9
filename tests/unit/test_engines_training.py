"""What stands behind the figures of an engine's card: repair, tiles, targets, statistics."""

import os
from pathlib import Path

import numpy as np
import pytest

from engines.preprocess import View
from training import evaluation
from training.luna import HELD_OUT_PATIENTS, HalfLung, LunaSlice, read_slices
from training.tiles import CELL, TILE, cell_targets, draw


def test_auc_counts_ordered_pairs_and_halves_ties():
    labels = np.array([0, 0, 1, 1])
    assert evaluation.auc(np.array([0.1, 0.2, 0.3, 0.4]), labels) == 1.0
    assert evaluation.auc(np.array([0.1, 0.3, 0.2, 0.4]), labels) == 0.75
    assert evaluation.auc(np.zeros(4), labels) == 0.5
    assert np.isnan(evaluation.auc(np.zeros(2), np.zeros(2, dtype=int)))


def test_thresholds_keep_what_they_promise():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    scores = rng.normal(labels, 1.0)
    screen = evaluation.threshold_at_sensitivity(scores, labels, 0.9)
    assert 0.9 <= evaluation.sensitivity(scores, labels, screen) < 0.91
    alarm = evaluation.threshold_at_specificity(scores, labels, 0.95)
    assert 0.95 <= evaluation.specificity(scores, labels, alarm) < 0.96


def test_platt_finds_the_logistic_it_was_drawn_from():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * scores - 1)))).astype(int)
    assert evaluation.platt(scores, labels) == pytest.approx((0.7, -1.0), abs=0.1)


def test_interval_holds_its_value_and_is_wider_by_patient():
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 2, 40), 10)
    scores = np.repeat(rng.normal(0, 1, 40), 10) + labels
    one_by_one = np.arange(400).astype(str)
    patients = np.repeat(np.arange(40), 10).astype(str)
    narrow, wide = (
        evaluation.by_patient(evaluation.auc, scores, labels, who, seed=1, rounds=300)
        for who in (one_by_one, patients)
    )
    assert wide.low <= wide.value <= wide.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_cells_are_marked_grey_at_the_rim_and_where_ignored():
    nodule, ignored = (np.array([[x, 64.0, 4.0]]) for x in (32.0, 96.0))
    cells = cell_targets(nodule, ignored, TILE // CELL)
    assert cells[8, 4] == 1.0
    assert cells[8, 12] == -1.0
    assert cells[0, 0] == 0.0
    assert set(np.unique(cells)) == {-1.0, 0.0, 1.0}


def _half(label):
    pixels = np.zeros((256, 256), dtype=np.float32)
    pixels[60:200, 60:200] = 0.1
    places = np.array([[128.0, 128.0, 10.0]], dtype=np.float32)[: 1 if label else 0]
    if label:
        pixels[123:134, 123:134] = 0.9
    source = LunaSlice("one.png", "LIDC-IDRI-0000", 0, (), ())
    return HalfLung(source, View(pixels, 0, 0, 256), label, places, np.zeros((0, 3), np.float32))


def test_tiles_carry_their_nodule_along():
    batch = draw([_half(0), _half(1)], 32, np.random.default_rng(0))
    assert batch.tiles.shape == (32, TILE, TILE, 1)
    assert 4 < batch.labels.sum() <= 16
    bright = batch.tiles.max(axis=(1, 2, 3)) > 0.6
    marked = (batch.cells > 0).any(axis=(1, 2, 3))
    assert np.array_equal(bright, marked)
    assert np.array_equal(marked, batch.labels[:, 0] > 0)
    centre = batch.tiles[:, CELL // 2 :: CELL, CELL // 2 :: CELL]
    assert centre[batch.cells > 0].mean() > centre[batch.cells == 0].mean() + 0.3


def test_tiles_are_the_same_for_one_seed():
    first, second = (draw([_half(0), _half(1)], 4, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.tiles, second.tiles)


def test_held_out_patients_and_folds_are_kept_apart():
    data = os.environ.get("LESIONSTREAM_DATA")
    if not data or not (folder := Path(data) / "luna16-slices").is_dir():
        pytest.skip("LESIONSTREAM_DATA names no folder with luna16-slices")
    slices = read_slices(folder)
    assert not HELD_OUT_PATIENTS & {one.patient for one in slices}
    folds = {(one.patient, one.fold) for one in slices}
    assert len(folds) == len({patient for patient, _ in folds})


@pytest.mark.parametrize(("scale", "offset"), [(0.8, 2.0), (3.0, -4.0), (0.2, 0.0)])
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_platt_finds_the_calibration_that_made_the_labels(scale, offset, spread):
    rng = np.random.default_rng(0)
    scores = rng.normal(1.0, spread, 20000)
    scores[:500] = scores.min() - 5  # a floor, where lungs without any candidate are put
    labels = (rng.random(20000) < 1 / (1 + np.exp(-(scale * scores + offset)))).astype(np.int64)
    found = evaluation.platt(scores, labels)
    assert found == pytest.approx((scale, offset), rel=0.25, abs=0.15)
