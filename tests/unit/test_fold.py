"""The patient's state depends on the set of findings and actions, and on nothing else."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.folding import LONGITUDINAL, THRESHOLD, facts, final, kinds, told
from support.records import START, acknowledgement, act, candidate, finding, series
from support.visits import A

from stream import facts as kept
from stream.fold import due, fold_finding, fold_tick
from stream.inbox import Unfoldable, foldable
from stream.policies import choose
from wire.assessment import Assessment
from wire.patient import Patient
from wire.records import Alert, Recommendation

probabilities = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.49, 0.5, 0.51, 0.8]))
policies = st.sampled_from([LONGITUDINAL, THRESHOLD, choose("threshold", {"window_s": 3})])


@st.composite
def findings(draw, images=8):
    """A whole series: some frames not scored, some with candidates here and there."""
    found = []
    for number in range(images):
        p = draw(probabilities)
        places = st.tuples(st.sampled_from([0.0, 3.0, 40.0]), st.floats(3.0, 30.0))
        lesions = [
            candidate(draw(st.floats(0.01, 1)), x, 5.0, number * 2.5, d)
            for x, d in draw(st.lists(places, max_size=2))
        ]
        found.append(finding(p, number=number, images=images, lesions=tuple(lesions) if p else ()))
    return found


@st.composite
def histories(draw):
    """A series, and actions about what may come of it."""
    events = draw(findings())
    policy = draw(policies)
    state = told(events, policy=policy)[0]
    about = st.sampled_from([*state.alarms, *state.recommendations, finding(0.1).id])
    what = st.sampled_from(["acknowledge", "silence", "sign-off", "reject", "view"])
    acts = [
        act(draw(what), draw(about), number=number, reason="seen")
        for number in range(draw(st.integers(0, 3)))
    ]
    return [*events, *acts], policy


@given(histories(), st.randoms())
def test_order_and_repetition_leave_no_trace(history, random):
    events, policy = history
    shuffled = events * 2
    random.shuffle(shuffled)
    patient, said = told(events, policy=policy)
    other, said_other = told(shuffled, policy=policy)
    assert facts(other) == facts(patient)
    assert ids_of(said_other) == ids_of(said)
    assert finals(said_other)[-1:] == finals(said)[-1:]


@settings(max_examples=60)
@given(findings(), policies, st.data())
def test_slices_that_contradict_one_another_in_how_many_they_are(events, policy, data):
    """What was said of the lesser count is withdrawn; what stands does not tell the order."""
    counts = data.draw(st.lists(st.sampled_from([8, 5, None]), min_size=8, max_size=8))
    events = [
        event.model_copy(update={"plane": event.plane.model_copy(update={"images": count})})
        for event, count in zip(events, counts, strict=True)
    ]
    patient, _ = told(events, policy=policy)
    other, _ = told(data.draw(st.permutations(events)), policy=policy)
    assert other.series == patient.series
    assert standing(other) == standing(patient)


@given(histories(), st.data())
def test_replaying_any_suffix_changes_nothing(history, data):
    events, policy = history
    patient, _ = told(events, policy=policy)
    suffix = events[data.draw(st.integers(0, len(events))) :]
    again, said = told(suffix, patient, first_offset=len(events), policy=policy)
    assert facts(again) == facts(patient)
    assert said == []


@given(histories(), st.data())
def test_a_crash_between_speaking_and_remembering_says_the_same_again(history, data):
    events, policy = history
    crash = data.draw(st.integers(0, len(events)))
    before, _ = told(events[:crash], policy=policy)
    restored = Patient.model_validate_json(before.to_json())
    assert restored == before
    _, first = told(events[crash:], before, first_offset=crash, policy=policy)
    _, second = told(events[crash:], restored, first_offset=crash, policy=policy)
    assert [words.to_json() for words in first] == [words.to_json() for words in second]


@settings(max_examples=60)
@given(findings(), st.data())
def test_more_probability_never_lowers_a_priority(events, data):
    """One finding becomes more suspicious, its places and sizes stay: no alarm gets weaker."""
    index = data.draw(st.integers(0, len(events) - 1))
    was = events[index]
    if was.lesion_probability is None:
        return
    more = data.draw(st.floats(was.lesion_probability, 1))
    lesions = [
        lesion.model_copy(
            update={"probability": data.draw(st.floats(max(lesion.probability, 0.1), 1))}
        )
        for lesion in was.lesions
        if lesion.probability >= 0.1
    ]
    raised = was.model_copy(update={"lesion_probability": more, "lesions": tuple(lesions)})
    for policy in (LONGITUDINAL, THRESHOLD):
        before = told(events, policy=policy)[0]
        after = told([*events[:index], raised, *events[index + 1 :]], policy=policy)[0]
        assert rank(after) >= rank(before)


def test_offsets_that_the_state_covers_are_passed_over():
    patient, _ = told([finding(0.1), finding(0.2, number=1)])
    same, said = fold_finding(patient, finding(0.9, number=2), 1, LONGITUDINAL)
    assert same is patient
    assert said == []


def test_a_score_replaces_not_scored_in_either_order():
    failed, scored = finding(None), finding(0.9)
    assert failed.id == scored.id
    assert facts(told([failed, scored])[0]) == facts(told([scored, failed])[0])
    assert told([failed, scored])[0].series["1.2"].slices[scored.id].probability == 0.9


def test_a_series_is_final_once_all_its_slices_are_there_and_a_late_one_makes_a_new_final():
    events = series({"a": ((50.0, 0.0, 30.0), 12.0)})
    patient, said = told(events)
    assert [words.stage for words in kinds(said, Assessment)] == ["early", "final"]
    assert final(patient, 1).version == 1
    late = events[5].model_copy(
        update={"id": finding(0.1, number=99).id, "frame_id": finding(0.1, number=99).frame_id}
    )
    patient, said = told([late], patient, first_offset=100)
    (new,) = kinds(said, Assessment)
    assert (new.stage, new.version, new.uid_reused) == ("final", 2, True)
    assert "a SOPInstanceUID came with different pixels" in new.quality


def test_a_series_without_a_count_closes_by_quiet_time_and_opens_for_late_slices():
    events = [
        f.model_copy(update={"plane": f.plane.model_copy(update={"images": None})})
        for f in series({"a": ((50.0, 0.0, 30.0), 12.0)}, images=20)
    ]
    patient, said = told(events[:15])
    assert [words.stage for words in kinds(said, Assessment)] == ["early"]
    soon, later = START + timedelta(seconds=29), START + timedelta(seconds=30)
    assert not due(patient, soon, LONGITUDINAL)
    assert fold_tick(patient, soon, LONGITUDINAL) == (patient, [])
    assert due(patient, later, LONGITUDINAL)
    patient, said = fold_tick(patient, later, LONGITUDINAL)
    assert [(w.stage, w.version) for w in kinds(said, Assessment)] == [("final", 1)]
    assert patient.version.ticks == 1
    assert not due(patient, later, LONGITUDINAL)
    patient, said = told(events[15:], patient, first_offset=15)
    versions = [(w.stage, w.version) for w in kinds(said, Assessment)]
    assert versions == [("final", n) for n in range(2, 7)], "each late slice makes a new final"
    assert final(patient, 1).id == assessment_of(events), "by what it rests on, not by when"


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


def test_slices_that_never_come_are_told():
    events = series({"a": ((50.0, 0.0, 30.0), 12.0)})
    patient, _ = told(events[:8] + events[11:])
    patient, _ = fold_tick(patient, START + timedelta(minutes=5), LONGITUDINAL)
    assert final(patient, 1).stage == "final"
    assert final(patient, 1).missing == 3
    assert "3 slices are missing" in final(patient, 1).quality


def test_an_alarm_is_acknowledged_once_by_the_first():
    patient, _ = told([finding(0.9)], policy=THRESHOLD)
    (alarm_id,) = patient.alarms
    late, early = acknowledgement(alarm_id, number=2), acknowledgement(alarm_id, number=1)
    one, words = told([late, early], patient, first_offset=1, policy=THRESHOLD)
    assert [w.inactivation for w in words] == ["acknowledged"]
    assert one.acknowledgements[alarm_id].actor == "nurse 1"


def test_an_acknowledgement_may_come_before_its_alarm():
    (alarm_id,) = told([finding(0.9)], policy=THRESHOLD)[0].alarms
    patient, said = told([acknowledgement(alarm_id), finding(0.9)], policy=THRESHOLD)
    assert [w.phase for w in kinds(said, Alert)] == ["start", "update"]
    assert patient.alarms[alarm_id].inactivation == "acknowledged"


def test_what_is_kept_of_a_patient_is_bounded(monkeypatch):
    monkeypatch.setattr(kept, "MOST_SERIES_WHOLE", 2)
    monkeypatch.setattr(kept, "MOST_SERIES", 4)
    patient = None
    for study in range(1, 8):
        events = series({"a": ((50.0, 0.0, 30.0), 12.0 + study)}, study=study)
        patient, _ = told(events, patient, first_offset=100 * study)
    whole = [uid for uid, state in patient.series.items() if state.slices]
    assert whole == ["1.6", "1.7"]
    assert sorted(patient.series) == ["1.1", "1.5", "1.6", "1.7"], "the baseline stays"
    assert final(patient, 7).response == "PD"
    assert final(patient, 7).baseline_series == "1.1"
    assert len({lesion.id for s in patient.series.values() for lesion in s.assessment.lesions}) == 1


def test_a_series_holds_no_more_slices_than_it_may(monkeypatch):
    monkeypatch.setattr(kept, "MOST_SLICES", 5)
    patient, _ = told([finding(0.1, number=n) for n in range(8)])
    state = patient.series["1.2"]
    assert (len(state.slices), state.left_out) == (5, 3)


@pytest.mark.parametrize("policy", [LONGITUDINAL, THRESHOLD], ids=lambda p: p.NAME)
def test_frames_that_were_not_scored_alarm_nobody(policy):
    patient, said = told([finding(None, number=n, images=3) for n in range(3)], policy=policy)
    assert kinds(said, Alert) == []
    assert len(patient.series["1.2"].slices) == 3


def ids_of(said):
    """Return the ids of what must be the same in whatever order facts come."""
    alerts = {w.id for w in kinds(said, Alert) if w.phase in ("start", "end")}
    return alerts, {w.id for w in kinds(said, Recommendation) if w.phase == "start"}


def finals(said):
    return [w.id for w in kinds(said, Assessment) if w.stage == "final"]


def rank(patient):
    order = {"low": 1, "medium": 2, "high": 3}
    return max((order[alarm.priority] for alarm in patient.alarms.values()), default=0)


def assessment_of(events):
    counted = [
        f.model_copy(update={"plane": f.plane.model_copy(update={"images": len(events)})})
        for f in events
    ]
    return final(told(counted)[0], 1).id


def test_who_has_not_come_for_long_is_expired():
    patient, _ = told(series({}, images=3))
    assert not kept.expired(patient, START + timedelta(days=30), timedelta(days=30))
    assert kept.expired(patient, START + timedelta(days=31), timedelta(days=30))
    assert not kept.expired(Patient(patient_id="p-2"), START, timedelta(days=30))


def test_what_people_did_is_bounded(monkeypatch):
    monkeypatch.setattr(kept, "MOST_ACTIONS", 3)
    acts = [acknowledgement(finding(0.1, number=n).id, number=n) for n in range(6)]
    patient, _ = told(acts)
    assert [given.actor for given in patient.acknowledgements.values()] == [
        "nurse 3",
        "nurse 4",
        "nurse 5",
    ]


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59+00:00"])
def test_moments_that_no_calendar_has_are_refused(when):
    value = json.loads(acknowledgement(finding(0.1).id).to_json()) | {"event_time": when}
    with pytest.raises(Unfoldable):
        foldable("action", json.dumps(value).encode(), partition=0)


def standing(patient):
    """Return the recommendations that were not withdrawn."""
    return {about: r for about, r in patient.recommendations.items() if not r.withdrawn}
