"""Plans on disk: what was built for something else, or is damaged, is not there."""

import json
from dataclasses import replace

import pytest

from engines.plan_store import PlanKey, PlanStore

KEY = PlanKey("lesion", "0" * 64, "fp16", 16, 1, "10.6.0", "NVIDIA H100 80GB HBM3", (9, 0))


@pytest.fixture
def store(tmp_path):
    store = PlanStore(tmp_path / "plans")
    store.keep(KEY, b"a plan", {"seconds": 12.5})
    return store


def test_a_plan_is_found_for_what_it_was_built_for(store):
    assert store.find(KEY) == b"a plan"
    said = json.loads((store.folder / f"{KEY.name}.json").read_text())
    assert said["key"]["gpu"] == KEY.gpu
    assert said["key"]["tensorrt"] == "10.6.0"
    assert said["seconds"] == 12.5


@pytest.mark.parametrize(
    "other",
    [
        {"engine": "candidate"},
        {"onnx_sha256": "1" * 64},
        {"precision": "fp32"},
        {"batch": 8},
        {"builder": 2},
        {"tensorrt": "11.4.0.106"},
        {"gpu": "NVIDIA H200"},
        {"compute_capability": (9, 1)},
    ],
)
def test_no_other_plan_is_taken_for_it(store, other):
    assert store.find(replace(KEY, **other)) is None


def test_a_plan_under_the_name_of_another_is_not_loaded(store):
    other = replace(KEY, tensorrt="11.4.0.106")
    for suffix in ("plan", "json"):
        path = store.folder / f"{KEY.name}.{suffix}"
        path.rename(store.folder / f"{other.name}.{suffix}")
    assert store.find(other) is None
    assert store.find(KEY) is None


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"sha256": 1}'])
def test_a_damaged_note_is_none(store, note):
    (store.folder / f"{KEY.name}.json").write_bytes(note)
    assert store.find(KEY) is None
    store.keep(KEY, b"built again", {})
    assert store.find(KEY) == b"built again"


def test_an_altered_plan_is_none(store):
    (store.folder / f"{KEY.name}.plan").write_bytes(b"another plan")
    assert store.find(KEY) is None


def test_nothing_is_left_of_the_writing_and_others_cannot_write_there(store):
    assert not list(store.folder.glob(".*"))
    assert store.folder.stat().st_mode & 0o022 == 0


def test_what_was_measured_holds_for_card_and_version(store):
    assert store.timing(KEY) == b""
    store.keep_timing(KEY, b"times")
    assert store.timing(replace(KEY, engine="candidate", precision="fp32")) == b"times"
    assert store.timing(replace(KEY, tensorrt="11.4.0.106")) == b""
    assert store.timing(replace(KEY, gpu="NVIDIA H200")) == b""


def test_a_refused_plan_is_not_built_at_each_start(store):
    assert store.refused(KEY) == ""
    store.refuse(KEY, "its answers differ by 0.2")
    assert store.refused(KEY).startswith("its answers differ by 0.2")
    assert str(store.folder / f"{KEY.name}.json") in store.refused(KEY)
    assert store.find(KEY) is None
    assert store.refused(replace(KEY, builder=2)) == ""
    store.keep(KEY, b"a better plan", {})
    assert store.refused(KEY) == ""
    assert store.find(KEY) == b"a better plan"
