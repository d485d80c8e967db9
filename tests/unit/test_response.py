"""What becomes of lesions from study to study: RECIST 1.1 on what is followed."""

from datetime import timedelta

import pytest
from support.folding import LONGITUDINAL, final, kinds, told
from support.records import START, act, candidate, series

from stream.fold import due, fold_finding, fold_tick
from stream.policies import choose
from wire.errors import Reason
from wire.patient import Patient
from wire.records import Alert, Limits, Recommendation, Therapy

A, B, C = (60.0, -20.0, 30.0), (-55.0, 10.0, 35.0), (40.0, 40.0, 25.0)


def visits(*sizes, moved=(5.0, -4.0, 2.0), **more):
    """Fold studies in which lesion a has these diameters; None where it is not there."""
    patient, said = None, []
    for study, size in enumerate(sizes, start=1):
        lesions = {} if size is None else {"a": (A, size)}
        lesions |= {name: place for name, place in more.items() if place[1] is not None}
        events = series(lesions, study=study, shift=moved if study > 1 else (0, 0, 0))
        patient, words = told(events, patient, first_offset=1000 * study)
        said.append(words)
    return patient, said


def rules(said):
    return [words.rule for words in kinds(said, Recommendation) if words.phase == "start"]


def question(said):
    """Return the one question that was asked."""
    (asked,) = [
        w
        for w in kinds(said, Recommendation)
        if w.phase == "start" and w.rule in ("new-lesion", "lesion-gone")
    ]
    return asked


def alarms(said):
    return [(w.cause, w.priority, w.phase) for w in kinds(said, Alert)]


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


def test_a_new_lesion_is_suspected_and_progression_once_signed_off():
    patient, _ = visits(12.0)
    events = series({"a": (A, 12.0), "b": (B, 11.0)}, study=2)
    patient, said = told(events, patient, first_offset=50_000)
    sheet = final(patient, 2)
    assert (sheet.response, sheet.suspected) == ("SD", True)
    assert any("4.3.5" in clause for clause in sheet.clauses)
    assert rules(said) == ["held-back", "new-lesion"]
    assert ("new-lesion", "low", "start") in alarms(said)
    asked = question(said)

    signed, said = told([act("sign-off", asked.id)], patient)
    assert final(signed, 2).response == "PD"
    assert rules(said) == ["progressive-disease"]
    assert [w.sign_off for w in kinds(said, Recommendation) if w.phase == "update"] == [
        "signed-off"
    ]
    assert ("progressive-disease", "medium", "start") in alarms(said)
    assert ("new-lesion", "low", "end") in alarms(said)

    rejected, said = told([act("reject", asked.id, reason="a vessel")], patient)
    assert final(rejected, 2).response == "SD"
    assert not final(rejected, 2).suspected
    assert rules(said) == ["stable-disease"]
    assert rejected.recommendations[asked.id].sign_off == "rejected"
    assert rejected.decisions[asked.id].reason == "a vessel"


def test_a_sign_off_may_come_before_what_it_answers():
    before, _ = visits(12.0)
    events = series({"a": (A, 12.0), "b": (B, 11.0)}, study=2)
    patient, said = told(events, before, first_offset=50_000)
    asked = question(said)
    early, _ = told([act("sign-off", asked.id)], before)
    early, _ = told(events, early, first_offset=50_000)
    late, _ = told([act("sign-off", asked.id)], patient)
    assert final(early, 2) == final(late, 2)
    assert final(early, 2).response == "PD"


def test_a_large_lesion_that_is_not_seen_is_asked_for_and_gone_once_signed_off():
    patient, said = visits(14.0, None)
    sheet = final(patient, 2)
    assert (sheet.response, sheet.suspected, sheet.sum_mm) == ("NE", True, None)
    assert rules(said[1]) == ["held-back", "lesion-gone"]
    asked = question(said[1])
    signed, said = told([act("sign-off", asked.id)], patient)
    assert final(signed, 2).response == "CR"
    assert rules(said) == ["response"]
    rejected, said = told([act("reject", asked.id, reason="it is there")], patient)
    assert final(rejected, 2).response == "NE"
    assert rules(said) == ["not-evaluable"]


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


def test_a_patients_own_limits():
    patient, _ = visits(12.0, 12.0)
    limits = Limits(sum_mm=12.0, least_diameter_mm=20.0)
    patient, said = told([act("therapy", therapy=Therapy(limits=Limits(sum_mm=12.0)))], patient)
    assert [(w.cause, w.priority) for w in kinds(said, Alert)] == [("limit-exceeded", "medium")]
    quiet = told([act("therapy", therapy=Therapy(limits=limits))], None)[0]
    quiet, said = told(series({"a": (A, 8.0)}), quiet, first_offset=10)
    assert kinds(said, Alert) == []


def test_an_alarm_of_an_older_study_is_latched_until_acknowledged():
    patient, said = visits(12.0, 12.5)
    ((alarm, state),) = patient.alarms.items()
    assert (state.cause, state.state) == ("lesion-found", "latched")
    patient, said = told([act("acknowledge", alarm)], patient)
    assert alarms(said) == [("lesion-found", "low", "end")]
    assert patient.alarms[alarm].state == "inactive"


def test_an_alarm_is_silenced_for_a_while_and_comes_back():
    patient, _ = visits(12.0)
    (alarm,) = patient.alarms
    patient, said = told([act("silence", alarm)], patient)
    (paused,) = kinds(said, Alert)
    assert (paused.phase, paused.inactivation) == ("update", "audio-paused")
    assert paused.paused_until == START + timedelta(seconds=120)
    patient, said = fold_tick(patient, START + timedelta(seconds=121), LONGITUDINAL)
    (back,) = kinds(said, Alert)
    assert (back.phase, back.inactivation) == ("update", "none")
    assert back.id != paused.id


def test_an_alarm_that_nobody_attends_to_is_raised_once():
    patient, _ = visits(12.0)
    (alarm,) = patient.alarms
    later = START + timedelta(hours=4)
    raised, said = fold_tick(patient, later, LONGITUDINAL)
    assert alarms(said) == [("lesion-found", "medium", "escalate")]
    assert fold_tick(raised, later + timedelta(days=1), LONGITUDINAL) == (raised, [])
    attended, _ = told([act("acknowledge", alarm)], patient)
    assert fold_tick(attended, later, LONGITUDINAL) == (attended, [])


def test_a_series_that_cannot_be_scored_is_a_technical_alarm():
    events = series({"a": (A, 12.0)})
    unfit = {"status": "not-scored", "lesion_probability": None, "lesions": (), "detail": "thick"}
    broken = [f.model_copy(update=unfit | {"reason": Reason.QUALITY}) for f in events[:5]]
    empty = [f.model_copy(update=unfit | {"reason": Reason.NO_LUNGS}) for f in events[5:10]]
    _, said = told([*broken[:4], *empty, *events[10:]])
    assert {alert.category for alert in kinds(said, Alert)} == {"clinical"}
    _, said = told([*broken, *empty, *events[10:]])
    (alert,) = [w for w in kinds(said, Alert) if w.category == "technical"]
    assert (alert.cause, alert.priority) == ("slices-not-scored", "low")
    assert "5 of 24 slices, most often: quality" in alert.text
    assert "slices-not-scored" not in rules(said)


def localizer(study, images=2):
    """Return findings of images that are no slices."""
    unfit = {"status": "not-scored", "lesion_probability": None, "reason": Reason.QUALITY}
    return [
        f.model_copy(
            update=unfit
            | {"series_instance_uid": f"1.{study}-loc", "id": f.frame_id, "lesions": ()}
        )
        for f in series({}, study=study, images=images)
    ]


def test_a_localizer_is_no_study_to_compare_with():
    patient, _ = visits(12.0)
    patient, said = told(localizer(2), patient, first_offset=40_000)
    assert rules(said) == ["not-evaluable"], "nothing else of this study is there yet"
    patient, said = told(series({"a": (A, 18.0)}, study=2), patient, first_offset=50_000)
    assert final(patient, 2).response == "PD"
    assert "progressive-disease" in rules(said)
    standing = {r.rule for r in patient.recommendations.values() if not r.withdrawn}
    assert standing == {"lesion-found", "progressive-disease"}


def test_a_lesion_in_a_later_study_is_told_before_the_study_is_complete():
    patient, _ = visits(None)
    patient, said = told(series({"a": (A, 12.0)}, study=2)[:14], patient, first_offset=50_000)
    assert alarms(said) == [("lesion-found", "low", "start")]


def test_progression_of_one_target_is_seen_though_another_is_not():
    patient, _ = visits(12.0, b=(B, 12.0))
    patient, said = told(series({"a": (A, 40.0)}, study=2), patient, first_offset=50_000)
    assert final(patient, 2).response == "PD"
    assert ("progressive-disease", "medium", "start") in alarms(said)


def test_a_question_may_be_answered_in_any_study():
    """In study 2 the new lesion is too small to judge: it is asked for in study 3."""
    patient, _ = visits(12.0)
    patient, said = told(
        series({"a": (A, 12.0), "b": (B, 5.5)}, study=2), patient, first_offset=50_000
    )
    assert "new-lesion" not in rules(said)
    patient, said = told(
        series({"a": (A, 12.0), "b": (B, 14.0)}, study=3), patient, first_offset=60_000
    )
    signed, _ = told([act("sign-off", question(said).id)], patient)
    assert final(signed, 3).response == "PD"


def test_each_new_lesion_is_a_question_of_its_own():
    patient, _ = visits(12.0)
    events = series({"a": (A, 12.0), "b": (B, 11.0), "c": (C, 9.0)}, study=2)
    patient, said = told(events, patient, first_offset=50_000)
    asked = [w for w in kinds(said, Recommendation) if w.rule == "new-lesion"]
    assert len(asked) == 2
    assert [a for a in alarms(said) if a[0] == "new-lesion"] == 2 * [("new-lesion", "low", "start")]
    patient, said = told([act("reject", asked[0].id, reason="a vessel")], patient)
    assert final(patient, 2).suspected
    assert alarms(said) == [("new-lesion", "low", "end")], "the other one is still asked for"
    patient, said = told([act("sign-off", asked[1].id)], patient, first_offset=1)
    assert final(patient, 2).response == "PD"
    assert ("new-lesion", "low", "end") in alarms(said)


def test_a_rejected_lesion_that_grows_is_asked_for_again():
    patient, _ = visits(12.0)
    patient, said = told(
        series({"a": (A, 12.0), "b": (B, 7.0)}, study=2), patient, first_offset=50_000
    )
    patient, _ = told([act("reject", question(said).id, reason="a vessel")], patient)
    patient, said = told(
        series({"a": (A, 12.0), "b": (B, 7.5)}, study=3), patient, first_offset=60_000
    )
    assert "new-lesion" not in rules(said)
    patient, said = told(
        series({"a": (A, 12.0), "b": (B, 30.0)}, study=4), patient, first_offset=70_000
    )
    assert "new-lesion" in rules(said)
    assert "new-lesion" in {cause for cause, _, _ in alarms(said)}


def test_a_thinner_series_of_the_same_study_keeps_what_was_signed_off():
    patient, _ = visits(12.0)
    thick = series({"a": (A, 12.0), "b": (B, 14.0)}, study=2)
    patient, said = told(thick, patient, first_offset=50_000)
    patient, _ = told([act("sign-off", question(said).id)], patient)
    assert final(patient, 2).response == "PD"
    more = series({"a": (A, 12.0), "b": (B, 14.0)}, study=2, images=30)
    thin = [f.model_copy(update={"series_instance_uid": "1.2thin", "id": f.frame_id}) for f in more]
    patient, _ = told(thin, patient, first_offset=60_000)
    sheets = [patient.series[uid].assessment for uid in ("1.2", "1.2thin")]
    assert [sheet.response for sheet in sheets] == ["PD", "PD"]
    assert not sheets[1].suspected


def test_an_image_of_another_modality_makes_no_answer_old():
    patient, _ = visits(12.0)
    xray = [
        f.model_copy(update={"modality": "DX", "series_instance_uid": "7", "id": f.frame_id})
        for f in localizer(3, images=1)
    ]
    events = series({"a": (A, 24.0)}, study=2)
    patient, said = told([*events[:12], *xray, *events[12:]], patient, first_offset=50_000)
    assert ("progressive-disease", "medium", "start") in alarms(said)
    assert {a.state for a in patient.alarms.values() if a.cause == "progressive-disease"} == {
        "active"
    }


def test_a_wrong_clock_hides_no_alarm():
    far = series({"a": (A, 12.0)}, study=9, weeks=5000)
    patient, _ = told(far)
    patient, said = told(series({"a": (A, 12.0)}, study=1), patient, first_offset=1000)
    patient, said = told(series({"a": (A, 24.0)}, study=2), patient, first_offset=2000)
    assert ("progressive-disease", "medium", "start") in alarms(said)


def test_thin_slices_with_gaps_between_them_confirm_a_lesion():
    """1 mm slices every 10 mm: the device says how thin they are, not how far apart."""
    found = []
    for number, f in enumerate(series({}, images=12)):
        z = number * 10.0
        plane = f.plane.model_copy(update={"location_mm": z, "pitch_mm": 1.0})
        there = (candidate(0.95, 60.0, 0.0, z, 30.0),) if 4 <= number <= 6 else ()
        p = 0.95 if there else 0.05
        found.append(
            f.model_copy(update={"plane": plane, "lesions": there, "lesion_probability": p})
        )
    patient, said = told(found)
    assert alarms(said) == [("lesion-found", "low", "start")]
    assert final(patient, 1).missing == 0


def test_suspicious_frames_without_any_place_alarm():
    nowhere = {"instance_number": None, "lesion_probability": 0.95}
    events = [
        f.model_copy(update=nowhere | {"plane": f.plane.model_copy(update={"location_mm": None})})
        for f in series({}, images=4)
    ]
    _, said = told(events)
    assert alarms(said) == [("suspicious-frames", "low", "start")]


def test_a_lesion_beyond_the_targets_that_grows_as_progression_does_is_told():
    patient, _ = visits(20.0, b=(B, 18.0), c=(C, 16.0))
    events = series({"a": (A, 20.0), "b": (B, 18.0), "c": (C, 40.0)}, study=2)
    patient, said = told(events, patient, first_offset=50_000)
    assert final(patient, 2).response == "SD"
    assert "growing-lesion" in rules(said)
    assert any("a clinician's to say" in clause for clause in final(patient, 2).clauses)


def test_another_version_of_the_policy_keeps_what_was_signed_off():
    patient, _ = visits(12.0)
    events = series({"a": (A, 12.0), "b": (B, 14.0)}, study=2)
    patient, said = told(events, patient, first_offset=50_000)
    patient, _ = told([act("sign-off", question(said).id)], patient)
    other = choose("longitudinal", {"silence_s": 60})
    late = series({}, study=2)[3]
    twin = late.model_copy(update={"id": late.frame_id, "sop_instance_uid": "1.2.twin"})
    patient, _ = told([twin], patient, first_offset=60_000, policy=other)
    assert patient.series["1.2"].assessment.response == "PD"


def test_frames_that_waited_long_to_be_scored_close_no_series():
    events = [
        f.model_copy(update={"plane": f.plane.model_copy(update={"images": None})})
        for f in series({"a": (A, 12.0)})
    ]
    now = START + timedelta(hours=1)
    patient = Patient(patient_id="p-1")
    for offset, event in enumerate(events[:10]):
        patient, _ = fold_finding(patient, event, offset, LONGITUDINAL, now)
    assert not due(patient, now + timedelta(seconds=29), LONGITUDINAL)
    assert due(patient, now + timedelta(seconds=30), LONGITUDINAL)


def test_limits_stay_until_they_are_set_anew_and_silences_end():
    first = act("therapy", number=1, therapy=Therapy(limits=Limits(sum_mm=20.0)))
    second = act("therapy", number=2, therapy=Therapy(plan="another"))
    patient, _ = told([first, second])
    patient, said = told(series({"a": (A, 21.0)}), patient, first_offset=10)
    assert ("limit-exceeded", "medium", "start") in alarms(said)
    alarm = next(iter(patient.alarms))
    patient, said = told(
        [act("silence", alarm, until=START + timedelta(days=365))], patient, first_offset=5
    )
    assert kinds(said, Alert)[0].paused_until == START + timedelta(minutes=30)


def test_a_lesion_of_eight_millimetres_that_is_not_seen_is_asked_for():
    patient, said = visits(12.0, 9.9, None)
    assert final(patient, 3).response == "NE"
    assert "lesion-gone" in rules(said[2])


def test_a_shadow_beside_a_lesion_does_not_measure_it():
    patient, _ = visits(12.0)
    events = series({"a": (A, 12.0)}, study=2)
    wide = candidate(0.15, A[0], A[1], A[2], 30.0)
    events[12] = events[12].model_copy(update={"lesions": (*events[12].lesions, wide)})
    patient, _ = told(events, patient, first_offset=50_000)
    assert final(patient, 2).sum_mm == 12.0


def test_one_slice_with_a_strange_spacing_makes_no_neighbours():
    events = series({})
    for number in (3, 20):
        mark = candidate(0.95, 10.0, 10.0, number * 2.5, 9.0)
        events[number] = events[number].model_copy(
            update={"lesions": (mark,), "lesion_probability": 0.95}
        )
    plane = events[0].plane.model_copy(update={"pitch_mm": 60.0})
    events[0] = events[0].model_copy(update={"plane": plane})
    _, said = told(events)
    assert kinds(said, Alert) == []


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


def test_a_late_slice_does_not_take_a_signed_off_progression_back():
    """It brings the lesion's most probable mark: the lesion gets another id."""
    patient, _ = visits(12.0)
    events = [
        f.model_copy(update={"plane": f.plane.model_copy(update={"images": None})})
        for f in series({"a": (A, 12.0), "b": (B, 14.0)}, study=2)
    ]
    best = 14
    patient, _ = told(events[:best] + events[best + 1 :], patient, first_offset=50_000)
    later = START + timedelta(weeks=6, minutes=1)
    patient, said = fold_tick(patient, later, LONGITUDINAL)
    patient, _ = told([act("sign-off", question(said).id)], patient)
    assert final(patient, 2).response == "PD"
    lesions = tuple(
        lesion.model_copy(update={"probability": 0.999}) for lesion in events[best].lesions
    )
    late = events[best].model_copy(update={"lesions": lesions, "lesion_probability": 0.999})
    patient, _ = told([late], patient, first_offset=60_000)
    assert final(patient, 2).response == "PD"
    assert not final(patient, 2).suspected


def test_a_series_that_the_clock_closes_alarms_though_a_wrong_clock_is_newer():
    patient, _ = visits(12.0)
    patient, _ = told(series({"a": (A, 12.0)}, study=9, weeks=5000), patient, first_offset=20_000)
    events = [
        f.model_copy(update={"plane": f.plane.model_copy(update={"images": None})})
        for f in series({"a": (A, 24.0)}, study=2)
    ]
    patient, _ = told(events, patient, first_offset=50_000)
    patient, said = fold_tick(patient, START + timedelta(weeks=6, minutes=1), LONGITUDINAL)
    assert ("progressive-disease", "medium", "start") in alarms(said)


def test_slices_that_never_came_are_a_technical_alarm():
    patient, _ = told(series({}, images=24)[:12])
    _, said = fold_tick(patient, START + timedelta(minutes=5), LONGITUDINAL)
    (alert,) = kinds(said, Alert)
    assert (alert.category, alert.cause) == ("technical", "slices-not-scored")
    assert "12 of 24 slices, most often: missing" in alert.text
