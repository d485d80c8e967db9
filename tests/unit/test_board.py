"""Records in, what is known out: whatever comes, and in whatever state."""

from datetime import timedelta
from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kafka_records import NOW, KafkaRecord, alert, heartbeat, said, snapshot
from support.records import ENGINE, SPACE, START, candidate, finding

from monitor.board import TREND, Board
from monitor.frame_index import KEPT_S, FrameIndex
from monitor.ring import Ring, heard
from wire.dead_letters import DeadLetter
from wire.records import Comparison, FrameAddress, Opinion


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return Board(clock)


def comparison(number: int, *, disagree: bool) -> Comparison:
    seen = Opinion(
        engine=ENGINE, status="scored", reason=None, lesion_probability=0.5, positive=True
    )
    other = seen.model_copy(update={"engine": ENGINE.model_copy(update={"version": "2"})})
    return Comparison(
        id=uuid5(SPACE, f"comparison {number}"),
        frame_id=uuid5(SPACE, "frame"),
        patient_id="p-1",
        series_instance_uid="1.2",
        sop_instance_uid="1.2.3",
        frame_number=1,
        active=seen,
        shadow=other,
        disagree=disagree,
    )


# Snapshots -------------------------------------------------------------------------------------


def results_of(board, name="p-1"):
    return board.known().patients[name].version.results


def test_a_later_snapshot_replaces_an_earlier_one(board):
    board.take_patient(snapshot(1))
    assert results_of(board) == 1
    board.take_patient(snapshot(2))
    assert results_of(board) == 2


def test_the_late_snapshot_of_a_zombie_is_not_taken(board):
    board.take_patient(snapshot(5, generation=2))
    board.take_patient(snapshot(3, generation=1))
    assert results_of(board) == 5
    board.take_patient(snapshot(4, actions=7, generation=1))  # neither covers the other
    assert results_of(board) == 5


def test_a_tombstone_forgets_a_patient(board):
    board.take_patient(snapshot(5))
    board.take_result(said(finding(0.7)))
    board.take_patient(KafkaRecord(None))
    known = board.known()
    assert not known.patients
    assert not known.newest
    board.take_patient(snapshot(1))
    assert results_of(board) == 1


def test_a_damaged_snapshot_leaves_the_one_before_it(board):
    board.take_patient(snapshot(1))
    whole = snapshot(2).value
    damaged = whole.replace(b'"series":{}', b'"series":{"1.2":{}}')
    assert damaged != whole
    board.take_patient(KafkaRecord(damaged))
    assert results_of(board) == 1
    assert board.unreadable["patients"] == 1
    board.take_patient(snapshot(3))
    assert results_of(board) == 3


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"null", b'{"PatientID": 3}', b"\xff\xfe"])
@pytest.mark.parametrize("take", ["take_patient", "take_result", "take_alert"])
def test_what_is_no_record_is_counted_and_stops_nothing(board, take, value):
    kind = said(finding(0.1)) if take == "take_result" else said(alert(1))
    getattr(board, take)(KafkaRecord(value, kind.headers))
    assert sum(board.unreadable.values()) == 1
    board.take_patient(snapshot(1))
    assert results_of(board) == 1


# Findings --------------------------------------------------------------------------------------


def test_a_finding_said_twice_counts_once_and_leads_to_the_newer_place(board):
    one = finding(0.7, lesions=(candidate(0.9, 10, 20, 0, 5),))
    place = FrameAddress(topic="frames.stat", partition=3, offset=99)
    again = one.model_copy(update={"frame": place})
    board.take_result(said(one, offset=1))
    board.take_result(said(again, offset=8, partition=3))
    known = board.known()
    assert known.flow.frames == 1
    assert len(known.newest["p-1"].trend) == 1
    ref = known.frames[one.id]
    assert ref.finding == (3, 8)
    assert ref.frame == place
    assert ref.frame_id == one.frame_id
    assert [(o.x_px, o.y_px, o.box) for o in ref.outlines] == [(10, 20, (10, 20, 5, 5))]
    assert board.frames.at("1.2.0", 1) == ref
    assert board.frames.at("1.2.0", 2) is None


def test_the_trend_has_the_last_frames_that_were_scored(board):
    for number in range(TREND + 5):
        board.take_result(said(finding(number / 100, number=number), offset=number))
    board.take_result(
        said(finding(None, number=99, when=START + timedelta(seconds=30)), offset=999)
    )
    newest = board.known().newest["p-1"]
    assert [p for _, p in newest.trend] == [n / 100 for n in range(5, TREND + 5)]
    assert newest.received_time == START + timedelta(seconds=30)
    assert board.known().flow.not_scored == {"no-lungs": 1}


def test_rates_and_delays_fall_out_of_sight(board, clock):
    times = finding(0.1).times_ms.model_copy(update={"queued": 30.0, "total": 70.0})
    for number in range(20):
        one = finding(0.1, number=number).model_copy(update={"times_ms": times})
        board.take_result(said(one, offset=number, at=NOW - 1))
    flow = board.known().flow
    assert flow.frames_per_s == 2.0
    assert flow.delay_p50_ms == flow.delay_p99_ms == 100.0
    assert flow.engines == (ENGINE,)
    clock.now += 400
    flow = board.known().flow
    assert flow.frames_per_s == 0.0
    assert flow.delay_p50_ms is None
    assert flow.frames == 20
    clock.now += 25 * 3600
    assert board.known().flow.frames == 0
    assert board.known().flow.engines == ()
    assert finding(0.1).id not in board.known().frames


def test_a_comparison_said_twice_counts_once(board):
    for number, disagree in [(1, True), (2, False), (1, True)]:
        board.take_result(said(comparison(number, disagree=disagree)))
    (shadow,) = board.known().flow.shadows
    assert (shadow.active.version, shadow.shadow.version) == ("1", "2")
    assert (shadow.compared, shadow.disagreed) == (2, 1)


def test_the_index_is_bounded_and_lets_the_oldest_go(clock):
    index = FrameIndex(clock, most=10)
    ids = []
    for number in range(25):
        one = finding(0.5, number=number)
        assert index.put(one, (0, number), NOW)
        ids.append(one.id)
    assert len(index) == 10
    assert list(index) == ids[-10:]
    assert index.at("1.2.3", 1) is None
    assert index.at("1.2.20", 1) is not None
    clock.now += KEPT_S + 1
    assert index.get(ids[-1]) is None


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 100)), max_size=5))
def test_outlines_come_back_as_they_were(places):
    index = FrameIndex(lambda: NOW)
    lesions = tuple(
        candidate(0.5, x, -x, 0, diameter).model_copy(update={"diameter_mm": d})
        for x, diameter in places
        for d in (diameter, None)
    )
    one = finding(0.5, lesions=lesions)
    index.put(one, (23, 1 << 40), NOW)
    found = index[one.id]
    assert found.finding == (23, 1 << 40)
    for outline, lesion in zip(found.outlines, lesions, strict=True):
        assert outline.x_px == pytest.approx(lesion.x_px, rel=1e-6)
        assert outline.box == pytest.approx(lesion.box, rel=1e-6)
        assert (outline.diameter_mm is None) == (lesion.diameter_mm is None)
        assert (outline.diameter_mm or 0) == pytest.approx(lesion.diameter_mm or 0, rel=1e-6)


# Alerts ----------------------------------------------------------------------------------------


def test_technical_alarms_stand_from_heartbeat_and_alerts_until_they_end(board):
    one, two, three = alert(1), alert(2), alert(3, patient_id="p-1")
    board.take_alert(said(heartbeat(1, one), offset=0))
    board.take_alert(said(two, offset=1))
    board.take_alert(said(three, offset=2))  # about a patient: stands in the snapshot
    assert set(board.known().technical) == {one.alarm_id, two.alarm_id}
    ended = alert(4, alarm_id=one.alarm_id, phase="end", state="inactive")
    board.take_alert(said(ended, offset=3))
    assert set(board.known().technical) == {two.alarm_id}
    board.take_alert(said(heartbeat(2), offset=4))
    assert not board.known().technical
    assert board.known().heartbeat == heartbeat(2)
    assert [s.offset for s in board.known().history] == [1, 2, 3]


def test_dead_letters_are_counted_with_those_that_were_not_read(board):
    letter = DeadLetter(id="x", value=b"secret", reason="quality", detail="noise")
    board.passed_over(7)
    board.take_letter(KafkaRecord(b"secret", letter.headers("/test"), offset=3, partition=2))
    flow = board.known().flow
    assert flow.dead_letters == 8
    assert [(one.reason, one.detail, one.offset) for one in flow.letters] == [
        ("quality", "noise", 3)
    ]


def test_known_is_the_same_object_until_something_changes(board, clock):
    before = board.known()
    assert board.known() is before
    board.take_patient(snapshot(1))
    assert board.known() is not before
    assert not before.patients
    before = board.known()
    clock.now += 2
    assert board.known() is not before


# The ring --------------------------------------------------------------------------------------


def ring_of(numbers, *, size=10, begin=0):
    ring = Ring(size)
    ring.open(begin)
    for offset, number in enumerate(numbers, begin):
        message = None if number is None else heard(said(alert(number), offset=offset))
        ring.add(offset, message)
    return ring


def offsets(found):
    return [message.offset for message in found[0]]


def test_an_alert_said_again_under_its_id_is_not_heard_again():
    ring = ring_of([1, 2, 1, None, 3])
    assert offsets(ring.since(0, 100)) == [0, 1, 4]
    assert ring.since(2, 100)[1] == 5
    assert ring.repeats(heard(said(alert(1), offset=2)))
    assert not ring.repeats(heard(said(alert(1), offset=0)))


def test_what_left_the_ring_is_read_elsewhere():
    ring = ring_of(range(30), size=10, begin=100)
    assert ring.since(119, 100) is None
    assert offsets(ring.since(120, 100)) == list(range(120, 130))
    assert ring.since(130, 100) == ([], 130)


def test_parts_join_without_gap_or_repetition():
    ring, got, offset = ring_of([1, None, 2, 1, 3, 4, None, 5], size=100), [], 0
    while offset < ring.next:
        found, offset = ring.since(offset, 2)
        got += [message.offset for message in found]
    assert got == [0, 2, 4, 5, 7]


def test_a_topic_made_anew_begins_again():
    ring = ring_of(range(5), begin=100)
    ring.add(0, heard(said(alert(1), offset=0)))
    assert (ring.begin, ring.next) == (0, 1)
    assert offsets(ring.since(0, 10)) == [0]


def test_a_long_ring_keeps_all_up_to_its_size():
    ring = ring_of(range(10), size=10)
    assert offsets(ring.since(0, 100)) == list(range(10))
