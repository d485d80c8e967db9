"""A hostile file costs its own process and nothing else."""

import errno
import gc
import os
import signal
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection

import numpy as np
import pytest

from wire.decode_channel import SHARED_BYTES
from wire.decode_pool import DecodePool, DecoderUnavailable
from wire.errors import FrameError, Reason


def task(what, *args):
    """Do what the test asks for, in the child."""
    if what == "count":
        yield from range(args[0])
    elif what == "pid":
        yield os.getpid()
    elif what == "raise":
        raise FrameError(Reason.QUALITY, "as asked")
    elif what == "die":
        yield "before"
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "die once":
        if not os.path.exists(args[0]):
            open(args[0], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from "abc"
    elif what == "repeat":
        yield from [args[0]] * 3
    elif what == "hang":
        time.sleep(60)
        yield None
    elif what == "promise":  # as a child that was taken over might
        for pipe in [one for one in gc.get_objects() if isinstance(one, Connection)]:
            pipe.send_bytes(b"p" + struct.pack("<IQ", 1, 100))
        time.sleep(60)
        yield None
    elif what == "allocate":
        yield len(bytearray(args[0]))
    elif what == "recurse":

        def deeper(n):
            return deeper(n + 1) + 1

        yield deeper(0)


@pytest.fixture(scope="module")
def pool():
    with DecodePool(task, deadline_s=5.0, memory_bytes=1 << 30) as pool:
        yield pool


def test_items_come_one_by_one_from_one_child(pool):
    assert list(pool.run("count", 5)) == [0, 1, 2, 3, 4]
    assert pool.one("pid") == pool.one("pid") != os.getpid()


@pytest.mark.parametrize("size", [0, 1000, SHARED_BYTES // 2, SHARED_BYTES + 1])
def test_arguments_and_items_of_any_size_arrive_whole(pool, size):
    pixels = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    for _ in range(2):  # the memory is used again
        items = list(pool.run("repeat", pixels))
        assert len(items) == 3
        for item in items:
            np.testing.assert_array_equal(item, pixels)


def test_an_item_does_not_change_when_the_next_call_comes(pool):
    (first, *_) = pool.run("repeat", np.zeros(100_000, np.uint8))
    list(pool.run("repeat", np.ones(100_000, np.uint8)))
    assert not first.any()


def test_an_error_of_the_task_keeps_the_child(pool):
    before = pool.one("pid")
    with pytest.raises(FrameError, match="as asked") as caught:
        list(pool.run("raise"))
    assert caught.value.reason is Reason.QUALITY
    assert pool.one("pid") == before


def test_a_crash_is_undecodable_and_the_pool_goes_on(pool):
    items = pool.run("die")
    assert next(items) == "before"
    with pytest.raises(FrameError, match="died") as caught:
        next(items)
    assert caught.value.reason is Reason.UNDECODABLE
    assert list(pool.run("count", 2)) == [0, 1]


def test_one_death_is_not_blamed_on_the_file(pool, tmp_path):
    assert list(pool.run("die once", str(tmp_path / "died"))) == ["a", "b", "c"]


def test_a_deadline_is_kept():
    with DecodePool(task, deadline_s=0.5) as pool:
        with pytest.raises(FrameError, match="longer than"):
            list(pool.run("hang"))


def test_who_says_that_something_comes_and_sends_no_more_is_ended():
    with DecodePool(task, deadline_s=0.5) as pool:
        with pytest.raises(FrameError, match="died"):
            list(pool.run("promise"))


def test_memory_is_limited(pool):
    with pytest.raises(FrameError) as caught:
        list(pool.run("allocate", 4 << 30))
    assert caught.value.reason is Reason.TOO_LARGE
    assert list(pool.run("allocate", 1000)) == [1000]


def test_endless_recursion_is_undecodable(pool):
    with pytest.raises(FrameError, match="nested"):
        list(pool.run("recurse"))


def test_a_reader_that_stops_early_leaves_the_pool_usable(pool):
    items = pool.run("count", 1000)
    assert next(items) == 0
    items.close()
    assert list(pool.run("count", 3)) == [0, 1, 2]


def test_children_end_with_the_pool():
    with DecodePool(task) as pool:
        child = pool.one("pid")
        os.kill(child, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_closing_does_not_wait_for_a_reader_that_stopped():
    with DecodePool(task) as pool:
        items = pool.run("count", 1000)
        assert next(items) == 0
    with pytest.raises(RuntimeError, match="closed"):
        pool.one("pid")


def test_a_process_ends_though_its_children_ignore_sigterm():
    program = (
        "from wire.decode_pool import DecodePool\n"
        "from stream.looking import looks\n"
        "if __name__ == '__main__':\n"
        "    pool = DecodePool(looks)\n"
        "    pool.warm_up()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=False)
    assert done.returncode == 0


def test_signals_to_the_group_do_not_look_like_crashes(pool):
    child = pool.one("pid")
    os.kill(child, signal.SIGINT)
    os.kill(child, signal.SIGTERM)
    assert pool.one("pid") == child


def no_more(name, flags):
    raise OSError(errno.EMFILE, "no files are left")


def test_those_that_were_warmed_up_are_there(monkeypatch):
    with DecodePool(task, workers=3) as pool:
        pool.warm_up(3)
        monkeypatch.setattr(os, "memfd_create", no_more)
        asked = [pool.run("pid") for _ in range(3)]
        assert len({next(items) for items in asked}) == 3


def test_without_memory_or_processes_no_frame_is_blamed(monkeypatch):
    monkeypatch.setattr(os, "memfd_create", no_more)
    with DecodePool(task) as pool, pytest.raises(DecoderUnavailable, match="OSError"):
        pool.one("count", 1)
