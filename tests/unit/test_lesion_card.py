"""The shipped lesion engines: every figure of their cards follows from the shipped scores."""

import pytest

from engines import EngineError, list_engines, load_engine
from engines.loading import CATALOGUE, TRAINED_ON
from training import candidate
from training.lesion_figures import chosen_apart_figures, slice_figures
from training.lesion_scores import SCORES, read_scores
from training.luna import HELD_OUT_PATIENTS

FOLDER = CATALOGUE / "lesion"


@pytest.fixture(scope="module")
def card():
    (card,) = (card for card in list_engines() if card.name == "lesion")
    return card


def test_the_figures_follow_from_the_scores(card):
    scores = read_scores(FOLDER / SCORES)
    figures = slice_figures(
        scores.slices,
        scores.halves,
        card.operating_points.screen,
        on=card.figures[0].on,
        shift=card.calibration_shift,
    )
    figures += chosen_apart_figures(scores.halves, on=card.figures[0].on)
    assert len(figures) > 12
    assert figures == list(card.figures[: len(figures)])


def test_nobody_held_out_was_trained_on():
    trained_on = set((FOLDER / TRAINED_ON).read_text().split())
    assert len(trained_on) > 400
    assert not HELD_OUT_PATIENTS & trained_on


def test_the_points_are_what_they_are_said_to_be(card):
    slices = read_scores(FOLDER / SCORES).slices
    points = card.operating_points
    assert points.screen == 0.5
    false = sum(int((s.false_positives >= points.alarm).sum()) for s in slices)
    assert false <= len(slices) / 8 + 1


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("mean FROC sensitivity, 1/8 to 8 false positives a slice", 0.86),
        ("sensitivity at 1 false positive a slice", 0.87),
        ("half-lungs, sensitivity at screen", 0.90),
        ("half-lungs, specificity at screen", 0.80),
    ],
)
def test_what_is_aimed_at_is_reached_to_two_digits(card, name, least):
    (figure,) = (figure for figure in card.figures if figure.name == name)
    assert round(figure.value, 2) >= least


def test_large_nodules_are_found_as_often_as_small_ones(card):
    found = {figure.name: figure.value for figure in card.figures}
    at = "sensitivity at 1 false positive a slice, "
    assert found[at + ">= 10 mm"] >= found[at + "< 6 mm"]


def test_a_threshold_chosen_on_others_does_nearly_as_well(card):
    found = {figure.name: figure.value for figure in card.figures}
    for what in ("sensitivity", "specificity"):
        apart = found[f"half-lungs, {what} at a screen chosen on other patients"]
        assert apart == pytest.approx(found[f"half-lungs, {what} at screen"], abs=0.03)


def test_the_judge_of_candidates_is_what_its_scores_say():
    (judge,) = (card for card in list_engines() if card.name == "candidate")
    scores = candidate.read_scores(CATALOGUE / "candidate" / candidate.SCORES)
    assert candidate.figures(scores, judge.operating_points.alarm) == list(judge.figures)
    area = next(figure for figure in judge.figures if figure.name == "patches, AUC")
    assert area.value >= 0.98
    with pytest.raises(EngineError, match="its task, judge, is none of"):
        load_engine("candidate")
