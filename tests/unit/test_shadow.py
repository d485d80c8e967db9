"""A shadow's opinion beside the active one's."""

from uuid import UUID

import pytest
from support.records import finding

from stream.shadow import compare
from wire.errors import Reason


def _pair(active_p, shadow_p):
    active, shadow = finding(active_p), finding(shadow_p)
    engine = shadow.engine.model_copy(update={"name": "other"})
    changes = {"id": UUID(int=active.id.int + 1), "engine": engine}
    return active, shadow.model_copy(update=changes)


@pytest.mark.parametrize(
    ("active_p", "shadow_p", "disagree"),
    [(0.9, 0.8, False), (0.9, 0.65, True), (0.4, 0.7, True), (0.4, 0.69, False)],
)
def test_each_is_judged_by_its_own_threshold(active_p, shadow_p, disagree):
    one = compare(*_pair(active_p, shadow_p), active_screen=0.5, shadow_screen=0.7)
    assert one.disagree is disagree
    assert one.active.lesion_probability == active_p
    assert one.shadow.engine.name == "other"


def test_what_was_not_scored_is_not_positive():
    one = compare(*_pair(None, 0.9), active_screen=0.5, shadow_screen=0.5)
    assert one.disagree
    assert not one.active.positive
    assert one.active.reason is Reason.NO_LUNGS


def test_a_replay_makes_the_same_comparison():
    first, second = (
        compare(*_pair(0.9, 0.1), active_screen=0.5, shadow_screen=0.5) for _ in range(2)
    )
    assert first == second
    other = compare(*_pair(0.9, 0.1)[::-1], active_screen=0.5, shadow_screen=0.5)
    assert other.id != first.id


def test_two_frames_are_never_compared():
    with pytest.raises(ValueError, match="two frames"):
        compare(finding(0.1, number=1), finding(0.1, number=2), active_screen=1, shadow_screen=1)
