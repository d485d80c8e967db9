"""What the outbox says is stored reaches the broker, in order, however often the broker fails."""

import threading
from datetime import UTC, datetime

import pytest
from support.stack import eventually

from producers.messages import Message
from producers.outbox import NotStored, Outbox
from producers.prepare import Prepared
from producers.publisher import PublishError
from producers.spool import Spool
from wire.errors import FrameError, Reason
from wire.topics import DEAD_LETTERS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Broker:
    """A broker that fails when told to; `topic` is what it has, in order."""

    def __init__(self):
        self.well = True
        self.refuses = set()
        self.mute = False
        self.topic = []
        self.connections = 0

    def connect(self):
        self.connections += 1
        if not self.well:
            raise PublishError("no broker answers")
        return Connection(self)


class Connection:
    """One publisher: once it failed it takes nothing more."""

    def __init__(self, broker):
        self.broker = broker
        self.failed = False
        self.closed = False

    def send(self, message):
        if self.failed or self.closed:
            raise PublishError("the broker did not take a message")
        if not self.broker.well:
            self.failed = True
        return Sent(self, message)

    def close(self):
        self.closed = True


class Sent:
    """The future of a message."""

    def __init__(self, connection, message):
        broker = connection.broker
        self.error = None
        if message.key in broker.refuses:
            connection.failed = True
            self.error = PublishError("too large", for_good=True)
        elif not broker.well or broker.mute:
            self.error = PublishError("not confirmed")
        if (broker.well and self.error is None) or broker.mute:
            broker.topic.append(message.key.decode())
        self.arrived = self.error is None

    def wait(self, timeout_s):
        if self.error is not None:
            raise self.error


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def outbox(broker, tmp_path, monkeypatch):
    monkeypatch.setattr("producers.outbox.AGAIN_S", 0.01)
    made = Outbox(broker.connect, Spool(tmp_path, max_bytes=2_000_000), "/test").start()
    eventually(lambda: broker.connections, within_s=5, what="it looks for a broker")
    yield made
    made.close()


def prepared(number, size=100):
    return Prepared(f"id-{number}", str(number), "1.2", 1, b"x" * size)


def send(outbox, *numbers, size=100):
    delivery = outbox.delivery()
    for number in numbers:
        delivery.frame(prepared(number, size), NOW)
    delivery.wait()


def empty(outbox):
    eventually(lambda: not outbox.waiting, within_s=5, what="the spool is empty")


def test_while_the_broker_is_well_nothing_touches_the_disk(outbox, broker, tmp_path):
    eventually(lambda: not outbox.trouble and outbox.open_to(), within_s=5, what="it is connected")
    send(outbox, 1, 2, 3)
    assert broker.topic == ["1", "2", "3"]
    assert list(tmp_path.glob("*.sqlite")) == []


def test_while_it_is_away_messages_wait_and_then_go_in_order(outbox, broker):
    send(outbox, 0)
    empty(outbox)
    broker.well = False
    for number in range(1, 6):
        send(outbox, number, number + 100)
    assert outbox.waiting == 10
    assert "10 messages wait" in outbox.trouble
    broker.well = True
    empty(outbox)
    send(outbox, 999)
    wanted = ["0"] + [str(n) for number in range(1, 6) for n in (number, number + 100)] + ["999"]
    assert broker.topic == wanted
    assert outbox.trouble == ""


def test_what_the_broker_did_not_confirm_is_sent_again(outbox, broker):
    """It may have arrived: ids make that harmless. What must not be is that it is lost."""
    eventually(outbox.open_to, within_s=5, what="it is connected")
    broker.mute = True
    send(outbox, 1, 2)
    broker.mute = False
    empty(outbox)
    assert broker.topic[-2:] == ["1", "2"]
    assert set(broker.topic) == {"1", "2"}


def test_a_message_that_is_refused_for_good_is_kept_and_holds_up_no_other(outbox, broker):
    broker.well = False
    send(outbox, 0)
    send(outbox, 1, 2, 3)
    broker.refuses = {b"2"}
    broker.well = True
    eventually(lambda: outbox.waiting == 1, within_s=5, what="only the refused one waits")
    assert "refuses: too large" in outbox.trouble
    send(outbox, 4)
    assert [n for n in broker.topic if n in "134"] == ["1", "3", "4"]


def test_a_device_is_told_at_once_of_a_message_that_is_refused(outbox, broker):
    eventually(outbox.open_to, within_s=5, what="it is connected")
    broker.refuses = {b"7"}
    with pytest.raises(NotStored, match="too large"):
        send(outbox, 7)


def test_without_broker_and_room_nothing_is_called_stored(outbox, broker):
    broker.well = False
    fill = (send(outbox, number, size=100_000) for number in range(100))
    with pytest.raises(NotStored, match="2,000,000"):
        list(fill)
    kept = outbox.waiting
    assert 10 < kept < 20
    broker.well = True
    empty(outbox)
    assert sorted(map(int, set(broker.topic))) == list(range(kept))


def test_no_frame_overtakes_another_over_a_new_connection(outbox, broker):
    eventually(outbox.open_to, within_s=5, what="it is connected")
    first = outbox.open_to()
    broker.mute = True
    delivery = outbox.delivery()
    delivery.frame(prepared(1), NOW)  # under way, and never confirmed
    broker.mute = False
    broker.topic.clear()
    outbox.lost(first, PublishError("somebody else saw it fail"))
    eventually(outbox.open_to, within_s=5, what="there is a new connection")
    delivery.frame(prepared(2), NOW)
    delivery.wait()
    empty(outbox)
    assert broker.topic == ["1", "2"]


def test_an_unexpected_error_does_not_end_the_sender(outbox, broker):
    broker.well = False
    send(outbox, 1)
    outbox._connect = lambda: 1 / 0
    eventually(lambda: "division" in outbox.trouble, within_s=5, what="it is told")
    outbox._connect = lambda: Connection(broker)
    broker.well = True
    empty(outbox)
    assert set(broker.topic) == {"1"}
    assert outbox.trouble == ""


def test_reports_of_unusable_objects_wait_as_frames_do(outbox, broker, tmp_path):
    broker.well = False
    delivery = outbox.delivery()
    delivery.unusable("id-9", FrameError(Reason.UNDECODABLE, "bad"), NOW, quarantine="ab")
    delivery.wait()
    outbox.close()
    ((_, report),) = Spool(tmp_path).first(1000)
    assert (report.topic, report.key, report.value) == (DEAD_LETTERS, b"id-9", None)
    assert isinstance(report, Message)


def test_under_load_the_spool_becomes_empty_all_the_same(outbox, broker):
    """New messages do not queue up behind the last ones for ever."""
    broker.well = False
    send(outbox, *range(50))
    ended = threading.Event()

    def device(number):
        while not ended.is_set():
            send(outbox, number)

    devices = [threading.Thread(target=device, args=(n,)) for n in range(100, 104)]
    for one in devices:
        one.start()
    broker.well = True
    try:
        eventually(outbox.open_to, within_s=10, what="messages go straight to the broker again")
    finally:
        ended.set()
        for one in devices:
            one.join()
    assert {str(n) for n in range(50)} <= set(broker.topic)
