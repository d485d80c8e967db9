"""What a worker holds in memory, counted as messages come and go."""

import gc
import random
import threading

from faust.types import Message

from stream.bounded import Held


def message(size):
    """Return a message with a value of so many bytes; None for a tombstone."""
    value = None if size is None else bytes(size)
    return Message("frames", 0, 0, 0.0, 0, None, None, value, None)


def test_what_nobody_has_any_more_is_not_held():
    held = Held()
    messages = [message(size) for size in (10, 200, None, 3000)]
    for one in messages:
        held.add(one)
    one = None
    assert held.bytes() == 3210
    del messages[3]
    gc.collect()
    assert held.bytes() == 210
    messages.clear()
    gc.collect()
    assert held.bytes() == 0


def test_messages_may_be_let_go_of_on_any_thread():
    held, kept = Held(), []
    chance = random.Random(0)
    sizes = [chance.randrange(1000) for _ in range(4000)]
    for size in sizes:
        kept.append(message(size))
        held.add(kept[-1])

    def let_go():
        while kept:
            try:
                kept.pop()
            except IndexError:
                return

    threads = [threading.Thread(target=let_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert 0 <= held.bytes() <= sum(sizes)
    gc.collect()
    assert held.bytes() == 0


def test_the_same_message_twice_counts_twice():
    """A message that is fetched again is another object of equal place: both take memory."""
    held, one, other = Held(), message(100), message(100)
    held.add(one)
    held.add(other)
    assert held.bytes() == 200
    del other
    gc.collect()
    assert held.bytes() == 100
    assert one.value == bytes(100)
