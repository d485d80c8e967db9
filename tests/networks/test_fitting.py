"""A run that broke off goes on as if it had not."""

import json

import numpy as np
import pytest

from training import fitting
from training.fitting import Run, Schedule, train

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 12


class Interrupted(Exception):
    """Stands for a power cut."""


def _model():
    import keras

    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])


def _draw(step):
    rng = np.random.default_rng(step)
    views = rng.normal(size=(8, 3)).astype(np.float32)
    return views, views.sum(axis=1, keepdims=True)


def _train(folder, draw=_draw):
    model = _model()
    run = Run(folder, {"what": "test"})
    schedule = Schedule(STEPS, 0.05)
    train(model, "mse", draw, schedule, run=run, name="net.keras", watch=lambda _: None)
    return model.get_weights()


def test_the_weights_are_the_same(tmp_path, monkeypatch):
    import keras

    monkeypatch.setattr(fitting, "_SAVE_S", -1.0)

    def draw_until_7(step):
        if step == 7:
            raise Interrupted
        return _draw(step)

    whole = _train(tmp_path / "whole")
    with pytest.raises(Interrupted):
        _train(tmp_path / "broken", draw_until_7)
    assert (tmp_path / "broken" / "state.json").is_file()
    asked = []
    resumed = _train(tmp_path / "broken", lambda step: asked.append(step) or _draw(step))
    assert asked == list(range(7, STEPS))
    for one, other in zip(whole, resumed, strict=True):
        assert np.array_equal(one, other)
    left = sorted(path.name for path in (tmp_path / "broken").iterdir())
    assert left == ["losses.json", "net.keras"]
    assert len(json.loads((tmp_path / "broken" / "losses.json").read_text())) == STEPS
    kept = keras.models.load_model(tmp_path / "broken" / "net.keras", compile=False)
    for one, other in zip(kept.get_weights(), resumed, strict=True):
        assert np.array_equal(one, other)
