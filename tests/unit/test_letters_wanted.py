"""Which dead letters are wanted, and which of them are read from Kafka together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from lesionstream.cli_letters import moment
from lesionstream.letters_replay import CLOSE_BY, Notes, stretches
from lesionstream.letters_wanted import Listed, State, Wanted, by_reason

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LETTER = Listed(
    reference="3:17",
    kind="dead letter",
    state=State.WAITING,
    set_aside="2026-01-01T12:00:00.000000Z",
    received=None,
    replayed=None,
    reason="engine-failed",
    detail="",
    attempts=4,
    engine="lesion 0.2.0",
    bytes=100,
    source="frames 1:2",
    topic="frames",
    patient="p-1",
    frame_id="id",
    quarantine=None,
)
FILE = replace(
    LETTER, reference="ab" * 32, kind="quarantine", topic=None, patient=None, engine=None
)


@pytest.mark.parametrize(
    ("wanted", "letter", "file"),
    [
        (Wanted(), True, True),
        (Wanted(references=("3:17",)), True, False),
        (Wanted(references=("3:1", "abababab")), False, True),
        (Wanted(references=("ababab",)), False, False),
        (Wanted(reasons=("quality", "engine-failed")), True, True),
        (Wanted(reasons=("quality",)), False, False),
        (Wanted(since=NOON, until=NOON + timedelta(seconds=1)), True, True),
        (Wanted(until=NOON), False, False),
        (Wanted(since=NOON + timedelta(microseconds=1)), False, False),
        (Wanted(topic="frames"), True, False),
        (Wanted(topic="results"), False, False),
        (Wanted(patient="p-1"), True, False),
        (Wanted(engine="lesion"), True, False),
        (Wanted(engine="lesion 0.2.0"), True, False),
        (Wanted(engine="lesion 0.3.0"), False, False),
        (Wanted(references=("3:17",), reasons=("quality",)), False, False),
    ],
)
def test_wanted(wanted, letter, file):
    assert (wanted.takes(LETTER), wanted.takes(FILE)) == (letter, file)
    assert wanted.everything == (wanted == Wanted())


def test_references_that_mean_nothing():
    assert Wanted(references=("3:17", "3:1", "abababab")).missing([LETTER, FILE]) == ["3:1"]


@pytest.mark.parametrize(
    ("state", "size", "once", "again"),
    [
        (State.WAITING, 1, True, True),
        (State.REPLAYED, 1, False, True),
        (State.REPLAYED, None, False, False),
        (State.IN_QUARANTINE, None, False, False),
        (State.NOT_KEPT, None, False, False),
    ],
)
def test_what_can_be_sent(state, size, once, again):
    letter = replace(LETTER, state=state, bytes=size)
    assert (letter.sendable(), letter.sendable(again=True)) == (once, again)


def test_a_summary_by_reason():
    sent = replace(LETTER, state=State.REPLAYED)
    assert by_reason([replace(LETTER, reason="quality"), LETTER, sent, sent]) == [
        "engine-failed: 3 (2 replayed, 1 waiting)",
        "quality: 1 (1 waiting)",
    ]


@given(st.sets(st.integers(0, 2_000)))
def test_all_letters_are_read_and_few_others(offsets):
    runs = stretches(sorted(offsets))
    read = [offset for first, last in runs for offset in range(first, last + 1)]
    assert offsets <= set(read)
    assert len(read) == len(set(read)), "none twice"
    assert all(first in offsets and last in offsets for first, last in runs)
    assert len(read) <= max(1, len(offsets)) * CLOSE_BY


@pytest.mark.parametrize(
    ("words", "ago"),
    [("90s", timedelta(seconds=90)), ("15m", timedelta(minutes=15)), ("3d", timedelta(days=3))],
)
def test_so_long_ago(words, ago):
    assert abs(datetime.now(UTC) - ago - moment(words)) < timedelta(minutes=1)


def test_a_moment():
    assert moment("2026-01-01T12:00") == moment("2026-01-01T13:00+01:00") == NOON


@pytest.mark.parametrize("words", ["", "yesterday", "2x", "999999d", "2026-13-01", "-2h"])
def test_what_is_no_time(words):
    with pytest.raises(typer.BadParameter, match="no time"):
        moment(words)


class Broker:
    """Takes notes, and confirms what was sent when it is told to, or asked for everything."""

    def __init__(self):
        self.arrived = False
        self.noted = []

    def note(self, replayed):
        assert self.arrived, "a letter is noted only once the broker has what was sent"
        self.noted.append(replayed.place)

    def flush(self):
        self.arrived = True


def test_a_letter_is_noted_after_what_was_sent_is_confirmed():
    broker = Broker()
    notes = Notes(broker)
    notes.later(LETTER, broker)
    assert broker.noted == []
    broker.arrived = True
    notes.later(replace(LETTER, reference="3:18"), broker)
    assert broker.noted == ["3:17", "3:18"]


def test_notes_that_wait_are_written_at_the_end():
    broker = Broker()
    notes = Notes(broker)
    notes.later(LETTER, broker)
    notes.write()
    assert broker.noted == ["3:17"]
