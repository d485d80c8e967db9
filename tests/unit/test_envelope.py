from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.dead_letters import DeadLetter
from wire.envelope import DICOM, Envelope
from wire.records import FrameAddress

texts = st.text(min_size=1)
times = st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC))


@given(
    st.builds(
        Envelope,
        kind=st.sampled_from(["frame", "finding", "alert"]),
        id=texts,
        source=texts,
        subject=texts,
        time=times,
        content_type=texts,
        frame_number=st.integers(1, 2**31 - 1),
    )
)
def test_round_trip(envelope):
    assert Envelope.of(envelope.headers()) == envelope


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ce_type", "ce_id", "ce_time", "ce_framenumber", "content-type", "x"]),
            st.one_of(st.none(), st.binary(max_size=20)),
        )
    )
)
def test_foreign_headers_never_raise(headers):
    Envelope.of(headers)
    DeadLetter.of(None, None, headers)


def test_no_headers_at_all():
    assert Envelope.of(None).kind is None


def test_is_cloudevents_in_binary_mode():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers = dict(Envelope("frame", "id", "/x", "1.2/1", moment, DICOM, 1).headers())
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"id",
        "ce_source": b"/x",
        "ce_type": b"lesionstream.frame.v1",
        "ce_subject": b"1.2/1",
        "ce_time": b"2026-01-02T03:04:05.000000Z",
        "ce_framenumber": b"1",
        "content-type": b"application/dicom",
    }


def test_dead_letter_round_trip():
    letter = DeadLetter(
        id="f",
        value=b"bytes",
        reason="quality",
        detail="why",
        attempts=2,
        time=datetime(2026, 1, 2, tzinfo=UTC),
        where=FrameAddress(topic="frames", partition=3, offset=0),
        frame_number=4,
        key=b"p-1",
    )
    assert DeadLetter.of(b"p-1", b"bytes", letter.headers("/x")) == letter


@pytest.mark.parametrize(
    "when", ["0001-01-02T00:00:00Z", "9999-12-31T23:00:00-05:00", "0001-01-01T00:00:00+14:00"]
)
def test_times_that_no_device_means_are_none(when):
    """They would pass here and fail in the finding: a message that nobody could answer."""
    assert Envelope.of([("ce_time", when.encode())]).time is None
