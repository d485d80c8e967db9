"""The simulated scanner's patients, by the shipped engine: their courses end as they must."""

import pytest

from benchmarks.over_time import NEAR_MM, NEAR_SHARE, follow
from lesionstream import catalogue
from producers.scanner.course import Course, patients

pytestmark = [pytest.mark.timeout(400)]

SLICES = 12


@pytest.fixture(scope="module")
def engine():
    return catalogue.load("lesion")


@pytest.fixture(scope="module")
def followed(engine):
    """One patient of each course with lesions, three studies each."""
    ill = list(patients(3, studies=3, slices=SLICES, seed=5))
    assert Course.NONE not in {person.course for person in ill}
    return follow(ill, SLICES, engine)


def answers(followed, course):
    """Return the rules that stand for the last study of a course."""
    last = [v for v in followed.visits if v.course is course][-1]
    series = last.truth["SeriesInstanceUID"]
    (verdict,) = [v for v in followed.verdicts if v.series_instance_uid == series]
    return last.assessment.response, verdict.answers, verdict.worst


def test_growing_ends_as_progression(followed):
    assert answers(followed, Course.GROWING) == ("PD", ("progressive-disease",), "medium")


def test_shrinking_ends_as_response(followed):
    assert answers(followed, Course.SHRINKING) == ("PR", ("response",), None)


def test_stable_ends_as_stable_disease(followed):
    assert answers(followed, Course.STABLE) == ("SD", ("stable-disease",), None)


def test_lesions_keep_their_ids_through_the_studies(followed):
    for course in (Course.GROWING, Course.SHRINKING, Course.STABLE):
        visits = [v.assessment for v in followed.visits if v.course is course]
        targets = [{i.id for i in a.lesions if i.role == "target"} for a in visits]
        assert targets[0]
        assert targets[0] == targets[1] == targets[2]


def test_diameters_are_those_of_the_truth(followed):
    sizes = [size for visit in followed.visits for size in visit.sizes]
    assert sum(measured is not None for _, _, measured in sizes) >= 0.9 * len(sizes)
    assert followed.wrong_sizes() == [], f"beyond {NEAR_MM} mm and {NEAR_SHARE:.0%}"


def test_who_has_no_lesion_is_alarmed_of_by_nothing_above_low(engine):
    *_, well = patients(4, studies=1, slices=SLICES, seed=5)
    assert well.course is Course.NONE
    worst = {verdict.worst for verdict in follow([well], SLICES, engine).verdicts}
    assert worst <= {None, "low"}


@pytest.mark.soak
def test_ten_series_without_a_lesion(engine):
    people = [p for p in patients(40, studies=1, slices=24, seed=1) if p.course is Course.NONE]
    assert len(people) == 10
    worst = {verdict.worst for verdict in follow(people, 24, engine).verdicts}
    assert worst <= {None, "low"}
