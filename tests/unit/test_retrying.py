"""Asked again after pauses of chance, within a budget; what cannot pass is not asked again."""

import contextlib
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.retrying import EARNED_S, PAUSES_S, PURSE_S, GaveUp, Retry

MOST = len(PAUSES_S) + 1


class Asked:
    """Fails so many times, then answers; counts how often it was asked."""

    def __init__(self, failures):
        self.failures, self.times = failures, 0

    def __call__(self):
        self.times += 1
        if self.times <= self.failures:
            raise OSError(f"failure {self.times}")
        return "answer"


def longest(sleep=lambda pause_s: None):
    """Return a policy whose pauses are as long as they can be."""
    return Retry(chance=lambda: 1.0, sleep=sleep)


def ask(retry, asked):
    """Return how often it was asked."""
    with contextlib.suppress(GaveUp):
        retry.ask(asked, lambda error: True)
    return asked.times


@pytest.mark.parametrize("failures", range(MOST))
def test_asked_until_it_answers(failures):
    slept = []
    asked = Asked(failures)
    assert longest(slept.append).ask(asked, lambda error: True) == "answer"
    assert asked.times == failures + 1
    assert slept == list(PAUSES_S[:failures])


def test_gives_up_and_says_how_it_failed_last():
    asked = Asked(99)
    with pytest.raises(GaveUp) as gave_up:
        longest().ask(asked, lambda error: True)
    assert (gave_up.value.attempts, asked.times) == (MOST, MOST)
    assert str(gave_up.value.__cause__) == f"failure {MOST}"


def test_what_cannot_pass_is_raised_at_once():
    asked = Asked(99)
    with pytest.raises(OSError, match="failure 1"):
        longest().ask(asked, lambda error: False)
    assert asked.times == 1


def test_pauses_are_of_chance_and_bounded():
    slept = []
    chance = random.Random(1)
    for _ in range(3):
        ask(Retry(chance=chance.random, sleep=slept.append), Asked(99))
    firsts = slept[:: len(PAUSES_S)]
    assert len(set(firsts)) == 3, "no two workers come back together"
    assert all(0 <= pause <= most for pause, most in zip(slept, PAUSES_S * 3, strict=True))


def test_an_engine_that_fails_for_every_frame_is_soon_asked_once_only():
    slept = []
    retry = longest(slept.append)
    times = [ask(retry, Asked(99)) for _ in range(50)]
    assert times[0] == MOST
    assert all(before >= after for before, after in pairwise(times))
    assert times[-40:] == [1] * 40
    assert sum(slept) <= PURSE_S


def test_is_asked_again_when_frames_are_answered_again():
    retry = longest()
    while ask(retry, Asked(99)) > 1:
        pass
    for _ in range(round(PURSE_S / EARNED_S)):
        assert ask(retry, Asked(0)) == 1
    assert ask(retry, Asked(99)) == MOST


@given(st.lists(st.integers(0, MOST), max_size=200))
def test_a_queue_waits_for_no_longer_than_the_purse(failures):
    """Whatever fails, and how often: so much in all, and so much for each frame that is well."""
    slept = []
    retry = longest(slept.append)
    for count in failures:
        ask(retry, Asked(count))
    assert sum(slept) <= PURSE_S + EARNED_S * failures.count(0) + 1e-6


def test_what_cannot_be_scored_says_that_the_engine_is_well():
    retry = longest()
    while ask(retry, Asked(99)) > 1:
        pass
    for _ in range(round(PURSE_S / EARNED_S)):
        with pytest.raises(OSError, match="failure 1"):
            retry.ask(Asked(99), lambda error: False)
    assert ask(retry, Asked(99)) == MOST
