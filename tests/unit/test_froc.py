"""FROC by LUNA16's rules, on cases small enough to count by hand."""

import numpy as np
import pytest

from training.froc import Matched, match, mean_sensitivity, sensitivity_at, threshold_at

NODULE = np.array([[50.0, 50.0, 10.0]])
NOBODY = np.zeros((0, 3))


def _rows(*rows):
    return np.asarray(rows, dtype=np.float64).reshape(-1, 4)


def test_a_hit_lies_within_the_radius_and_the_best_counts():
    found = match("p", _rows((0.4, 54, 50, 9), (0.7, 50, 55, 8), (0.9, 50, 56, 7)), NODULE, NOBODY)
    assert found.hits.tolist() == [0.7]
    assert found.sizes_mm.tolist() == [8.0]
    assert found.false_positives.tolist() == [0.9]


def test_a_candidate_on_an_ignored_finding_is_neither():
    found = match("p", _rows((0.9, 20, 20, 5)), NODULE, np.array([[21.0, 20.0, 4.0]]))
    assert found.hits.tolist() == [-1.0]
    assert len(found.false_positives) == 0


def test_a_nodule_counts_before_what_is_ignored_on_it():
    found = match("p", _rows((0.9, 50, 50, 5)), NODULE, NODULE)
    assert found.hits.tolist() == [0.9]


def _slices(hits, false):
    pairs = zip(hits, false, strict=True)
    return [
        Matched("p", np.array([hit]), np.array([8.0]), np.array(wrong), np.array([8.0]))
        for hit, wrong in pairs
    ]


def test_sensitivity_at_a_rate_of_false_positives():
    slices = _slices([0.9, 0.6, 0.3, -1.0], [[0.8, 0.2], [0.5], [0.4], [0.1]])
    assert threshold_at(slices, 0.25) == pytest.approx(0.5)
    assert sensitivity_at(slices, 0.25) == 0.5  # above 0.5 there is one false positive in 4 slices
    assert sensitivity_at(slices, 0.75) == 0.75
    assert sensitivity_at(slices, 8.0) == 0.75  # what nobody proposed is never hit
    assert sensitivity_at(slices, 0.25, (10.0, 99.0)) != sensitivity_at(slices, 0.25)


def test_a_perfect_and_a_blind_detector():
    assert mean_sensitivity(_slices([0.9, 0.8], [[0.1], []])) == 1.0
    assert mean_sensitivity(_slices([-1.0, -1.0], [[], []])) == 0.0
