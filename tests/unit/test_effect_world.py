"""The simulated world: what its pictures tell, and that its truth is that of its models."""

import csv

import numpy as np
import pytest

from training.effect_figures import Compared, figures, interval, regret
from training.effect_table import Table, parts_of, read_own
from training.effect_world import (
    MOST,
    PLANS,
    Rates,
    Traits,
    changes,
    expected,
    noise_of,
    traits_of,
    trial,
)
from training.trials_table import TableError

RATES = Rates(growth=(0.0012, 1.05), kill=(0.003, 1.23), noise=0.065)


def traits(density=0.0, size=0.0, supply=0.0):
    return Traits(*(np.asarray([value], dtype=float) for value in (density, size, supply)))


def blob(diameter, inside=0.8, outside=0.2, side=32):
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    ball = np.hypot(rows, columns) <= diameter / 2
    return np.where(ball, inside, outside).astype(np.float32)


def test_traits_are_seen_in_the_picture():
    views = np.stack([blob(8), blob(8, inside=0.4), blob(8, outside=0.5), blob(16)])
    seen = traits_of(views, np.asarray([8.0, 8.0, 8.0, 16.0]))
    assert seen.density[1] < seen.density[0]
    assert seen.supply[2] > seen.supply[0]
    assert seen.size[3] > seen.size[0]
    np.testing.assert_allclose(seen.density[[0, 2, 3]], seen.density[0], atol=1e-5)


@pytest.mark.parametrize(
    ("trait", "plan", "better"),
    [("size", "radiotherapy", False), ("supply", "immunotherapy", True)],
)
def test_what_makes_a_plan_work(trait, plan, better):
    number = PLANS.index(plan)
    low, high = (expected(traits(**{trait: value}), RATES)[0, number] for value in (-1.0, 1.0))
    assert bool(high < low) is better


def test_chemotherapy_kills_what_grows():
    quiet, growing = (expected(traits(density=value), RATES)[0] for value in (-2.0, 2.0))
    chemotherapy, immunotherapy = PLANS.index("chemotherapy"), PLANS.index("immunotherapy")
    gain = (quiet - growing)[chemotherapy] - (quiet - growing)[immunotherapy]
    assert gain > 0


def test_the_truth_is_the_mean_of_what_happens():
    lesion = traits(0.5, -0.5, 1.0)
    rng = np.random.default_rng(1)
    many = Traits(*(np.repeat(one, 20_000) for one in (lesion.density, lesion.size, lesion.supply)))
    happened = changes(many, RATES, rng.normal(size=(20_000, 3))).mean(axis=0)
    np.testing.assert_allclose(expected(lesion, RATES)[0], happened, atol=0.03)
    assert changes(many, RATES, rng.normal(size=(20_000, 3))).max() <= MOST


def test_a_trial_gives_each_lesion_to_many_and_each_plan_by_lot():
    lesions = Traits(*(np.zeros(10) for _ in range(3)))
    lesion, plan, response = trial(lesions, RATES, copies=300, seed=1)
    assert np.bincount(lesion).tolist() == [300] * 10
    assert np.bincount(plan).min() > 900
    assert (response > -1).all()
    again = trial(lesions, RATES, copies=300, seed=1)
    np.testing.assert_array_equal(response, again[2])


def test_the_noise_of_a_reading_is_that_of_pairs_of_one_study(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["same_study", "source_long_mm", "target_long_mm"])
        for _ in range(4000):
            one, other = 20 * np.exp(rng.normal(0, 0.07, 2))
            rows.writerow([1, one, other])
            rows.writerow([0, one, 3 * other])
    assert noise_of(path) == pytest.approx(0.07, rel=0.06)


def compared(effects, truth):
    rows = np.arange(len(truth))
    return Compared(
        groups=rows,
        effects=np.asarray(effects),
        truth=np.asarray(truth),
        noise=0.05,
        lesion=rows,
        plan=rows % 2,
        response=np.asarray(truth)[:, 0],
        inside=np.ones(len(rows), dtype=bool),
    )


def test_figures_count_where_plans_differ():
    truth = [[-0.3, -0.1], [-0.3, -0.29], [0.0, -0.2], [0.1, -0.1]]
    effects = [[-0.2, -0.1], [-0.1, -0.2], [-0.1, -0.2], [-0.3, -0.1]]
    found = {f.name: f for f in figures(compared(effects, truth), on="test")}
    assert found["named plan is the best"].value == pytest.approx(2 / 3, abs=1e-3)
    assert found["named plan is the best"].n.startswith("3 of 4 lesions")
    assert found["regret, share of the diameter"].value == pytest.approx((0.01 + 0.2) / 4, abs=1e-4)
    assert found["one plan for all is the best"].value == pytest.approx(2 / 3, abs=1e-3)


def test_regret_is_what_the_best_would_have_gained():
    assert regret(np.asarray([[-0.3, -0.1]]), np.asarray([1])).tolist() == pytest.approx([0.2])


def test_patients_are_drawn_again_not_lesions():
    values = np.repeat([0.0, 1.0], 500)
    low, high = interval(values, np.repeat([0, 1], 500))
    assert (low, high) == (0.0, 1.0), "two patients: anything may be"


def test_nobody_is_in_two_parts():
    groups = np.repeat(np.arange(50), 3)
    part = parts_of(groups, 5)
    assert all(len(set(part[groups == g].tolist())) == 1 for g in range(50))
    assert np.bincount(part).tolist() == [30] * 5


def test_a_part_of_a_table_keeps_its_responses():
    views = np.arange(4, dtype=np.float32).repeat(4).reshape(4, 2, 2)
    table = Table(
        views,
        np.arange(4),
        ("a", "b"),
        np.array([0, 1, 1, 3]),
        np.array([0, 1, 0, 1]),
        np.arange(4.0),
    )
    kept = table.at(np.array([False, True, False, True]))
    assert kept.lesion.tolist() == [0, 0, 1]
    assert kept.response.tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(kept.views[kept.lesion], views[[1, 1, 3]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,image,plan\n", "no column x_px, y_px, response"),
        ("patient,image,x_px,y_px,plan,response\np,a.dcm,1,1,a,0.9\n", "names 1 plan"),
        (
            "patient,image,x_px,y_px,plan,response\np,a.dcm,1,1,a,0.9\np,a.dcm,1,1,b,x\n",
            ":2: .*a.dcm",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_told(tmp_path, text, words):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=words):
        read_own(path)
