"""An answer that is no score is named as what it is, and quotes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from engines import Candidate, Score, implausible

SLICE = (40, 60)
LESION = Candidate(0.9, x_px=59.4, y_px=-0.4, diameter_mm=8.0, box=(54, -5, 10, 10))
SCORE = Score(0.9, (LESION,), {"lung_cm2": 100.0}, 1.0, 2.0, np.zeros((2, 3), np.uint8))
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "score",
    [
        SCORE,
        replace(SCORE, lesion_probability=0, lesions=(), heat_map=None),
        replace(SCORE, lesion_probability=np.float32(1)),  # type: ignore[arg-type]
        replace(SCORE, lesions=(replace(LESION, diameter_mm=None),)),
    ],
)
def test_scores(score):
    assert implausible(score, SLICE) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lesion_probability": NAN}, "lesion_probability is nan"),
        ({"lesion_probability": INF}, "lesion_probability is inf"),
        ({"lesion_probability": 1.001}, "lesion_probability is 1.001"),
        ({"lesion_probability": -0.01}, "lesion_probability is -0.01"),
        ({"lesion_probability": "SECRET"}, "lesion_probability is a str"),
        ({"lesion_probability": None}, "lesion_probability is a NoneType"),
        ({"quality": {"lung_cm2": NAN}}, "quality 'lung_cm2' is nan"),
        ({"inference_ms": -1.0}, "inference_ms is -1"),
        ({"heat_map": np.zeros((2, 3), np.float32)}, "heat_map is float32 (2, 3)"),
        ({"heat_map": np.zeros((0, 3), np.uint8)}, "heat_map is uint8 (0, 3)"),
    ],
)
def test_what_is_no_score(wrong, words):
    assert implausible(replace(SCORE, **wrong), SLICE) == words


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"probability": NAN}, "probability is nan"),
        ({"probability": 2.0}, "probability is 2"),
        ({"x_px": 59.6}, "outside the frame"),
        ({"y_px": 40.0}, "outside the frame"),
        ({"x_px": -1.0}, "outside the frame"),
        ({"y_px": NAN}, "outside the frame"),
        ({"diameter_mm": -1.0}, "diameter_mm is -1"),
        ({"diameter_mm": INF}, "diameter_mm is inf"),
        ({"box": (0, 0, NAN, 1)}, "its box is none"),
        ({"box": (0, 0, -1, 1)}, "its box is none"),
    ],
)
def test_lesions_that_are_none(wrong, words):
    score = replace(SCORE, lesions=(LESION, replace(LESION, **wrong)))
    said = implausible(score, SLICE)
    assert said.startswith("lesion 2: ")
    assert words in said


@pytest.mark.parametrize("answer", [None, 0.5, {"lesion_probability": 0.5}])
def test_an_answer_of_another_kind(answer):
    assert implausible(answer, SLICE) == f"it answered with a {type(answer).__name__}"
