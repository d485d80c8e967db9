"""An engine's file is all there is: nothing outside its folder is ever opened for it."""

import hashlib
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import quick_engine

from engines import CatalogueError, load_engine
from engines.adding import Told, add_onnx
from engines.enclosed import check_enclosed
from engines.loading import CATALOGUE, read_card

NAME = "textbook-256"
MODEL = CATALOGUE / NAME / "model.onnx"
TOLD = Told("mine", "a test", (-1000.0, 400.0), 0.5, 0.5)


def field(number, value):
    """Return a protobuf field of bytes."""
    size, told = len(value), b""
    while size > 127:
        told, size = told + bytes([size & 127 | 128]), size >> 7
    tag = number << 3 | 2
    head = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
    return head + told + bytes([size]) + value


def elsewhere(location):
    """Return an ONNX file with a tensor in another file, as `onnx` writes it."""
    entry = field(1, b"location") + field(2, location.encode())
    tensor = b"\x08\x01\x10\x01" + field(8, b"w") + field(13, entry) + b"\x70\x01"
    return quick_engine._model() + field(7, field(5, tensor))


@pytest.fixture
def catalogue(tmp_path):
    shutil.copytree(CATALOGUE / NAME, tmp_path / "catalogue" / NAME)
    return tmp_path / "catalogue"


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", "a/../../b"])
def test_tensors_elsewhere_are_refused(tmp_path, catalogue, location):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    model = tmp_path / "model.onnx"
    model.write_bytes(elsewhere(location))
    with pytest.raises(CatalogueError, match="in another file") as refused:
        add_onnx(model, TOLD, catalogue)
    assert location in str(refused.value)
    assert not (catalogue / TOLD.name).exists()
    replaced(catalogue, model.read_bytes())
    with pytest.raises(CatalogueError, match="in another file"):
        load_engine(NAME, catalogues=[catalogue])


def replaced(catalogue, data):
    """Put a model into an engine's folder, with a card that vouches for it."""
    card = json.loads((catalogue / NAME / "engine.json").read_text())
    card["sha256"] = hashlib.sha256(data).hexdigest()
    (catalogue / NAME / "engine.json").write_text(json.dumps(card))
    (catalogue / NAME / "model.onnx").write_bytes(data)


TENSOR = field(13, field(1, b"location") + field(2, b"../x"))
ATTRIBUTE = field(5, TENSOR)


@pytest.mark.parametrize(
    "model",
    [
        field(7, field(5, TENSOR)),
        field(7, field(5, bytes([14 << 3, 1]))),
        field(7, field(15, field(1, TENSOR))),
        field(7, field(1, field(5, ATTRIBUTE))),
        field(7, field(1, field(5, field(10, TENSOR)))),
        field(7, field(1, field(5, field(6, field(5, TENSOR))))),
        field(7, field(1, field(5, field(11, field(5, TENSOR))))),
        field(7, field(1, field(5, field(22, field(2, TENSOR))))),
        field(25, field(7, field(5, ATTRIBUTE))),
        field(25, field(11, ATTRIBUTE)),
        field(20, field(1, field(5, TENSOR))),
    ],
)
def test_wherever_such_a_tensor_hides(model, tmp_path):
    with pytest.raises(CatalogueError, match="in another file"):
        check_enclosed(quick_engine._model() + model, tmp_path / "model.onnx")


def test_graphs_without_end_are_refused(tmp_path):
    deep = b""
    for _ in range(40):
        deep = field(1, field(5, field(6, deep)))
    with pytest.raises(CatalogueError, match="nested"):
        check_enclosed(field(7, deep), tmp_path / "model.onnx")


@pytest.mark.parametrize("cut", [1, 7, 100, 1000])
def test_half_a_file_is_refused(cut, tmp_path):
    data = MODEL.read_bytes()
    with pytest.raises(CatalogueError):
        check_enclosed(data[: len(data) - cut], tmp_path / "model.onnx")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_walked(data):
    try:
        check_enclosed(data, MODEL)
    except CatalogueError:
        pass


@pytest.mark.parametrize("path", sorted(CATALOGUE.rglob("*.onnx")), ids=lambda path: path.name)
def test_shipped_files_are_enclosed(path):
    check_enclosed(path.read_bytes(), path)


@pytest.mark.parametrize("name", ["model.onnx", "engine.json"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside"])
def test_a_link_out_of_the_folder_is_refused(catalogue, tmp_path, name, target):
    shutil.copy(catalogue / NAME / name, tmp_path / "outside")
    (catalogue / NAME / name).unlink()
    (catalogue / NAME / name).symlink_to(target)
    with pytest.raises(CatalogueError, match="leads out of its folder"):
        load_engine(NAME, catalogues=[catalogue])


def test_a_folder_that_is_a_link_is_refused(catalogue, tmp_path):
    (catalogue / NAME).rename(tmp_path / NAME)
    (catalogue / NAME).symlink_to(tmp_path / NAME)
    with pytest.raises(CatalogueError, match="leads out of its folder"):
        read_card(NAME, catalogues=[catalogue])


def test_a_link_inside_the_folder_is_none_of_that(catalogue):
    """Kubernetes mounts files so."""
    inside = catalogue / NAME / "..data"
    inside.mkdir()
    (catalogue / NAME / "model.onnx").rename(inside / "model.onnx")
    (catalogue / NAME / "model.onnx").symlink_to("..data/model.onnx")
    load_engine(NAME, catalogues=[catalogue]).close()
