"""A decoder that cannot be had is asked for again; where none comes the worker ends."""

from uuid import UUID

import numpy as np
import pytest
from support.phantoms import chest_hu, dataset, part10

from engines import Prepared
from stream.looking import MOST_PIXELS, Looked
from stream.retrying import Retry
from stream.scoring_app import in_child
from wire.decode_pool import DecoderUnavailable
from wire.errors import FrameError, Reason
from wire.frame import decode_frame

ABOUT = decode_frame(part10(dataset(chest_hu(1, size=64), PatientIdentityRemoved="YES"))).about


class Pool:
    """A pool whose first answers are these errors."""

    answer = Looked(UUID(int=1), ABOUT, FrameError(Reason.NO_LUNGS, "none"), 1.0)

    def __init__(self, *errors):
        self.errors, self.slept = list(errors), []
        self.look = in_child(self, Retry(chance=lambda: 0.5, sleep=self.slept.append))

    def one(self, payload, frame_number, wanted):
        if self.errors:
            raise self.errors.pop(0)
        return self.answer


def test_memory_that_comes_back():
    pool = Pool(DecoderUnavailable("no memory"))
    assert pool.look(b"frame", 3, None) is pool.answer
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


@pytest.mark.parametrize(
    "views",
    [(), (np.zeros(9, np.float32),), (np.zeros((2, MOST_PIXELS), np.float32),)],
    ids=["nothing", "no picture", "too much"],
)
def test_a_decoder_that_was_taken_over_answers_nonsense(views):
    pool = Pool()
    ready = Prepared((9, 9), (9, 9), views, 0, 0, (), 1.0)
    pool.answer = Looked(UUID(int=1), ABOUT, ready, 1.0)
    with pytest.raises(FrameError, match="nonsense") as caught:
        pool.look(b"frame", None, None)
    assert caught.value.about == ABOUT
