"""When an alarm is raised, and what becomes of it."""

from datetime import timedelta

from support.folding import LONGITUDINAL, final, kinds, told
from support.records import START, act, candidate, series
from support.visits import A, alarms, localizer, rules, visits

from stream.fold import fold_tick
from wire.errors import Reason
from wire.records import Alert, Limits, Therapy


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


def test_a_lesion_in_a_later_study_is_told_before_the_study_is_complete():
    patient, _ = visits(None)
    patient, said = told(series({"a": (A, 12.0)}, study=2)[:14], patient, first_offset=50_000)
    assert alarms(said) == [("lesion-found", "low", "start")]


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
