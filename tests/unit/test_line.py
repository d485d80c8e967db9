"""Who is looked at first does not matter: who came first is worked on first."""

import asyncio
import queue
import threading

import pytest

from stream.line import Call, Line

WAIT_S = 10


class Item:
    """Is looked at once it may be; then says so, and its number."""

    def __init__(self, number, done, began, may=None):
        self.number, self.done, self.began, self.may = number, done, began, may

    def look(self):
        self.began.put(self.number)
        if self.may is not None:
            assert self.may.wait(WAIT_S)

    def work(self):
        self.done.put(self.number)


def test_one_that_takes_long_is_worked_on_before_those_behind_it():
    done, began, may = queue.Queue(), queue.Queue(), threading.Event()
    line = Line("test", looking=3)
    line.put(Item(0, done, began, may))
    for number in range(1, 6):
        line.put(Item(number, done, began))
    seen = {began.get(timeout=WAIT_S) for _ in range(6)}
    assert seen == set(range(6)), "the others were looked at meanwhile"
    with pytest.raises(queue.Empty):
        done.get(timeout=0.1)
    may.set()
    assert [done.get(timeout=WAIT_S) for _ in range(6)] == list(range(6))


def test_as_many_are_looked_at_beside_one_another_as_was_said():
    done, began, may = queue.Queue(), queue.Queue(), threading.Event()
    line = Line("test", looking=2)
    for number in range(4):
        line.put(Item(number, done, began, may))
    assert {began.get(timeout=WAIT_S) for _ in range(2)} == {0, 1}
    with pytest.raises(queue.Empty):
        began.get(timeout=0.1)
    may.set()
    assert [done.get(timeout=WAIT_S) for _ in range(4)] == list(range(4))


def test_a_call_has_its_turn():
    async def called():
        done, began, may = queue.Queue(), queue.Queue(), threading.Event()
        line = Line("test", looking=2)
        line.put(Item(0, done, began, may))
        call = Call(lambda: done.put("called"))
        line.put(call)
        asyncio.get_running_loop().call_later(0.1, may.set)
        await asyncio.wait_for(call.done, WAIT_S)
        return [done.get_nowait(), done.get_nowait()]

    assert asyncio.run(called()) == [0, "called"]
