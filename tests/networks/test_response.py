"""The forecast's training: stretches, networks of both kinds, and the rivals they are beside."""

import csv

import numpy as np
import pytest
from rich.console import Console

from engines.course import Course, features
from engines.loading import CATALOGUE
from training import response_evaluate
from training.evaluation import auc
from training.response import SHIPPED, Way, conformal_levels, cross_validate, parts_of, said_of
from training.response_examples import examples, together, varied
from training.response_net import build_recurrent, edges_of, growth_of, stretch_of
from training.response_rivals import CURVES, boosted_progression, boosting, quantiles
from training.response_trials import histories
from training.trials_table import Patient

pytestmark = pytest.mark.filterwarnings("ignore")


def patients(count, seed=0):
    """Lesions that shrink under arm A and grow under arm B, some exactly as they were."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        arm = "AB"[i % 2]
        days = np.arange(rng.integers(3, 8)) * 42.0 - 7
        trend = (-0.12 if arm == "A" else 0.12) * np.arange(len(days))
        mm = rng.uniform(15, 80) * np.exp(trend + rng.normal(0, 0.03, len(days)))
        course = Course(days, np.maximum(np.round(mm), 0.0), arm)
        made.append(Patient(str(i), course, tuple((days / 7).tolist())))
    return made


@pytest.fixture(scope="module")
def known():
    return examples(patients(150))


def test_stretches_hold_what_they_say(known):
    growth = growth_of(known.last, known.target)
    edges = edges_of(growth)
    number = stretch_of(growth, edges)
    assert (np.diff(edges) >= 0).all()
    inside = (growth > edges[0]) & (growth < edges[-1])
    assert (growth[inside] >= edges[number[inside]] - 1e-9).all()
    assert (growth[inside] <= edges[number[inside] + 1] + 1e-9).all()
    assert (number[growth == 0] == (len(edges) - 1) // 2).all()


def test_progression_and_what_was_before(known):
    (shrunk,) = [Course(np.array([0.0, 42, 84, 126]), np.array([40.0, 20, 26, 27]), "A")]
    made = examples([Patient("p", shrunk, (0.0, 6.0, 12.0, 18.0))])
    assert made.progresses.tolist() == [False, True, True]
    assert made.already.tolist() == [False, False, True]


def test_nobody_is_in_two_parts(known):
    part = parts_of(known)
    for patient in np.unique(known.patients):
        assert len(set(part[known.patients == patient])) == 1


@pytest.mark.timeout(300)
def test_networks_learn_what_the_arms_do(known, tmp_path, monkeypatch):
    monkeypatch.setattr("training.response.STEPS", 250)
    monkeypatch.setattr("training.response.COPIES", 1)
    for way in (Way(SHIPPED.view, SHIPPED.build, 1), Way(histories, build_recurrent, 1)):
        folder = tmp_path / str(way.view.__name__)
        mass, specs = cross_validate(known, ["A", "B"], folder, way=way)
        assert mass.sum(axis=1) == pytest.approx(1.0, abs=1e-4)
        low, high = conformal_levels(known, mass, specs)
        assert 0.0 < low < 0.3
        assert 0.7 < high < 1.0
        said = said_of(known, mass, specs)
        wrong = np.abs(said.median - known.target).mean()
        assert wrong < 0.8 * np.abs(known.last - known.target).mean()
        assert auc(said.progression, known.progresses.astype(np.int64)) > 0.8


def test_finished_networks_are_not_trained_again(known, tmp_path, monkeypatch):
    monkeypatch.setattr("training.response.STEPS", 20)
    monkeypatch.setattr("training.response.COPIES", 1)
    way = Way(SHIPPED.view, SHIPPED.build, 1)
    first, _ = cross_validate(known, ["A", "B"], tmp_path, way=way)
    monkeypatch.setattr("training.response._fit", lambda *_: pytest.fail("trained again"))
    second, _ = cross_validate(known, ["A", "B"], tmp_path, way=way)
    assert np.allclose(first, second, atol=1e-6)


def test_curves_follow_what_they_are_made_for():
    days = np.arange(6) * 42.0
    grown = 40 * (1 - 0.6 * np.exp(-days / 80))
    course = Course(days[:5], grown[:5], "A")
    made = examples([Patient("p", Course(days, grown, "A"), tuple(days / 7))])
    last = made.at(np.arange(5) == 4)
    assert last.courses[0].diameters_mm.tolist() == course.diameters_mm.tolist()
    wrong = {name: abs(float(curve(last, last)[0]) - grown[5]) for name, curve in CURVES.items()}
    assert wrong["Gompertz"] < 1.0
    assert wrong["General Bertalanffy"] < 1.0
    assert wrong["straight line"] > 2.0
    assert wrong["exponential"] > 2.0
    assert wrong["last reading"] == pytest.approx(grown[5] - grown[4])


def test_rivals_that_learn_from_others_learn(known):
    seen, unseen = known.at(known.patients < 100), known.at(known.patients >= 100)
    wrong = np.abs(boosting(seen, unseen) - unseen.target).mean()
    assert wrong < 0.8 * np.abs(unseen.last - unseen.target).mean()
    chance = boosted_progression(seen, unseen)
    assert auc(chance, unseen.progresses.astype(np.int64)) > 0.8
    low, high = (quantiles(seen, unseen, level) for level in (0.1, 0.9))
    assert 0.7 < np.mean((unseen.target >= low) & (unseen.target <= high)) < 0.9


def test_a_history_ends_with_the_visit_that_is_forecast_from(known):
    views = histories(known, ["A", "B"])
    i = int(np.argmax([len(course.days) for course in known.courses]))
    course = known.courses[i]
    assert np.array_equal(views[i, -1, : known.features.shape[1]], known.features[i])
    first = features(course.until(0), course.days[1])
    assert np.array_equal(views[i, -len(course.days), : len(first)], first)
    assert not views[i, : -len(course.days)].any()


def test_varied_courses_are_those_of_other_patients(known):
    other = varied(known, 3)
    assert len(other.courses) == len(known.courses)
    assert np.array_equal(other.patients, known.patients)
    growth = growth_of(known.last, known.target) - growth_of(other.last, other.target)
    assert np.median(np.abs(growth)) < 0.02
    assert not np.array_equal(other.last, known.last)
    again = varied(known, 3)
    assert np.array_equal(again.features, other.features)
    both = together([known, other])
    assert len(both.courses) == 2 * len(known.courses)
    assert np.array_equal(both.features[: len(known.target)], known.features)


def test_a_table_is_measured_beside_curves(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(response_evaluate, "console", Console(stderr=True, width=200))
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Pt_hashID", "Study_Arm", "T_weeks", "T_days", "Lesion_diam"])
        for patient in patients(40):
            course = patient.course
            for day, mm in zip(course.days, course.diameters_mm, strict=True):
                table.writerow([patient.name, course.arm, day / 7, day, mm])
        table.writerow(["late", "A", 900, 6300, 4000])
        table.writerow(["late", "A", 901, 6307, 4000])
    response_evaluate.evaluate(path, "response", catalogues=[CATALOGUE])
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 of" in shown
    assert "visits were not forecast" in shown
    assert "mean absolute error of the next diameter" in shown
    assert "closer than Gompertz by, mm" in shown
