"""Where urgent series go, and what is asked of who says that something is urgent."""

import pytest
from typer.testing import CliRunner

from lesionstream import cli, listening
from lesionstream.settings import SettingsError
from producers import messages
from wire.dead_letters import DeadLetter
from wire.envelope import Envelope
from wire.records import FrameAddress
from wire.topics import FRAMES, INPUT, STAT, TOPICS, UNASKED, Names

NAMES = Names("site-")


@pytest.mark.parametrize(
    ("came_from", "goes_to"),
    [("site-frames", FRAMES), ("site-frames.stat", STAT), ("frames.stat", FRAMES), (None, FRAMES)],
)
def test_a_dead_letter_goes_back_to_where_it_came_from(came_from, goes_to):
    where = came_from and FrameAddress(topic=came_from, partition=3, offset=5)
    letter = DeadLetter(id="1", value=b"DICM", reason="quality", detail="", where=where, key=b"p")
    message = messages.again(letter, "/test", NAMES)
    assert (message.topic, message.key, message.value) == (goes_to, b"p", b"DICM")
    assert Envelope.of(message.headers).id == "1"


def test_every_topic_is_known_by_its_name_on_the_cluster():
    assert [NAMES.topic(NAMES.of(topic)) for topic in TOPICS] == list(TOPICS)
    assert NAMES.topic("another") is None


def test_each_worker_has_a_topic_and_a_group_of_its_own():
    assert set(INPUT) > set(UNASKED)
    assert len({NAMES.group(w) for w in INPUT}) == len(INPUT)
    assert INPUT["models"] == INPUT["patients"], "each reads all of it, in a group of its own"
    assert STAT.partitions == FRAMES.partitions
    assert STAT.settings() == FRAMES.settings()


def listen(allow, stat):
    listening.listen(
        host="127.0.0.1", port=0, ae_title="US", allow=allow, associations=1, stat=stat
    )


@pytest.mark.parametrize(
    ("allow", "stat", "words"),
    [
        (["CT1"], ["CT2"], "--stat CT2"),
        (["CT1"], ["CT1", "*"], "--allow"),
        (["*"], ["*"], "urgent"),
    ],
)
def test_only_who_may_send_may_be_urgent(allow, stat, words):
    with pytest.raises(SettingsError, match=words):
        listen(allow, stat)


def test_patients_have_no_urgent_series():
    done = CliRunner().invoke(cli.app, ["worker", "patients", "--stat"])
    assert done.exit_code == 2
    assert "--stat is for worker scoring" in done.output
