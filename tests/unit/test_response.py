"""What becomes of lesions from study to study: RECIST 1.1 on what is followed."""

from datetime import timedelta

import pytest
from support.folding import final, kinds, told
from support.records import START, act, candidate, series
from support.visits import A, B, C, alarms, localizer, rules, visits

from wire.records import Alert, Recommendation, Therapy


def test_the_first_study_is_the_baseline_and_compares_with_nothing():
    patient, said = visits(12.0)
    sheet = final(patient, 1)
    assert sheet.response == "no comparison yet"
    assert sheet.sum_mm == sheet.baseline_sum_mm == 12.0
    assert rules(said[0]) == ["lesion-found"]
    assert alarms(said[0]) == [("lesion-found", "low", "start")]


def test_growing_ends_as_progression_and_intensify():
    patient, said = visits(12.0, 15.0, 19.0)
    assert [final(patient, n).response for n in (2, 3)] == ["SD", "PD"]
    assert final(patient, 2).trend == "growing"
    (lesion,) = final(patient, 3).lesions
    assert lesion.id == final(patient, 1).lesions[0].id
    assert lesion.label == "L1"
    assert (lesion.role, lesion.baseline_mm, lesion.nadir_mm) == ("target", 12.0, 12.0)
    assert lesion.doubling_time_days == pytest.approx(42 / 3 / 0.341, rel=0.01)
    assert rules(said[1]) == ["growing-lesion"]
    assert rules(said[2]) == ["progressive-disease"]
    (answer,) = [w for w in kinds(said[2], Recommendation) if w.phase == "start"]
    assert (answer.action, answer.sign_off) == ("intensify", "needs-sign-off")
    assert "19.0 mm" in answer.rationale
    assert "4.3.1" in answer.rationale
    assert ("progressive-disease", "medium", "start") in alarms(said[2])


def test_shrinking_ends_as_response_and_maintain_or_reduce():
    patient, said = visits(20.0, 15.0, 9.0)
    assert [final(patient, n).response for n in (2, 3)] == ["SD", "PR"]
    (answer,) = [w for w in kinds(said[2], Recommendation) if w.phase == "start"]
    assert (answer.rule, answer.action) == ("response", "maintain-or-reduce")
    assert kinds(said[2], Alert) == []


def test_progression_counts_from_the_nadir():
    patient, _ = visits(30.0, 14.0, 20.0)
    assert final(patient, 3).response == "PD"
    assert final(patient, 3).nadir_sum_mm == 14.0
    assert final(patient, 3).change_percent == pytest.approx(-33.3)


def test_a_small_lesion_that_is_not_seen_is_too_small_to_measure():
    patient, _ = visits(12.0, 7.5, None)
    (lesion,) = final(patient, 3).lesions
    assert (lesion.seen, lesion.diameter_mm) == (False, 5.0)
    assert final(patient, 3).response == "PR"
    assert any(clause.startswith("4.3.2") for clause in final(patient, 3).clauses)


def test_a_lesion_outside_the_slices_was_not_evaluated():
    patient, _ = visits(12.0)
    low = series({}, study=2)[:8]
    low = [f.model_copy(update={"plane": f.plane.model_copy(update={"images": 8})}) for f in low]
    patient, _ = told(low, patient, first_offset=50_000)
    assert final(patient, 2).response == "NE"
    assert any("outside the slices" in clause for clause in final(patient, 2).clauses)


def test_disease_that_was_never_measurable_progresses_by_4_3_4():
    patient, _ = visits(9.0, 12.0, 15.0)
    assert [final(patient, n).response for n in (2, 3)] == ["non-CR/non-PD", "PD"]
    assert any(clause.startswith("4.3.4") for clause in final(patient, 3).clauses)


def test_at_most_two_lesions_of_the_lungs_are_targets():
    patient, _ = visits(20.0, b=(B, 18.0), c=(C, 16.0))
    roles = {lesion.diameter_mm: lesion.role for lesion in final(patient, 1).lesions}
    assert roles == {20.0: "target", 18.0: "target", 16.0: "non-target"}
    assert final(patient, 1).sum_mm == 38.0


def test_small_lesions_are_shown_and_not_judged():
    patient, said = visits(5.0, 5.0)
    (lesion,) = final(patient, 2).lesions
    assert lesion.role == "minor"
    assert final(patient, 2).response == "no comparison yet"
    assert kinds(said[0] + said[1], Alert) == []


def test_two_series_of_one_study_are_not_compared_with_one_another():
    patient, _ = visits(12.0)
    other = [
        f.model_copy(update={"series_instance_uid": "1.1b", "id": f.frame_id})
        for f in series({"a": (A, 18.0)})
    ]
    patient, said = told(other, patient, first_offset=50_000)
    assert patient.series["1.1b"].assessment.response == "no comparison yet"
    assert kinds(said, Alert) == [], "the cool-down: one study is one event"
    assert rules(said) == ["lesion-found"]


def test_studies_that_come_in_any_order_end_the_same():
    studies = [series({"a": (A, size)}, study=n) for n, size in ((1, 12.0), (2, 15.0), (3, 19.0))]
    one = told([f for study in studies for f in study])[0]
    other = told([f for study in reversed(studies) for f in study])[0]
    for number in (1, 2, 3):
        assert final(one, number) == final(other, number)
    withdrawn = {r.rule for r in other.recommendations.values() if r.withdrawn}
    assert withdrawn <= {"lesion-found", "growing-lesion"}


def test_the_baseline_is_the_last_study_before_the_therapy():
    patient, _ = visits(30.0, 20.0, 25.0)
    assert final(patient, 3).baseline_series == "1.1"
    start = START + timedelta(weeks=7)
    therapy = act("therapy", therapy=Therapy(plan="carboplatin", start=start))
    patient, _ = told([therapy], patient)
    assert final(patient, 2).response == "PR", "what was said before the therapy stays"
    assert final(patient, 3).baseline_series == "1.2"
    assert final(patient, 3).response == "PD"


def test_a_therapy_that_started_before_the_first_study_has_no_baseline():
    patient, _ = visits(20.0, 20.0, 30.0)
    therapy = act("therapy", therapy=Therapy(plan="x", start=START - timedelta(weeks=7)))
    patient, _ = told([therapy], patient)
    assert final(patient, 2).response == "no comparison yet"
    assert final(patient, 3).response == "PD", "growth shows without a baseline"


def test_a_localizer_is_no_study_to_compare_with():
    patient, _ = visits(12.0)
    patient, said = told(localizer(2), patient, first_offset=40_000)
    assert rules(said) == ["not-evaluable"], "nothing else of this study is there yet"
    patient, said = told(series({"a": (A, 18.0)}, study=2), patient, first_offset=50_000)
    assert final(patient, 2).response == "PD"
    assert "progressive-disease" in rules(said)
    standing = {r.rule for r in patient.recommendations.values() if not r.withdrawn}
    assert standing == {"lesion-found", "progressive-disease"}


def test_progression_of_one_target_is_seen_though_another_is_not():
    patient, _ = visits(12.0, b=(B, 12.0))
    patient, said = told(series({"a": (A, 40.0)}, study=2), patient, first_offset=50_000)
    assert final(patient, 2).response == "PD"
    assert ("progressive-disease", "medium", "start") in alarms(said)


def test_a_lesion_beyond_the_targets_that_grows_as_progression_does_is_told():
    patient, _ = visits(20.0, b=(B, 18.0), c=(C, 16.0))
    events = series({"a": (A, 20.0), "b": (B, 18.0), "c": (C, 40.0)}, study=2)
    patient, said = told(events, patient, first_offset=50_000)
    assert final(patient, 2).response == "SD"
    assert "growing-lesion" in rules(said)
    assert any("a clinician's to say" in clause for clause in final(patient, 2).clauses)


def test_a_shadow_beside_a_lesion_does_not_measure_it():
    patient, _ = visits(12.0)
    events = series({"a": (A, 12.0)}, study=2)
    wide = candidate(0.15, A[0], A[1], A[2], 30.0)
    events[12] = events[12].model_copy(update={"lesions": (*events[12].lesions, wide)})
    patient, _ = told(events, patient, first_offset=50_000)
    assert final(patient, 2).sum_mm == 12.0


def test_tables_that_moved_are_known_after_the_slices_are_let_go(monkeypatch):
    monkeypatch.setattr("stream.facts.MOST_SERIES_WHOLE", 1)
    patient = None
    for study in range(1, 5):
        x = 0.0 if study == 1 else 40.0
        moved = [
            f.model_copy(
                update={
                    "plane": f.plane.model_copy(
                        update={"lung_centre_mm": (x, 0.0, f.plane.location_mm)}
                    )
                }
            )
            for f in series({"a": (A, 12.0)}, study=study, shift=(x, 0.0, 0.0))
        ]
        patient, _ = told(moved, patient, first_offset=1000 * study)
    assert final(patient, 4).response == "SD"
    assert [lesion.label for lesion in final(patient, 4).lesions] == ["L1"]
