"""Networks and views as one graph, and ONNX says the same."""

import numpy as np
import pytest

from engines.detector import DIAMETER, HEAT, INPUT_SHAPE, MAP_SHAPE, field_maps
from engines.onnx_runtime import OnnxModel
from training.joined import Calibration, Ensemble, Joined
from training.lesion_export import export
from training.lesion_int8 import quantize

pytestmark = pytest.mark.filterwarnings("ignore")
HEIGHT, WIDTH = INPUT_SHAPE[2:]


def bright(views, training):
    """Detect: the logit is ten times a cell's mean brightness, less five; all are 7.4 mm."""
    import tensorflow as tf

    mean = tf.nn.avg_pool2d(views, 2, 2, "SAME")
    return tf.concat([mean * 10 - 5, tf.zeros_like(mean) + 2], axis=-1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def spots(*places):
    field = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    for row, column, value in places:
        field[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = value
    return field


def test_networks_are_averaged_before_they_are_calibrated():
    def dim(views, training):
        import tensorflow as tf

        return tf.concat(
            [bright(views, training)[..., :1] - 2, bright(views, training)[..., 1:] - 1], -1
        )

    field = spots((60, 80, 0.8))
    heat, diameter = field_maps(Joined(Ensemble((bright, dim)), Calibration(2.0, 0.5)), field)
    assert heat[60, 80] == pytest.approx(sigmoid(2 * (10 * 0.8 - 5 - 1) + 0.5), abs=1e-5)
    assert diameter == pytest.approx(np.exp(1.5))


def test_flips_make_the_answer_symmetric():
    def leftish(views, training):
        import tensorflow as tf

        mean = tf.nn.avg_pool2d(views, 2, 2, "SAME")
        return tf.concat([tf.roll(mean, -3, axis=2) * 10 - 5, tf.zeros_like(mean)], axis=-1)

    field = spots((60, 80, 0.8))
    model = Joined(Ensemble((leftish,), flips=4), Calibration())
    heat, _ = field_maps(model, field)
    mirrored, _ = field_maps(model, field[:, ::-1].copy())
    assert np.allclose(heat, mirrored[:, ::-1], atol=1e-6)


@pytest.fixture(scope="module")
def networks():
    """Networks of random weights whose answers fill the range from 0 to 1."""
    import keras

    from training.lesion_net import build

    keras.utils.set_random_seed(3)
    return Ensemble(tuple(build((8, 8, 8, 8), (8, 8, 8)) for _ in range(2)), 2)


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
        assert model.input_shape == (-1, *INPUT_SHAPE[1:])
        said = model.run(views[0])
        assert said[HEAT].shape == said[DIAMETER].shape == MAP_SHAPE
        assert np.quantile(np.abs(said[HEAT] - want[HEAT]), 0.99) < gap
        assert np.corrcoef(said[HEAT].ravel(), want[HEAT].ravel())[0, 1] > 0.95
    assert small.read_bytes() != full.read_bytes()
    many = OnnxModel(full, threads=1).run(np.concatenate(views))[HEAT]
    alone = np.concatenate([OnnxModel(full, threads=1).run(view)[HEAT] for view in views])
    assert np.allclose(many, alone, atol=1e-5)


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
