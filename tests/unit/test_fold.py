"""The patient's state depends on the set of findings and actions, and on nothing else."""

import json

from hypothesis import given
from hypothesis import strategies as st
from support.records import acknowledgement, finding

from stream.fold import fold_action, fold_finding
from wire.records import Action, Alert, Patient, Recommendation

probabilities = st.one_of(st.none(), st.floats(0, 1), st.sampled_from([0.49, 0.5, 0.51]))


@st.composite
def histories(draw):
    """A set of findings of two series, and acknowledgements of what they may cause."""
    events = [
        finding(
            draw(probabilities), number=n, series=draw(st.sampled_from(["1.1", "1.2"]))
        ).model_copy(update={"modality": draw(st.sampled_from(["CT", "MR", None]))})
        for n in range(draw(st.integers(0, 8)))
    ]
    alarms = list(told(events)[0].alarms)
    about = st.sampled_from([*alarms, finding(0.1).id])
    acks = [acknowledgement(draw(about), number=n) for n in range(draw(st.integers(0, 3)))]
    return [*events, *acks]


def told(events, patient=None, first_offset=0):
    """Fold in order; return the state and all that was said."""
    patient, said = patient or Patient(patient_id="p-1"), []
    for offset, event in enumerate(events, start=first_offset):
        fold = fold_action if isinstance(event, Action) else fold_finding
        patient, spoken = fold(patient, event, offset)
        said += spoken
    return patient, said


def facts(patient):
    """Return the state without what counts messages."""
    return json.loads(patient.model_copy(update={"version": None}).to_json())


@given(histories(), st.randoms())
def test_order_and_repetition_leave_no_trace(events, random):
    shuffled = events * 2
    random.shuffle(shuffled)
    patient, said = told(events)
    other, said_other = told(shuffled)
    assert facts(other) == facts(patient)
    assert alarm_ids(said_other) == alarm_ids(said)


@given(histories(), st.data())
def test_replaying_any_suffix_changes_nothing(events, data):
    patient, _ = told(events)
    suffix = events[data.draw(st.integers(0, len(events))) :]
    again, said = told(suffix, patient, first_offset=len(events))
    assert facts(again) == facts(patient)
    assert said == []


@given(histories(), st.data())
def test_a_crash_between_speaking_and_remembering_says_the_same_again(events, data):
    crash = data.draw(st.integers(0, len(events)))
    before, _ = told(events[:crash])
    restored = Patient.model_validate_json(before.to_json())
    _, first = told(events[crash:], before, first_offset=crash)
    _, second = told(events[crash:], restored, first_offset=crash)
    assert [words.to_json() for words in first] == [words.to_json() for words in second]


def test_offsets_that_the_state_covers_are_passed_over():
    patient, _ = told([finding(0.1), finding(0.2, number=1)])
    same, said = fold_finding(patient, finding(0.9, number=2), offset=1)
    assert same is patient
    assert said == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_recommendation_each_time_the_answer_changes(ps):
    _, said = told([finding(p, number=n) for n, p in enumerate(ps)])
    expected, greatest = [], 0.0
    for p in ps:
        greatest = max(greatest, p)
        answer = "intensify" if greatest >= 0.5 else "maintain-or-reduce"
        if not expected or expected[-1] != answer:
            expected.append(answer)
    assert [w.action for w in said if isinstance(w, Recommendation)] == expected
    starts = [w for w in said if isinstance(w, Alert)]
    assert len(starts) == (1 if max(ps) >= 0.5 else 0)


def test_exactly_the_threshold_is_positive():
    _, said = told([finding(0.5)])
    assert [w.text for w in said if isinstance(w, Recommendation)] == ["intensify treatment"]


def test_series_are_judged_apart():
    patient, said = told([finding(0.9, series="1.1"), finding(0.1, series="1.2")])
    assert {uid: s.action for uid, s in patient.series.items()} == {
        "1.1": "intensify",
        "1.2": "maintain-or-reduce",
    }
    assert len({w.id for w in said}) == len(said) == 3


def test_frames_that_were_not_scored_give_no_answer():
    patient, said = told([finding(None), finding(None, number=1)])
    assert said == []
    assert len(patient.series["1.2"].findings) == 2
    assert patient.series["1.2"].lesion_probability is None


def test_a_score_replaces_not_scored_in_either_order():
    failed, scored = finding(None), finding(0.8)
    assert failed.id == scored.id
    assert facts(told([failed, scored])[0]) == facts(told([scored, failed])[0])
    assert len(told([failed, scored])[0].alarms) == 1


def test_an_alarm_is_acknowledged_once_by_the_first():
    patient, _ = told([finding(0.9)])
    (alarm_id,) = patient.alarms
    late, early = acknowledgement(alarm_id, number=2), acknowledgement(alarm_id, number=1)
    one, words = told([late, early], patient, first_offset=1)
    assert [w.inactivation for w in words] == ["acknowledged"]
    assert one.acknowledgements[alarm_id].actor == "nurse 1"


def test_an_acknowledgement_may_come_before_its_alarm():
    (alarm_id,) = told([finding(0.9)])[0].alarms
    patient, said = told([acknowledgement(alarm_id), finding(0.9)])
    assert [w.phase for w in said if isinstance(w, Alert)] == ["start", "update"]
    assert alarm_id in patient.alarms


def alarm_ids(said):
    return {w.id for w in said if isinstance(w, Alert) and w.phase == "start"}
