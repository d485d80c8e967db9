"""Which dropped files are whole, due and done: no clock, no disk."""

import tracemalloc

import pytest

import producers.folder
from producers.folder import LONGEST_WAIT_S, Done, Folder, Stamp, Step, passed_over

ONE, TWO = Stamp(100, 1), Stamp(200, 2)


def folder(*, remembered=None, **kwargs):
    return Folder((remembered or {}).get, settle_s=2, patience_s=30, **kwargs)


def listing(**files):
    """Return a listing: name = its stamp."""
    return [(name, lambda stamp=stamp: stamp) for name, stamp in files.items()]


def due(known, now_s, limit=10):
    return {item.path: item.step for item in known.due(now_s, limit)}


@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("IM0001", False), ("a.dcm", False), ("part", False), ("scan.zip", False),
        (".hidden", True), ("a.dcm.part", True), ("a.TMP", True), ("a.filepart", True),
        ("a.crdownload", True),
    ],
)  # fmt: skip
def test_names_that_say_not_yet(name, over):
    assert passed_over(name) is over


def test_a_file_counts_as_whole_once_it_stood_still():
    known = folder()
    known.look(listing(a=ONE), 0)
    assert due(known, 1.9) == {}
    known.look(listing(a=TWO), 1.9)  # it grew
    known.look(listing(a=TWO), 3.8)
    assert due(known, 3.8) == {}
    assert due(known, 3.9) == {"a": Step.PUBLISH}


def test_what_was_written_long_ago_must_stand_still_too():
    """Times of change say nothing: copies keep those of the original, clocks differ."""
    known = folder()
    known.look(listing(a=Stamp(1, 0)), 1000)
    assert due(known, 1001) == {}


def test_a_file_that_is_done_rests_until_it_changes():
    known = folder()
    known.look(listing(a=ONE, b=ONE), 0)
    assert known.finished("a", Done(ONE), 5) is False
    known.look(listing(a=ONE, b=ONE), 6)
    assert due(known, 99) == {"b": Step.PUBLISH}
    known.look(listing(a=TWO, b=ONE), 7)
    assert due(known, 99) == {"a": Step.PUBLISH, "b": Step.PUBLISH}
    assert known.waiting == 2


def test_a_hasty_look_asks_the_disk_for_what_is_not_done_alone():
    known = folder()
    known.look(listing(a=ONE), 0)
    known.finished("a", Done(ONE), 2)
    asked = []
    entries = [(name, lambda name=name: asked.append(name) or TWO) for name in ("a", "b")]
    known.look(entries, 3, thorough=False)
    assert asked == ["b"]
    known.look(entries, 4)
    assert asked == ["b", "a", "b"]


def test_a_renamed_file_is_another_one():
    known = folder()
    known.look(listing(a=ONE), 0)
    known.finished("a", Done(ONE), 2)
    known.look(listing(b=ONE), 3)
    assert due(known, 5) == {"b": Step.PUBLISH}
    assert list(known.done) == []


def test_what_vanished_is_forgotten():
    known = folder()
    known.look(listing(a=ONE), 0)
    known.look([("a", lambda: None)], 1)  # between the listing and the look at it
    assert known.waiting == 0
    known.look(listing(a=ONE), 5)
    assert due(known, 6) == {}
    known.gone("a")
    known.gone("a")


def test_what_was_done_before_a_restart_is_done():
    known = folder(remembered={"a": Done(ONE), "b": Done(ONE)})
    known.look(listing(a=ONE, b=TWO), 0)
    assert due(known, 9) == {"b": Step.PUBLISH}


def test_a_restart_clears_what_was_published_and_not_yet_cleared():
    remembered = {"a": Done(ONE), "b": Done(ONE, safe=False)}
    known = folder(remembered=remembered, clears=True)
    known.look(listing(a=ONE, b=ONE), 0)
    assert due(known, 0) == {"a": Step.CLEAR}
    known.look(listing(a=TWO, b=ONE), 1)
    assert due(known, 9) == {"a": Step.PUBLISH}, "it changed: it was not published"


def test_what_lies_nowhere_else_is_never_cleared():
    known = folder(clears=True)
    known.look(listing(a=ONE, b=ONE), 0)
    assert known.finished("a", Done(ONE, safe=False), 2) is False
    assert known.finished("b", Done(ONE), 2) is True
    assert due(known, 2) == {"b": Step.CLEAR}


def test_a_stalled_copy_is_no_broken_file():
    known = folder()
    known.look(listing(a=ONE), 0)
    known.unusable("a")
    assert due(known, 29) == {}
    assert due(known, 30) == {"a": Step.PUBLISH_OR_SET_ASIDE}
    known.look(listing(a=TWO), 30)  # the copy went on
    assert due(known, 32) == {"a": Step.PUBLISH}


def test_trouble_outside_a_file_makes_it_wait_longer_and_longer():
    known = folder()
    known.look(listing(a=ONE), 0)
    waits, now = [], 2.0
    for _ in range(20):
        known.in_vain("a", now, "no room")
        later = now
        while not due(known, later):
            later += 10
        waits.append(later - now)
        now = later
    assert waits[:3] == [30, 60, 120]
    assert waits[-1] == LONGEST_WAIT_S
    assert known.stuck == {"no room"}
    known.finished("a", Done(ONE), now)
    assert known.stuck == set()


def test_those_changed_longest_ago_come_first():
    known = folder()
    known.look(listing(c=Stamp(1, 3), a=Stamp(1, 9), b=Stamp(1, 3)), 0)
    assert [item.path for item in known.due(2, 2)] == ["b", "c"]


def test_memory_is_bounded_by_the_folder():
    known = folder()
    names = [f"/drop/{number:06}/IM{number:08}.dcm" for number in range(5000)]

    def look(now_s):
        known.look(((f"{name}", lambda: Stamp(524_288, 10**18)) for name in names), now_s)

    def held():
        """Return what the folder's own lines hold, without what other threads ask for."""
        files = (producers.folder.__file__, __file__, "<string>")  # the last: of its dataclasses
        lines = [tracemalloc.Filter(True, file) for file in files]
        traces = tracemalloc.take_snapshot().filter_traces(lines)
        return sum(trace.size for trace in traces.statistics("filename"))

    tracemalloc.start()
    look(0)
    for item in known.due(9, 5000):
        known.finished(item.path, Done(item.stamp), 9)
    before = held()
    for now_s in range(10, 20):
        look(now_s)
    after = held()
    known.look([], 30)
    empty = held()
    tracemalloc.stop()
    assert before / 5000 < 500, "bytes a file"
    assert after < before * 1.5
    assert empty < before / 4
