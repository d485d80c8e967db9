"""Bring your own model: added, promoted, rolled back, refused with a reason."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from engines import CatalogueError, EngineError
from engines.adding import Told, add_onnx
from engines.loading import CATALOGUE
from lesionstream import catalogue
from lesionstream.cli import app
from lesionstream.settings import settings
from lesionstream.workers import _Promotions

MODEL = CATALOGUE / "textbook-256" / "model.onnx"
WINDOW = (-1000.0, 400.0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LESIONSTREAM_ENGINE", raising=False)
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def mine(tmp_path):
    """Return an ONNX file a user might have."""
    return shutil.copyfile(MODEL, tmp_path / "My_Net.onnx")


def _add(path, **told):
    catalogue.add(path, **{"name": None, "window": WINDOW, "screen": 0.4, "alarm": 0.7} | told)


def test_an_added_model_is_listed_and_can_be_used(mine, home, capsys):
    _add(mine)
    assert (home / "engines" / "my-net" / "model.onnx").read_bytes() == MODEL.read_bytes()
    catalogue.info("my-net", as_json=True)
    card = json.loads(capsys.readouterr().out)
    assert card["operating_points"] == {"screen": 0.4, "alarm": 0.7}
    assert card["task"] == "classify"
    assert card["figures"] == []
    catalogue.list_all(as_json=True)
    assert "my-net" in {c["name"] for c in json.loads(capsys.readouterr().out)}
    assert catalogue.engine_in_use() != "my-net"


def test_what_was_promoted_is_in_use_until_rolled_back(mine):
    before = catalogue.engine_in_use()
    _add(mine)
    catalogue.promote("my-net")
    assert catalogue.engine_in_use() == "my-net"
    catalogue.promote("my-net")  # twice is once
    catalogue.rollback()
    assert catalogue.engine_in_use() == before
    with pytest.raises(EngineError, match="nothing to roll back to"):
        catalogue.rollback()


def test_a_worker_takes_a_promotion_up_once(mine):
    _add(mine)
    worker = _Promotions(catalogue.engine_in_use())
    assert worker.newer() is None
    catalogue.promote("my-net")
    engine = worker.newer()
    assert engine is not None
    assert engine.card.name == "my-net"
    assert worker.newer() is None


def test_the_setting_comes_before_what_was_promoted(mine, monkeypatch):
    _add(mine)
    catalogue.promote("my-net")
    monkeypatch.setenv("LESIONSTREAM_ENGINE", "textbook-256")
    settings.cache_clear()
    assert catalogue.engine_in_use() == "textbook-256"


def test_what_cannot_be_loaded_is_not_promoted(mine, home):
    _add(mine)
    (home / "engines" / "my-net" / "model.onnx").write_bytes(b"nothing")
    before = catalogue.engine_in_use()
    with pytest.raises(CatalogueError, match="sha256"):
        catalogue.promote("my-net")
    assert catalogue.engine_in_use() == before


def test_a_damaged_list_of_promotions_says_what_to_do(home):
    home.mkdir()
    (home / "promoted.json").write_text("{")
    with pytest.raises(EngineError, match="Remove it"):
        catalogue.engine_in_use()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("nothing.onnx", b"nothing", "not a whole ONNX file"),
        ("empty.onnx", b"", "cannot be added"),
        ("net.pt", b"x", "not a file of"),
    ],
)
def test_what_is_no_model_is_refused_with_its_name(tmp_path, name, content, why):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EngineError, match=f"{name}.*{why}"):
        _add(path)
    assert not (settings().home / "engines" / path.stem).exists()


def test_a_name_is_not_taken_twice(mine, home):
    _add(mine)
    with pytest.raises(EngineError, match="there already"):
        _add(mine)
    with pytest.raises(EngineError, match="there already"):
        _add(mine, name="textbook-256")
    with pytest.raises(CatalogueError, match="there already"):
        add_onnx(mine, Told("my-net", "x", WINDOW, 0.5, 0.5), home / "engines")


def test_a_name_never_leaves_the_catalogue(mine, home):
    for name in ("../outside", "/outside", "a/b", "..", ".", "", "A", "x\n", "a" + "\0"):
        with pytest.raises(EngineError, match="no name for an engine"):
            _add(mine, name=name or "-")
    assert not (home / "outside").exists()
    assert not (home / "engines").exists()


def test_bench_says_frames_a_second_for_one_and_two_threads():
    result = CliRunner().invoke(app, ["engines", "bench", "--seconds", "0.1", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["threads"] for row in rows] == [1, 2]
    assert all(row["frames_a_second"] > 0 for row in rows)
