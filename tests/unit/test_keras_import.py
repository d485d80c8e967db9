"""Keras files of users: what they are is read, what would run is refused, what is left converts."""

import importlib.util
import json
import zipfile

import numpy as np
import pytest

from engines import CatalogueError
from engines.onnx_runtime import OnnxModel
from training.keras_import import class_names, convert, read_config

HAS_KERAS = importlib.util.find_spec("keras") and importlib.util.find_spec("tf2onnx")
HAS_KERAS_2 = HAS_KERAS and importlib.util.find_spec("tf_keras")
needs_keras = pytest.mark.skipif(not HAS_KERAS, reason="the `train` extra is not installed")
needs_keras_2 = pytest.mark.skipif(not HAS_KERAS_2, reason="the `keras2` extra is not installed")


def _archive(path, *layers):
    config = {
        "class_name": "Functional",
        "config": {"layers": [{"class_name": name, "config": {}} for name in layers]},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
    return path


def test_every_layer_is_seen_however_deep():
    deep = {
        "class_name": "A",
        "config": {"layer": {"class_name": "B", "inner": [{"class_name": "C"}]}},
    }
    assert class_names(deep) == ["A", "B", "C"]


def test_a_program_in_a_file_is_refused_before_it_runs(tmp_path):
    path = _archive(tmp_path / "net.keras", "Conv2D", "Lambda")
    with pytest.raises(CatalogueError, match=r"net\.keras: has Lambda layers"):
        convert(path, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_who_wrote_a_file_is_read(tmp_path):
    assert read_config(_archive(tmp_path / "net.keras", "Dense"))[1] == "3.15.1"


def test_an_archive_that_is_no_model_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CatalogueError, match=r"net\.keras: not a Keras model"):
        read_config(tmp_path / "net.keras")


def _network(keras, *, program=False):
    layers = keras.layers
    doubled = [layers.Lambda(lambda x: 2 * x)] if program else []
    return keras.Sequential(
        [
            layers.Input((64, 64, 1)),
            *doubled,
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def _converts(keras, path, tmp_path):
    model = _network(keras)
    model.save(path)
    convert(path, tmp_path / "net.onnx")
    view = np.random.default_rng(1).random((1, 64, 64, 1)).astype(np.float32)
    (said,) = OnnxModel(tmp_path / "net.onnx", threads=1).run(view).values()
    assert np.abs(said - np.asarray(model(view))).max() < 1e-4


@needs_keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_keras_3_file_converts(tmp_path, name):
    import keras

    _converts(keras, tmp_path / name, tmp_path)


@needs_keras_2
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_keras_2_file_converts(tmp_path, name):
    import tf_keras

    _converts(tf_keras, tmp_path / name, tmp_path)


@needs_keras
@pytest.mark.filterwarnings("ignore")
def test_a_real_lambda_and_weights_alone_are_refused(tmp_path):
    import keras

    _network(keras, program=True).save(tmp_path / "net.h5")
    with pytest.raises(CatalogueError, match="Lambda"):
        convert(tmp_path / "net.h5", tmp_path / "net.onnx")
    _network(keras).save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(CatalogueError, match="weights alone"):
        convert(tmp_path / "net.weights.h5", tmp_path / "net.onnx")
