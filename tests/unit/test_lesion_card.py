"""The shipped lesion engine: every figure of its card follows from the shipped scores."""

import pytest

from engines import list_engines
from engines.loading import CATALOGUE, TRAINED_ON
from training.lesion_figures import slice_figures
from training.lesion_scores import SCORES, read_scores
from training.luna import HELD_OUT_PATIENTS

FOLDER = CATALOGUE / "lesion"


@pytest.fixture(scope="module")
def card():
    (card,) = (card for card in list_engines() if card.name == "lesion")
    return card


def test_the_figures_follow_from_the_scores(card):
    slices, halves = read_scores(FOLDER / SCORES)
    on = card.figures[0].on
    figures = slice_figures(
        slices, halves, card.operating_points.screen, on=on, shift=card.calibration_shift
    )
    said = [figure for figure in card.figures if figure.on == on]
    assert len(said) > 10
    assert figures == said


def test_nobody_held_out_was_trained_on():
    trained_on = set((FOLDER / TRAINED_ON).read_text().split())
    assert len(trained_on) > 400
    assert not HELD_OUT_PATIENTS & trained_on


def test_the_points_are_what_they_are_said_to_be(card):
    slices, _ = read_scores(FOLDER / SCORES)
    points = card.operating_points
    assert points.screen == 0.5
    false = sum(int((s.false_positives >= points.alarm).sum()) for s in slices)
    assert false <= len(slices) / 8 + 1
