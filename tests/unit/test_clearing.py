"""Files that are done move away or go, and none that anybody still needs goes with them."""

import errno
import os

import pytest

from producers import clearing
from producers.clearing import delete, move_to, stamp_of


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop" / "sub").mkdir(parents=True)
    return tmp_path / "drop"


@pytest.fixture(params=["one file system", "two"])
def systems(request, monkeypatch):
    """Let the target lie on this file system, or on another one."""
    if request.param == "two":

        def rename(one, other):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "rename", rename)


def put(path, data=b"x"):
    path.write_bytes(data)
    return str(path), stamp_of(path)


def test_a_file_moves_to_the_same_place(drop, tmp_path, systems):
    path, stamp = put(drop / "sub" / "a.dcm")
    assert move_to(tmp_path / "done", [drop])(path, stamp)
    moved = tmp_path / "done" / "sub" / "a.dcm"
    assert moved.read_bytes() == b"x"
    assert stamp_of(moved) == stamp
    assert not os.path.exists(path)
    assert [file.name for file in moved.parent.iterdir()] == ["a.dcm"]


def test_a_name_used_again_takes_nothing_away(drop, tmp_path, systems):
    move = move_to(tmp_path / "done", [drop])
    for data in (b"one", b"two", b"two", b"three"):
        assert move(*put(drop / "a.dcm", data))
    kept = {file.name: file.read_bytes() for file in (tmp_path / "done").iterdir()}
    assert kept == {"a.dcm": b"one", "a.2.dcm": b"two", "a.3.dcm": b"three"}


def test_a_move_that_was_killed_in_the_middle_is_done_again(drop, tmp_path, systems):
    path, stamp = put(drop / "a.dcm", b"whole")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / ".a.dcm.part").write_bytes(b"who")
    (tmp_path / "done" / "a.dcm").write_bytes(b"whole")  # moved, and not yet deleted
    assert move_to(tmp_path / "done", [drop])(path, stamp)
    assert (tmp_path / "done" / "a.dcm").read_bytes() == b"whole"
    assert not os.path.exists(path)


@pytest.mark.parametrize("clear", ["move", "delete"])
def test_what_is_not_as_it_was_stays(drop, tmp_path, clear):
    chosen = delete if clear == "delete" else move_to(tmp_path / "done", [drop])
    path, stamp = put(drop / "a.dcm", b"x")
    put(drop / "a.dcm", b"something else")
    assert not chosen(path, stamp)
    assert (drop / "a.dcm").read_bytes() == b"something else"
    os.unlink(path)
    assert not chosen(path, stamp)


def test_a_file_is_deleted_and_its_folder_stays(drop):
    assert delete(*put(drop / "sub" / "a.dcm"))
    assert list((drop / "sub").iterdir()) == []


def test_what_changed_while_it_was_copied_stays(drop, tmp_path, monkeypatch):
    _, stamp = put(drop / "a.dcm", b"x")

    def copy(one, other):
        with open(other, "wb") as file:
            file.write(b"x")
        put(drop / "a.dcm", b"something else")

    monkeypatch.setattr(clearing.shutil, "copy2", copy)
    clearing._move_across(drop / "a.dcm", tmp_path / "a.dcm", stamp)
    assert (drop / "a.dcm").read_bytes() == b"something else"
