"""A decoder that cannot be had is asked for again; where none comes the worker ends."""

import pytest

from stream.retrying import Retry
from stream.scoring_worker import in_child
from wire.decode_pool import DecoderUnavailable
from wire.errors import FrameError, Reason


class Pool:
    """A pool whose first answers are these errors."""

    def __init__(self, *errors):
        self.errors, self.slept = list(errors), []
        self.look = in_child(self, Retry(chance=lambda: 0.5, sleep=self.slept.append))

    def one(self, payload, frame_number, wanted):
        if self.errors:
            raise self.errors.pop(0)
        return payload, frame_number


def test_memory_that_comes_back():
    pool = Pool(DecoderUnavailable("no memory"))
    assert pool.look(b"frame", 3, None) == (b"frame", 3)
    assert len(pool.slept) == 1


def test_none_to_be_had():
    pool = Pool(*[DecoderUnavailable("no memory")] * 9)
    with pytest.raises(DecoderUnavailable, match="no memory"):
        pool.look(b"frame", None, None)
    assert len(pool.errors) == 9 - 4


def test_a_frame_that_cannot_be_decoded_is_not_tried_again():
    pool = Pool(FrameError(Reason.UNDECODABLE, "broken"))
    with pytest.raises(FrameError, match="broken"):
        pool.look(b"frame", None, None)
    assert pool.slept == []
