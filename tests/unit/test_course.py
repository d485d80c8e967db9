"""The course of a lesion: what a forecast sees of it, and nothing that comes later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.course import FEATURES, Course, baseline_of, features, progression_mm, since_baseline
from stream.recist import target_response

COURSE = Course(np.array([-20.0, -2.0, 40.0, 84.0]), np.array([30.0, 33.0, 20.0, 26.0]), "A")


def named(course, next_day=126.0):
    return dict(zip(FEATURES, features(course, next_day).tolist(), strict=True))


def test_the_baseline_is_the_last_reading_before_treatment():
    assert baseline_of(COURSE.days) == 1
    assert since_baseline(COURSE).tolist() == [33.0, 20.0, 26.0]
    assert baseline_of(np.array([5.0, 40.0])) == 0
    assert since_baseline(COURSE.until(0)).tolist() == [30.0]


def test_features_say_what_they_are_called():
    seen = named(COURSE)
    assert seen["log diameter"] == pytest.approx(np.log(27.0))
    assert seen["log days to the next visit"] == pytest.approx(np.log(43.0))
    assert seen["log nadir"] == pytest.approx(np.log(21.0))
    assert seen["mm above the nadir"] == 6.0
    assert seen["log growth to progression"] == pytest.approx(np.log(28 / 29))
    assert seen["mm since the last visit"] == 6.0
    assert seen["mm at the visit before"] == -13.0
    assert seen["days since the least diameter"] == 44.0
    assert (seen["only one visit"], seen["only two visits"]) == (0.0, 0.0)
    first = named(COURSE.until(0), -2.0)
    assert (first["only one visit"], first["mm since the last visit"]) == (1.0, 0.0)


readings = st.lists(
    st.tuples(st.integers(-60, 900), st.integers(0, 300)), min_size=1, max_size=16
).map(sorted)


@given(readings, st.integers(0, 400))
def test_features_are_finite_whatever_was_read(rows, wait):
    days, mm = (np.asarray(column, dtype=np.float64) for column in zip(*rows, strict=True))
    seen = features(Course(days, mm), days[-1] + wait)
    assert seen.shape == (len(FEATURES),)
    assert np.isfinite(seen).all()


@given(readings, st.integers(0, 15))
def test_nothing_later_is_seen(rows, visit):
    days, mm = (np.asarray(column, dtype=np.float64) for column in zip(*rows, strict=True))
    visit = min(visit, len(days) - 1)
    other = mm.copy()
    other[visit + 1 :] = 7.0
    one, two = (features(Course(days, m).until(visit), days[visit] + 40) for m in (mm, other))
    assert np.array_equal(one, two)


@given(st.integers(1, 3000).map(lambda tenths: tenths / 10), st.integers(0, 100))
def test_progression_begins_where_the_stream_says(nadir, tenths):
    now = round(progression_mm(nadir) - 2 + tenths / 20, 2)
    wanted = target_response(400.0, [nadir], [now])[0] == "PD"
    assert (now >= progression_mm(nadir) - 1e-9) == wanted
