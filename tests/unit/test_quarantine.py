import pytest

from producers import quarantine as module
from producers.quarantine import COUNT_EVERY_S, Quarantine, QuarantineFull
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


class Clock:
    """A clock that stands still until told otherwise."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_what_one_put_costs_does_not_grow(tmp_path, monkeypatch):
    counted, count = [], module._bytes_in
    monkeypatch.setattr(module, "_bytes_in", lambda folder: counted.append(1) or count(folder))
    quarantine = Quarantine(tmp_path, now_s=Clock())
    for number in range(50):
        put(quarantine, f"{number:04}")
    assert len(counted) == 1


def test_the_bound_holds_between_two_counts(tmp_path):
    """And counts what was refused for nothing."""
    quarantine = Quarantine(tmp_path, max_bytes=2000, now_s=Clock())
    put(quarantine, "aa", b"x" * 600)
    for _ in range(3):
        with pytest.raises(QuarantineFull):
            quarantine.put("bb", [b"x" * 1000, b"x" * 1000], ERROR, "/in/bb")
    put(quarantine, "cc", b"x" * 600)
    with pytest.raises(QuarantineFull):
        put(quarantine, "dd", b"x" * 600)


def test_what_others_put_or_remove_is_seen_soon(tmp_path):
    clock = Clock()
    mine, other = (Quarantine(tmp_path, max_bytes=1000, now_s=clock) for _ in range(2))
    put(mine, "aa", b"x" * 200)
    put(other, "bb", b"x" * 300)
    clock.now_s += COUNT_EVERY_S
    with pytest.raises(QuarantineFull):
        put(mine, "cc", b"x" * 300)
    other.remove("bb")
    clock.now_s += COUNT_EVERY_S
    put(mine, "cc", b"x" * 300)
