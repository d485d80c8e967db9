import pytest

from producers.quarantine import Quarantine, QuarantineFull
from wire.errors import FrameError, Reason

ERROR = FrameError(Reason.UNDECODABLE, "broken")


def put(quarantine, name, data=b"bytes"):
    return quarantine.put(name, [data], ERROR, f"/in/{name}")


def test_keeps_the_bytes_private_and_says_why(tmp_path):
    quarantine = Quarantine(tmp_path / "q")
    put(quarantine, "aa", b"12345")
    (entry,) = quarantine.entries()
    assert (entry.reason, entry.detail, entry.source, entry.size_bytes) == (
        "undecodable", "broken", "/in/aa", 5,
    )  # fmt: skip
    assert quarantine.path("aa").read_bytes() == b"12345"
    for path in (tmp_path / "q").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "q").stat().st_mode & 0o777 == 0o700


def test_the_same_object_lies_there_once(tmp_path):
    quarantine = Quarantine(tmp_path)
    first = put(quarantine, "aa")
    assert put(quarantine, "aa") == first
    assert len(quarantine.entries()) == 1


def test_is_bounded_and_leaves_no_half_object(tmp_path):
    quarantine = Quarantine(tmp_path, max_bytes=1000)
    put(quarantine, "aa", b"x" * 500)
    with pytest.raises(QuarantineFull):
        put(quarantine, "bb", b"x" * 800)
    assert [entry.sha256 for entry in quarantine.entries()] == ["aa"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aa", "aa.json"]


def test_remove(tmp_path):
    quarantine = Quarantine(tmp_path)
    put(quarantine, "aa")
    quarantine.remove("aa")
    assert quarantine.entries() == []
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_side_car_hides_no_other(tmp_path):
    quarantine = Quarantine(tmp_path)
    put(quarantine, "aa")
    (tmp_path / "bb.json").write_text("{")
    assert [entry.sha256 for entry in quarantine.entries()] == ["aa"]
