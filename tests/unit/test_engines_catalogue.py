"""Cards and the catalogue: what is shipped is whole, and what is broken says so."""

import json
import pickle
import shutil
import subprocess
import sys

import pytest
from pydantic import ValidationError

import engines
from engines import (
    DEFAULT_ENGINE,
    CatalogueError,
    EngineCard,
    NotScorable,
    list_engines,
    load_engine,
)
from engines.loading import CATALOGUE

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def catalogue(tmp_path):
    shutil.copytree(CATALOGUE / DEFAULT_ENGINE, tmp_path / DEFAULT_ENGINE)
    return tmp_path


@pytest.fixture(scope="module")
def card():
    return next(card for card in list_engines() if card.name == DEFAULT_ENGINE)


def _edit(catalogue, **changes):
    path = catalogue / DEFAULT_ENGINE / "engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_shipped_card_is_honest_about_what_it_is(card):
    assert not card.simulated
    assert card.operating_points.screen == 0.5
    assert card.operating_points.alarm > card.operating_points.screen
    assert {source.licence for source in card.training_data} == {"CC BY 4.0", "CC BY 3.0"}
    assert any(f.name.endswith("AUC") and f.low <= f.value <= f.high for f in card.figures)
    assert card.limits_of_use


def test_shipped_model_is_small():
    assert (CATALOGUE / DEFAULT_ENGINE / "model.onnx").stat().st_size < 6_000_000


@pytest.mark.parametrize(
    ("modality", "sop_class_uid", "body_part", "wanted"),
    [
        ("CT", CT, "CHEST", True),
        ("CT", CT, None, True),
        ("CT", CT, "", True),
        ("CT", None, "chest_abdomen", True),
        (None, CT, "LUNG", True),
        (None, None, "CHEST", False),
        ("MR", "1.2.840.10008.5.1.4.1.1.4", "CHEST", False),
        ("CT", "1.2.840.10008.5.1.4.1.1.7", "CHEST", False),
        ("CT", CT, "HEAD", False),
        ("", CT, None, False),
    ],
)
def test_accepts_what_it_was_made_for(card, modality, sop_class_uid, body_part, wanted):
    found = card.accepted.accepts(
        modality=modality, sop_class_uid=sop_class_uid, body_part=body_part
    )
    assert found is wanted


def test_card_survives_json(card):
    assert EngineCard.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "abc"},
        {"version": "one"},
        {"task": "guess"},
        {"operating_points": {"screen": 1.5, "alarm": 0.5}},
        {"input": {"shape": [1, 1, 256], "axes": "NCHW", "hu_window": [-1000, 400]}},
        {"input": {"shape": [1], "axes": "N", "hu_window": [400, -1000]}},
        {"surprise": 1},
    ],
)
def test_card_with_a_wrong_field_is_refused(catalogue, changes):
    _edit(catalogue, **changes)
    with pytest.raises(CatalogueError, match=r"engine\.json"):
        list_engines(catalogue)


def test_card_cannot_be_changed(card):
    with pytest.raises(ValidationError):
        card.name = "other"


def test_altered_model_is_not_loaded(catalogue):
    with (catalogue / DEFAULT_ENGINE / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CatalogueError, match=r"model\.onnx: sha256 is .*restore"):
        load_engine(DEFAULT_ENGINE, catalogues=[catalogue])


@pytest.mark.parametrize("name", ["model.onnx", "engine.json"])
def test_missing_file_is_named(catalogue, name):
    (catalogue / DEFAULT_ENGINE / name).unlink()
    with pytest.raises(CatalogueError):
        load_engine(DEFAULT_ENGINE, catalogues=[catalogue])


def test_model_that_is_no_onnx_is_a_catalogue_error(catalogue):
    import hashlib

    (catalogue / DEFAULT_ENGINE / "model.onnx").write_bytes(b"nothing")
    _edit(catalogue, sha256=hashlib.sha256(b"nothing").hexdigest())
    with pytest.raises(CatalogueError, match="not a whole ONNX file"):
        load_engine(DEFAULT_ENGINE, precision="fp32", catalogues=[catalogue])


@pytest.mark.parametrize("name", ["unknown", "../catalogue", "", ".", "/etc"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(CatalogueError, match=DEFAULT_ENGINE):
        load_engine(name)


def test_missing_catalogue_is_named(tmp_path):
    with pytest.raises(CatalogueError, match="nowhere"):
        list_engines(tmp_path / "nowhere")


def test_renamed_folder_is_refused(catalogue):
    (catalogue / DEFAULT_ENGINE).rename(catalogue / "other")
    with pytest.raises(CatalogueError, match="other"):
        list_engines(catalogue)


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"device": "tpu"}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"threads|device"):
        load_engine(DEFAULT_ENGINE, **arguments)


def test_not_scorable_crosses_processes():
    error = pickle.loads(pickle.dumps(NotScorable("no-lungs", "why")))  # noqa: S301 - our own bytes
    assert (error.reason, error.detail) == ("no-lungs", "why")


def test_not_scorable_knows_its_reasons():
    with pytest.raises(ValueError, match="reason"):
        NotScorable("mood", "bad")


def test_every_error_tells_the_operator_what_to_do():
    for name in engines.__all__:
        thing = getattr(engines, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert "Operator action:" in thing.__doc__, name


def test_all_is_sorted_and_whole():
    assert all(hasattr(engines, name) for name in engines.__all__)
    assert len(set(engines.__all__)) == len(engines.__all__)


def test_import_loads_no_runtime():
    code = "import sys, engines; print([m for m in ('onnxruntime', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
