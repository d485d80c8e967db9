"""Bring a Keras file to ONNX: Keras 3 and Keras 2, `.keras` and `.h5`, converted once and compared.

A file is data to us, not a program: one with Lambda layers is refused before anything in it runs.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import CatalogueError, EngineError
from training.onnx_file import OPSET

_AGREEMENT = 1e-4
_EXTRAS = {
    False: "lesionstream with its `train` extra: pip install -e '.[train]'",
    True: "lesionstream with its `train` and `keras2` extras: pip install -e '.[train,keras2]'",
}


def convert(path: Path, out: Path) -> None:
    """Write the model in `path` as ONNX for one view at a time.

    Parameters
    ----------
    path : a whole model with one input (N, H, W, C) and one output.
    out : the file to write.

    Raises
    ------
    CatalogueError  not a Keras model, weights alone, Lambda layers, or not one view in, one answer
        out; or the file's answers differ from the model's by more than 1e-4.
    EngineError     the `train` extra (for Keras 2 files also `keras2`) is not installed.
    """
    config, version = read_config(path)
    if "Lambda" in set(class_names(config)):
        raise CatalogueError(
            f"{path}: has Lambda layers, which are programs. Replace them by layers, save again."
        )
    try:
        model = _load(path, version)
        import tf2onnx  # noqa: F401 -- only asked for here
    except ImportError as error:
        raise EngineError(
            f"{path}: converting it needs {error.name}. Install {_EXTRAS[version[0] == '2']}."
        ) from error
    except (TypeError, ValueError, OSError) as error:
        raise CatalogueError(f"{path}: Keras {version} cannot load it: {error}") from error
    _export(model, path, out)


def read_config(path: Path) -> tuple[dict[str, Any], str]:
    """Read a file's model config and the version of Keras that wrote it; nothing in it runs.

    Raises
    ------
    CatalogueError  not a whole Keras model.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json"))["keras_version"]
            return config, str(version)
        import h5py  # comes with Keras

        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise CatalogueError(f"{path}: holds weights alone. Save the whole model.")
            return json.loads(file.attrs["model_config"]), str(file.attrs.get("keras_version", "2"))
    except ImportError as error:
        raise EngineError(
            f"{path}: reading it needs {error.name}. Install {_EXTRAS[False]}."
        ) from error
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise CatalogueError(f"{path}: not a Keras model: {error}") from error


def class_names(config: Any) -> list[str]:
    """List the class of every layer in a config, however deep."""
    if isinstance(config, dict):
        own = [str(config["class_name"])] if "class_name" in config else []
        return own + [name for value in config.values() for name in class_names(value)]
    if isinstance(config, list):
        return [name for value in config for name in class_names(value)]
    return []


def _load(path: Path, version: str) -> Any:
    """Load with the Keras that wrote it: tf-keras is Keras 2, kept alive by its makers."""
    if version.startswith("2"):
        import tf_keras

        return tf_keras.models.load_model(path, compile=False, safe_mode=True)
    import keras

    return keras.models.load_model(path, compile=False, safe_mode=True)


def _export(model: Any, path: Path, out: Path) -> None:
    import onnx
    import tensorflow as tf
    import tf2onnx

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise CatalogueError(
            f"{path}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one of each "
            "is expected"
        )
    shape = tuple(model.inputs[0].shape)[1:]
    if len(shape) != 3 or None in shape:
        raise CatalogueError(f"{path}: takes {shape}; (height, width, channels) is expected")
    spec = (tf.TensorSpec((1, *shape), tf.float32, name="view"),)

    @tf.function(input_signature=spec)  # type: ignore[untyped-decorator, unused-ignore]
    def answer(view: Any) -> Any:
        return tf.identity(model(view, training=False), name="answer")

    proto, _ = tf2onnx.convert.from_function(answer, input_signature=spec, opset=OPSET)
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, str(out))
    _compare(path, out, answer, shape)


def _compare(path: Path, out: Path, answer: Any, shape: tuple[int, ...]) -> None:
    from engines.onnx_runtime import OnnxModel

    rng = np.random.default_rng(0)
    onnx = OnnxModel(out, threads=1)
    for level in (0.0, 0.3, 1.0):
        view = (rng.random((1, *shape)) * level).astype(np.float32)
        (said,) = onnx.run(view).values()
        gap = float(np.abs(said - np.asarray(answer(view))).max())
        if not gap <= _AGREEMENT:
            raise CatalogueError(f"{path}: as ONNX it answers differently, by {gap:.2g}")
    onnx.close()
