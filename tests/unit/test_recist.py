"""RECIST 1.1 by table, and on every patient of five real trials against another's reading of it."""

import csv
from pathlib import Path

import pytest
from support import independent_recist

from stream import growth, recist


@pytest.mark.parametrize(
    ("baseline", "earlier", "now", "answer"),
    [
        (50.0, [], 60.0, "PD"),
        (50.0, [], 59.9, "SD"),
        (20.0, [], 24.9, "SD"),  # 24.5 %, but less than 5 mm
        (25.0, [], 30.0, "PD"),  # exactly 20 % and 5 mm
        (12.0, [], 17.0, "PD"),
        (10.0, [], 7.0, "PR"),  # exactly 30 %
        (10.1, [], 7.08, "SD"),
        (50.0, [20.0], 25.0, "PD"),  # over the nadir, still half of the baseline
        (50.0, [20.0], 24.9, "PR"),
        (50.0, [0.0], 4.0, "PD"),  # back after it was gone
    ],
)
def test_the_sum_of_targets(baseline, earlier, now, answer):
    assert recist.target_response(baseline, earlier, [now])[0] == answer


def test_a_target_that_was_not_evaluated_hides_no_progression():
    assert recist.target_response(24.0, [], [12.0, None])[0] == "NE"
    assert recist.target_response(24.0, [], [5.0, None])[0] == "NE"
    assert recist.target_response(24.0, [], [40.0, None])[0] == "PD"


def test_gone_is_a_complete_response():
    answer, clause = recist.target_response(50.0, [20.0], [0.0, 0.0])
    assert answer == "CR"
    assert clause.startswith("4.3.1")


@pytest.mark.parametrize(
    ("target", "non_target", "new", "answer"),
    [  # table 1
        ("CR", "CR", False, "CR"),
        ("CR", "none", False, "CR"),
        ("CR", "non-CR/non-PD", False, "PR"),
        ("CR", "NE", False, "PR"),
        ("PR", "non-CR/non-PD", False, "PR"),
        ("PR", "NE", False, "PR"),
        ("SD", "NE", False, "SD"),
        ("NE", "non-CR/non-PD", False, "NE"),
        ("PD", "CR", False, "PD"),
        ("NE", "PD", False, "PD"),
        ("CR", "PD", False, "PD"),
        ("CR", "CR", True, "PD"),
        # table 2
        ("none", "CR", False, "CR"),
        ("none", "non-CR/non-PD", False, "non-CR/non-PD"),
        ("none", "NE", False, "NE"),
        ("none", "PD", False, "PD"),
        ("none", "none", True, "PD"),
    ],
)
def test_the_overall_response(target, non_target, new, answer):
    assert recist.overall(target, non_target, new=new)[0] == answer


def test_every_combination_has_an_answer():
    for target in ("CR", "PR", "SD", "PD", "NE", "none"):
        for non_target in ("CR", "non-CR/non-PD", "PD", "NE", "none"):
            for new in (False, True):
                recist.overall(target, non_target, new=new)


def test_targets_are_the_two_largest_measurable_lesions_of_an_organ():
    assert recist.choose_targets([9.9, 12.0, 30.0, 10.0]) == (2, 1)
    assert recist.choose_targets([9.9]) == ()


def test_growth_of_what_was_not_measurable():
    assert recist.grew_unequivocally(8.0, 13.0)
    assert not recist.grew_unequivocally(8.0, 12.9)
    assert not recist.grew_unequivocally(4.0, 9.9)


def test_doubling_time():
    assert growth.doubling_time_days(10.0, 20.0, 90) == pytest.approx(30.0)  # eight times as large
    assert growth.doubling_time_days(20.0, 10.0, 90) == pytest.approx(-30.0)
    assert growth.doubling_time_days(10.0, 11.0, 90) is None, "within the uncertainty"
    assert growth.doubling_time_days(0.0, 11.0, 90) is None


def ours(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Return our category of each visit after the baseline."""
    patients: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            reading = (int(row["T_days"]), float(row["Lesion_diam"]))
            patients.setdefault(row["Pt_hashID"], []).append(reading)
    return {name: _categories(sorted(r, key=lambda x: x[0])) for name, r in patients.items()}


def _categories(readings: list[tuple[int, float]]) -> list[tuple[int, str]]:
    before = [n for n, (day, _) in enumerate(readings) if day <= 0]
    if not before:
        return [(n, "no comparison yet") for n in range(len(readings))]
    base = before[-1]
    sizes = [size for _, size in readings]
    answers: list[tuple[int, str]] = []
    for n in range(base + 1, len(sizes)):
        target: recist.Target = "none"
        if recist.choose_targets([sizes[base]]):
            target, _ = recist.target_response(sizes[base], sizes[base + 1 : n], [sizes[n]])
        answers.append((n, recist.overall(target, "none", new=False)[0]))
    return answers


@pytest.fixture(scope="module")
def trials(data):
    return data / "response" / "tumour_trials.csv"


def test_every_visit_of_five_trials_as_an_independent_reading_has_it(trials):
    theirs, mine = independent_recist.categories(trials), ours(trials)
    assert len(mine) == 1157
    assert sum(len(visits) for visits in mine.values()) > 5000
    assert mine == theirs


def test_each_difference_to_the_rule_of_thumb_has_its_clause(trials):
    """PR at -30 %, PD at +20 % and 5 mm, without CR: what RECIST 1.1 says otherwise, and why."""
    thumb, mine = independent_recist.naive(trials, pd_first=True), ours(trials)
    different = {
        (b, a)
        for name in mine
        for (_, a), (_, b) in zip(mine[name], thumb[name], strict=True)
        if a != b
    }
    assert different == {("PR", "CR")}, "4.3.1: a target that is gone is a complete response"
