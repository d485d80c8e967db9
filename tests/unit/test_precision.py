"""One engine, several files and runtimes: the same answers nearly, the choice said in findings."""

import shutil

import numpy as np
import pytest

from engines import CatalogueError, EngineError, list_engines, load_engine
from engines.loading import CATALOGUE
from lesionstream.catalogue import _drawn_chest

CHOICES = [
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
]


@pytest.fixture(scope="module")
def chest():
    return _drawn_chest()


@pytest.fixture(scope="module")
def reference(chest):
    return load_engine("lesion", device="cpu", precision="fp32").score(chest)


@pytest.mark.parametrize(("runtime", "precision"), CHOICES)
def test_they_agree(chest, reference, runtime, precision):
    engine = load_engine("lesion", device="cpu", runtime=runtime, precision=precision)
    assert engine.backend == f"{runtime}-cpu"
    assert engine.precision == precision
    score = engine.score(chest)
    gap = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.1}[precision]
    assert score.lesion_probability == pytest.approx(reference.lesion_probability, abs=gap)
    assert len(score.lesions) > 0
    first, other = score.lesions[0], reference.lesions[0]
    assert np.hypot(first.x_px - other.x_px, first.y_px - other.y_px) < 4
    assert engine.score(chest).lesion_probability == score.lesion_probability
    engine.close()


def test_auto_is_what_the_card_says():
    (card,) = (card for card in list_engines() if card.name == "lesion")
    assert load_engine("lesion", device="cpu").precision == card.precision


def test_what_cannot_be_had_is_said():
    with pytest.raises(EngineError, match="needs the runtime openvino"):
        load_engine("lesion", device="cpu", precision="bf16")
    with pytest.raises(EngineError, match="textbook-256 has no int8 file"):
        load_engine("textbook-256", device="cpu", precision="int8")


def test_an_altered_int8_file_is_refused(tmp_path):
    shutil.copytree(CATALOGUE / "lesion", tmp_path / "lesion")
    path = tmp_path / "lesion" / "model.int8.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    for precision in ("fp32", "int8"):
        with pytest.raises(CatalogueError, match=r"model\.int8\.onnx"):
            load_engine("lesion", device="cpu", precision=precision, catalogues=[tmp_path])
