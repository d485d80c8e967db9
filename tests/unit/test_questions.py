"""What the policy asks people: asked once, and the answer counts from then on."""

from datetime import timedelta

from support.folding import LONGITUDINAL, final, kinds, told
from support.records import START, act, series
from support.visits import A, B, C, alarms, question, rules, visits

from stream.fold import fold_tick
from stream.policies import choose
from wire.records import Recommendation


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


def test_a_lesion_of_eight_millimetres_that_is_not_seen_is_asked_for():
    patient, said = visits(12.0, 9.9, None)
    assert final(patient, 3).response == "NE"
    assert "lesion-gone" in rules(said[2])


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
