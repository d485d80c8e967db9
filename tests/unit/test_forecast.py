"""Forecasts: one distribution that all numbers are read from, and a line for every visit."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from engines import EngineError, list_engines
from engines.card import ForecastSpec
from engines.course import Course, progression_mm
from engines.errors import NotForecastable
from engines.forecaster import read
from engines.loading import CATALOGUE, load_engine, load_forecaster
from lesionstream.cli import app
from training.response import SCORES, read_scores
from training.response_figures import figures
from training.trials_table import TableError, read_table

HEAD = ["Pt_hashID", "Study_Arm", "T_weeks", "T_days", "Lesion_diam", "response", "readings"]
SPEC = ForecastSpec(
    arms=("A",),
    edges=(-1.2, -0.4, -1e-9, 1e-9, 0.4, 0.9),
    offset_mm=5.0,
    low_level=0.1,
    high_level=0.9,
    longest_mm=250.0,
    longest_wait_days=300.0,
)
COURSE = Course(np.array([-3.0, 40.0]), np.array([30.0, 20.0]), "A")


def said(*mass):
    return read(np.asarray(mass, dtype=np.float64), COURSE, SPEC)


def test_a_reading_that_mostly_repeats_is_forecast_to():
    forecast = said(0.1, 0.2, 0.3, 0.3, 0.1)
    assert forecast.median_mm == 20.0
    assert forecast.q10_mm == pytest.approx(25 * np.exp(-0.4) - 5)
    assert forecast.q90_mm == pytest.approx(25 * np.exp(0.4) - 5)


def test_quantiles_lie_inside_their_stretch():
    forecast = said(0.6, 0.2, 0.1, 0.05, 0.05)
    assert forecast.median_mm == pytest.approx(25 * np.exp(-1.2 + 0.8 * 5 / 6) - 5)


def test_progression_is_what_lies_beyond_its_line():
    line = progression_mm(20.0) - 0.5
    beyond = (0.9 - np.log((line + 5) / 25)) / 0.5
    growth = np.log((line + 5) / 25)
    assert growth < 0.4
    want = 0.2 + 0.5 * (1 - growth / 0.4)
    assert said(0.0, 0.0, 0.3, 0.5, 0.2).progression_probability == pytest.approx(want, abs=1e-6)
    assert said(0.0, 1.0, 0.0, 0.0, 0.0).progression_probability == 0.0
    assert beyond > 1


def test_nothing_shrinks_below_nothing():
    tiny = Course(np.array([0.0]), np.array([0.0]), "A")
    forecast = read(np.array([1.0, 0, 0, 0, 0]), tiny, SPEC)
    assert forecast.q10_mm == forecast.median_mm == 0.0


@pytest.fixture(scope="module")
def engine():
    engine = load_forecaster("response")
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("days", "mm", "after", "words"),
    [
        ([], [], 10, "no reading"),
        ([0], [np.nan], 10, "no number"),
        ([0], [-4], 10, "below 0"),
        ([5, 0], [9, 9], 10, "not in order"),
        ([0, 40], [9, 9], 30, "before the last"),
        ([0], [4000], 10, "greatest in training"),
        ([0], [40], 4000, "most in training"),
    ],
)
def test_what_is_like_nothing_in_training_is_not_forecast(engine, days, mm, after, words):
    course = Course(np.asarray(days, dtype=np.float64), np.asarray(mm, dtype=np.float64))
    with pytest.raises(NotForecastable, match=words):
        engine.forecast(course, float(after))


def test_growing_lesions_grow_on_and_progress(engine):
    arm = engine.card.forecast.arms[0]

    def at(*mm):
        days = np.arange(len(mm)) * 42.0 - 5
        return engine.forecast(Course(days, np.asarray(mm, dtype=np.float64), arm), days[-1] + 42)

    stable, growing = at(30, 30, 30), at(30, 33, 36)
    assert stable.median_mm == 30.0
    assert growing.median_mm >= 36.0
    assert growing.progression_probability > stable.progression_probability + 0.2
    for forecast in (stable, growing):
        assert 0.0 <= forecast.q10_mm <= forecast.median_mm <= forecast.q90_mm


def test_an_image_engine_does_not_forecast_and_a_forecast_engine_scores_no_image():
    with pytest.raises(EngineError, match="does not forecast"):
        load_forecaster("lesion")
    with pytest.raises(EngineError, match="its task, forecast"):
        load_engine("response")


def test_the_figures_follow_from_the_scores():
    (card,) = (card for card in list_engines() if card.name == "response")
    found = figures(read_scores(CATALOGUE / "response" / SCORES), on=card.figures[0].on)
    assert found == list(card.figures)
    by_name = {figure.name: figure for figure in found}
    assert by_name["less than that of the last reading by, mm"].low > 0
    assert by_name["progression at the next visit, none so far, AUC"].value >= 0.75
    assert 0.75 <= by_name["share of diameters inside the 80 % interval"].value <= 0.85


def table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])
    return path


ROWS = [
    ["b", "Study_4_Arm_2", 6, 42, 28, "down", 4],
    ["a", "Study_4_Arm_2", 0.1, -7, 40, "up", 3],
    ["b", "Study_4_Arm_2", 0.1, -7, 30, "down", 4],
    ["b", "Study_4_Arm_2", 12, 84, 24, "down", 4],
    ["a", "Study_4_Arm_2", 6, 42, 44, "up", 3],
    ["b", "Study_4_Arm_2", 18, 126, 25, "down", 4],
    ["a", "Study_4_Arm_2", 12, 84, 52, "up", 3],
]


def forecasts(path, *words):
    result = CliRunner().invoke(app, ["forecast", str(path), *words])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_a_line_for_each_visit_in_order(tmp_path):
    lines = forecasts(table(tmp_path / "t.csv", ROWS), "--jsonl")
    assert [(line["PatientID"], line["visit"]) for line in lines] == [
        ("b", 0), ("b", 1), ("b", 2), ("b", 3), ("a", 0), ("a", 1), ("a", 2),
    ]  # fmt: skip
    assert [line["next_t_weeks"] for line in lines[:4]] == [6.0, 12.0, 18.0, None]
    for line in lines:
        if line["next_t_weeks"] is None:
            assert line["next_diameter_mm"] is None
            assert line["reason"]
        else:
            assert line["q10_mm"] <= line["next_diameter_mm"] <= line["q90_mm"]
            assert 0 <= line["progression_probability"] <= 1


def test_what_comes_later_changes_no_forecast(tmp_path):
    first = forecasts(table(tmp_path / "t.csv", ROWS), "--jsonl")
    later = [row.copy() for row in ROWS]
    later[5][4], later[6][4] = 90, 3  # the last visits of both
    for row in later:
        row[5], row[6] = "flux", 9
    second = forecasts(table(tmp_path / "u.csv", later), "--jsonl")
    assert second == first


def test_a_planned_visit_is_forecast_and_a_missing_reading_is_passed_over(tmp_path):
    rows = [
        ["p", "other", 0.1, -7, 30, "", ""],
        ["p", "other", 6, 42, "", "", ""],
        ["p", "other", 12, 84, 20, "", ""],
        ["p", "other", 18, 126, "", "", ""],
    ]
    first, missing, third, planned = forecasts(table(tmp_path / "t.csv", rows), "--jsonl")
    assert first["next_diameter_mm"] is not None
    assert missing["reason"] == "no reading at this visit"
    assert third["next_diameter_mm"] is not None
    assert planned["reason"] == "the last visit"
    shown = CliRunner().invoke(app, ["forecast", str(tmp_path / "t.csv")])
    assert shown.exit_code == 0
    assert "20" in shown.stdout


def test_equal_days_stay_in_the_order_of_the_file(tmp_path):
    rows = [["p", "x", 0.1, 0, 30, "", ""], ["p", "x", 0.1, 0, 10, "", ""]]
    rows.append(["p", "x", 6, 42, 12, "", ""])
    (patient,) = read_table(table(tmp_path / "t.csv", rows))
    assert patient.course.diameters_mm.tolist() == [30.0, 10.0, 12.0]


def test_a_table_that_is_none_says_what_is_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient,day\n1,2\n")
    with pytest.raises(TableError, match="no column Pt_hashID"):
        read_table(path)
    path.write_bytes("Pt_hashID,T_days,Lesion_diam\nMüller,0,12\n".encode("latin-1"))
    with pytest.raises(TableError, match="no CSV in UTF-8"):
        read_table(path)
    table(path, [["p", "x", 6, "soon", 12, "", ""]])
    with pytest.raises(TableError, match=r"t\.csv:2: .*'soon'"):
        read_table(path)
