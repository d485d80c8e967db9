"""Two stages as one graph: the second look sees what the first proposed, and ONNX says the same."""

import numpy as np
import pytest

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE, MAP_SHAPE, field_maps
from engines.heat_map import find_peaks
from engines.onnx_runtime import OnnxModel
from training.joined import LOOKS, Calibration, Joined, Stages
from training.lesion_export import export
from training.lesion_int8 import quantize

pytestmark = pytest.mark.filterwarnings("ignore")
HEIGHT, WIDTH = INPUT_SHAPE[2:]


def bright(views, training):
    """Detect: the logit is ten times a cell's mean brightness, less five; all are 7.4 mm."""
    import tensorflow as tf

    mean = tf.nn.avg_pool2d(views, 2, 2, "SAME")
    return tf.concat([mean * 10 - 5, tf.zeros_like(mean) + 2], axis=-1)


def middle(patches, training):
    """Look: the logit is 8 times the brightness of the four middle pixels, less 4."""
    import tensorflow as tf

    return tf.reduce_mean(patches[:, 23:25, 23:25, 0], axis=(1, 2))[:, None] * 8 - 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def spots(*places):
    field = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    for row, column, value in places:
        field[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = value
    return field


def test_a_peak_is_looked_at_in_the_middle_of_its_patch():
    places = ((0, 0, 0.9), (60, 80, 0.7), (127, 175, 0.5))
    model = Joined(Stages(bright, middle, share=0.5), Calibration())
    heat, diameter = field_maps(model, spots(*places))
    for row, column, value in places:
        want = sigmoid(0.5 * (10 * value - 5) + 0.5 * (8 * value - 4))
        assert heat[row, column] == pytest.approx(want, abs=1e-4)
    assert diameter == pytest.approx(np.exp(2.0))
    found = [(round(p.x / 2 - 0.25), round(p.y / 2 - 0.25)) for p in find_peaks(heat, diameter)]
    assert found[:3] == [(column, row) for row, column, _ in places]


def test_what_the_second_look_takes_for_a_vessel_falls_behind():
    """The brighter spot is hollow at 1 mm in what the look sees; the detector cannot tell."""

    def hollow(patches, training):
        import tensorflow as tf

        ring = tf.reduce_mean(patches[:, 20:28, 20:28, 0], axis=(1, 2))[:, None]
        return ring * 100 - 6

    field = spots((40, 40, 0.8), (80, 80, 0.6), (80, 81, 0.6), (81, 80, 0.6), (81, 81, 0.6))
    alone, _ = field_maps(Joined(Stages(bright), Calibration()), field)
    joined, _ = field_maps(Joined(Stages(bright, hollow, share=0.5), Calibration()), field)
    assert alone[40, 40] > alone[80, 80]
    assert joined[40, 40] < joined[80:82, 80:82].max()


def test_only_the_highest_peaks_are_looked_at():
    places = [(10, 8 * i + 8, 0.9 - 0.02 * i) for i in range(LOOKS + 2)]
    model = Joined(Stages(bright, middle, share=0.5), Calibration())
    heat, _ = field_maps(model, spots(*places))
    seen = [heat[row, column] for row, column, _ in places]
    for (_, _, value), p in zip(places, seen, strict=True):
        look = 8 * value - 4 if p in seen[:LOOKS] else -5
        assert p == pytest.approx(sigmoid(0.5 * (10 * value - 5) + 0.5 * look), abs=1e-4)


def test_flips_make_the_answer_symmetric():
    def leftish(views, training):
        import tensorflow as tf

        mean = tf.nn.avg_pool2d(views, 2, 2, "SAME")
        return tf.concat([tf.roll(mean, -3, axis=2) * 10 - 5, tf.zeros_like(mean)], axis=-1)

    field = spots((60, 80, 0.8))
    model = Joined(Stages(leftish, flips=4), Calibration())
    heat, _ = field_maps(model, field)
    mirrored, _ = field_maps(model, field[:, ::-1].copy())
    assert np.allclose(heat, mirrored[:, ::-1], atol=1e-6)


@pytest.fixture(scope="module")
def networks():
    """Networks of random weights whose answers fill the range from 0 to 1."""
    import keras

    from training.lesion_net import build
    from training.look_net import build as build_look

    keras.utils.set_random_seed(3)
    return Stages(build((8, 8, 8, 8), (8, 8, 8)), build_look((8, 8, 8, 8)), 2, 0.4)


@pytest.mark.timeout(300)
def test_the_files_say_what_the_networks_say(networks, tmp_path):
    views = [_view(seed) for seed in range(4)]
    middle, spread = _range(networks, views[0])
    calibration = Calibration(4 / spread, -4 * middle / spread)
    full, small = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    export(networks, calibration, full)
    quantize(full, small, views)
    want = Joined(networks, calibration).run(views[0])
    assert want[HEAT].std() > 0.1
    for path, gap in ((full, 1e-3), (small, 0.25)):
        model = OnnxModel(path, threads=1)
        assert model.input_shape == INPUT_SHAPE
        said = model.run(views[0])
        assert said[HEAT].shape == said[DIAMETER].shape == MAP_SHAPE
        assert np.quantile(np.abs(said[HEAT] - want[HEAT]), 0.99) < gap
        assert np.corrcoef(said[HEAT].ravel(), want[HEAT].ravel())[0, 1] > 0.95
    assert small.read_bytes() != full.read_bytes()


def _view(seed):
    """Blobs of all sizes: noise alone has no structure a network answers to."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((16, 22)).astype(np.float32).repeat(16, axis=0).repeat(16, axis=1)
    return ((coarse + rng.random(coarse.shape, dtype=np.float32)) / 2)[None, None]


def _range(networks, view):
    heat = Joined(networks, Calibration(0.1, 0.0)).run(view)[HEAT]
    logits = 10 * np.log(heat / (1 - heat))
    low, middle, high = np.percentile(logits, (10, 50, 90))
    return float(middle), float(high - low)
