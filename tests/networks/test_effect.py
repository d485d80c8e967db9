"""Training what compares plans: on a small world, to the engine that a worker loads."""

import json

import numpy as np
import pytest

from engines.effects import PlanEffects
from engines.errors import NotForecastable
from engines.loading import load_effects
from training import effect, effect_fit
from training.effect_evaluate import compared
from training.effect_figures import figures
from training.effect_rivals import boosted, enlarged, textbook
from training.effect_table import Table
from training.effect_trials import main as trials

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def table():
    """Bright lesions shrink by plan a, dark ones by plan b."""
    rng = np.random.default_rng(0)
    bright = rng.random(60) < 0.5
    rows, columns = np.mgrid[0:32, 0:32] - 15.5
    ball = np.hypot(rows, columns) < 5
    views = np.stack(
        [ball * (0.8 if one else 0.35) + rng.uniform(0, 0.05, (32, 32)) for one in bright]
    )
    lesion = np.repeat(np.arange(60), 20)
    plan = rng.integers(2, size=len(lesion))
    response = np.where((plan == 0) == bright[lesion], -0.4, 0.2) + rng.normal(0, 0.1, len(lesion))
    return Table(views.astype(np.float32), np.arange(60) // 2, ("a", "b"), lesion, plan, response)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(effect_fit, "STEPS", 60)
    monkeypatch.setattr(effect_fit, "NETS", 1)


def test_what_the_picture_tells_is_learnt_and_what_is_strange_is_seen(table, quick, tmp_path):
    learnt = effect_fit.learn(table, tmp_path)
    effects, strange = learnt.answer(table.views)
    bright = table.views[:, 15, 15] > 0.5
    assert np.mean((effects.argmin(axis=1) == 0) == bright) > 0.9
    noise = np.random.default_rng(1).uniform(0, 1, (20, 32, 32)).astype(np.float32)
    assert np.median(learnt.answer(noise)[1]) > 2 * np.quantile(strange, 0.99)
    again = effect_fit.learn(table, tmp_path)
    np.testing.assert_allclose(again.answer(table.views)[0], effects, atol=1e-6)


def test_a_table_becomes_an_engine_that_a_worker_loads(table, quick, tmp_path, monkeypatch):
    own = tmp_path / "own.csv"
    own.write_text("stands for a hospital's table")
    monkeypatch.setattr(effect, "read_own", lambda path: table)
    monkeypatch.setattr("training.effect_evaluate.read_own", lambda path: table)
    folder = tmp_path / "catalogue" / "effect"
    effect.train(own, folder, tmp_path / "work")
    engine = load_effects("effect", catalogues=[tmp_path / "catalogue"])
    assert isinstance(engine, PlanEffects)
    assert not engine.card.simulated
    assert json.loads((folder / "engine.json").read_text())["training_data"] == []
    bright = int(np.flatnonzero(table.views[:, 15, 15] > 0.5)[0])
    best, other = engine.effects(table.views[bright])
    assert (best.plan, other.plan) == ("a", "b")
    assert best.low < best.change < best.high
    with pytest.raises(NotForecastable):
        engine.effects(np.random.default_rng(0).uniform(0, 1, (32, 32)).astype(np.float32))
    found = {f.name: f.value for f in figures(compared(own, engine), on="own")}
    assert 0.7 < found["share of responses inside the 80 % interval"] < 0.9
    error = "mean absolute error of a response, share of the diameter"
    assert found[error] < found["the same without the picture"]


def test_rivals_answer_for_every_plan(table, tmp_path, monkeypatch):
    monkeypatch.setattr("training.effect_rivals.STEPS", 2)
    measured = table.views[:, 15:17, 15:17].mean(axis=(1, 2))[:, None].astype(np.float64)
    effects = boosted(table, measured, measured)
    assert np.mean((effects.argmin(axis=1) == 0) == (measured[:, 0] > 0.5)) > 0.9
    assert enlarged(table.views[:2]).shape == (2, 224, 224, 3)
    assert textbook(table, table.views[:5], tmp_path).shape == (5, 2)


def test_trials_say_what_they_take():
    with pytest.raises(SystemExit):
        trials(["--help"])
