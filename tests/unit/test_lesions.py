"""Slices become lesions, whatever their order; lesions are found again after the patient moved."""

from math import dist
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.folding import told
from support.records import series

from stream.lesions import Confirmation, confirmed, distinct, gaps, merge
from stream.tracking import lungs_of, match, shift
from wire.assessment import Point
from wire.patient import Lung, Mark, Seen, Slice

TWO_OF_THREE = Confirmation(2, 3)


def slices(events):
    """Return what a state keeps of findings."""
    (state,) = told(events)[0].series.values()
    return state.slices


def merged(events, needed=TWO_OF_THREE):
    return merge(slices(events), pitch_mm=2.5, confirmation=needed)


def test_a_sphere_is_one_lesion_where_it_is_and_as_large_as_it_is():
    (lesion,) = merged(series({"a": ((60.0, -20.0, 30.0), 14.0)}))
    assert dist(lesion.centre, (60, -20, 30)) < 0.5
    assert lesion.diameter_mm == 14.0
    assert lesion.extent_mm == pytest.approx(12.5, abs=2.5)
    assert lesion.slices == lesion.alarming == 5
    assert lesion.confirmed


@given(st.randoms())
def test_order_and_repetition_of_slices_leave_no_trace(random):
    events = series({"a": ((60.0, -20.0, 30.0), 14.0), "b": ((-50.0, 0.0, 40.0), 9.0)})
    shuffled = events * 2
    random.shuffle(shuffled)
    assert merged(shuffled) == merged(events)


def test_lesions_side_by_side_and_one_above_the_other_stay_apart():
    near = {"a": ((60.0, 0.0, 30.0), 8.0), "b": ((72.0, 0.0, 30.0), 8.0)}
    above = {"a": ((60.0, 0.0, 20.0), 8.0), "b": ((60.0, 0.0, 40.0), 8.0)}
    assert len(merged(series(near))) == 2
    assert len(merged(series(above))) == 2


def test_a_missing_slice_does_not_cut_a_lesion_in_two():
    events = series({"a": ((60.0, 0.0, 30.0), 14.0)})
    (lesion,) = merged(events[:12] + events[13:])
    assert lesion.slices == 4


@pytest.mark.parametrize(
    ("at", "needed", "answer"),
    [
        ([0.0, 2.5], TWO_OF_THREE, True),
        ([0.0, 5.0], TWO_OF_THREE, True),
        ([0.0, 7.5], TWO_OF_THREE, False),
        ([0.0, 0.0, 0.1], TWO_OF_THREE, False),
        ([0.0], Confirmation(1, 1), True),
        ([0.0, 2.5, 10.0, 12.5], Confirmation(3, 4), False),
        ([0.0, 2.5, 7.5], Confirmation(3, 4), True),
        ([], TWO_OF_THREE, False),
    ],
)
def test_k_of_n_neighbouring_slices(at, needed, answer):
    assert confirmed(at, 2.5, needed) == answer


@given(st.lists(st.floats(-500, 500), max_size=8), st.floats(-500, 500))
def test_more_slices_never_take_a_confirmation_back(at, another):
    if confirmed(at, 2.5, TWO_OF_THREE):
        assert confirmed([*at, another], 2.5, TWO_OF_THREE)


def test_gaps_are_told_with_and_without_a_pitch():
    assert gaps([0.0, 2.5, 10.0, 12.5], 2.5) == [(2.5, 10.0)]
    assert gaps([0.0, 2.5, 5.0, 12.5], None) == [(5.0, 12.5)]
    assert gaps([3.0], 2.5) == gaps([], None) == []
    assert distinct([5.0, 0.0, 0.2]) == [0.0, 5.0]


def lungs(moved=(0.0, 0.0, 0.0), first=0, last=100):
    """Return lungs of 250 mm, scanned in part: narrow at the top, wide below."""
    x, y, z = moved
    return tuple(
        Lung(1.0 + x, 2.0 + y, n * 2.5 + z, 400.0 - 0.04 * (n - 30) ** 2)
        for n in range(first, last)
    )


@pytest.mark.parametrize("moved", [(0, 0, 0), (6, -5, 4), (-20, 12, 55), (3, 0, -80)])
def test_a_study_is_laid_over_the_one_before_by_the_lungs(moved):
    assert dist(shift(lungs(), lungs(moved)), moved) < 2.0


def test_a_scan_of_a_part_is_laid_over_the_whole():
    assert dist(shift(lungs(), lungs((4, 4, 30), first=20, last=70)), (4, 4, 30)) < 4.0


def test_without_lungs_nothing_moves():
    assert shift((), lungs()) == shift(lungs(), ()) == (0, 0, 0)


def test_the_lungs_of_a_series_are_known_once_a_place():
    lung = Lung(0.0, 0.0, 5.0, 300.0)
    slices = [Slice(0.1, None, f"{n}", f"{n}", 5.0, None, False, lung, ()) for n in range(3)]
    assert lungs_of(slices) == (lung,)


def seen(x, y, z, *, sure=True, diameter=10.0):
    return Seen(
        centre=Point(x, y, z),
        peaks=(),
        diameter_mm=diameter,
        extent_mm=10.0,
        probability=0.9 if sure else 0.2,
        slices=3,
        alarming=3 if sure else 0,
        confirmed=sure,
        findings=(),
    )


ONE, TWO = UUID(int=1), UUID(int=2)


def test_the_nearest_lesions_are_the_same_one():
    expected = {ONE: Point(0, 0, 0), TWO: Point(20, 0, 0)}
    assert match(expected, [seen(19, 1, 0), seen(1, 0, 1)]) == {ONE: 1, TWO: 0}


def test_what_registration_left_over_is_taken_off():
    """Both moved by 14 mm: by the nearest alone, one would be taken for the other."""
    expected = {ONE: Point(0, 0, 0), TWO: Point(24, 0, 0)}
    assert match(expected, [seen(14, 0, 0), seen(38, 0, 0)]) == {ONE: 0, TWO: 1}


def test_a_shadow_nearby_does_not_take_a_lesions_place():
    assert match({ONE: Point(0, 0, 0)}, [seen(1, 0, 0, sure=False), seen(6, 0, 0)]) == {ONE: 1}
    assert match({ONE: Point(0, 0, 0)}, [seen(10, 0, 0, sure=False)]) == {}
    assert match({ONE: Point(0, 0, 0)}, [seen(0, 0, 16)]) == {}


def test_marks_are_kept_as_the_engine_gave_them():
    (mark,) = slices(series({"a": ((60.0, -20.0, 30.0), 4.0)}))[series({})[12].id].marks
    assert mark == Mark(0.95, 60.0, -20.0, 30.0, 4.0, True)
