"""When is a worker dead, when is it not ready: the judgement, and how it is asked."""

import json
import os
import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from lesionstream import surface as surfaces
from lesionstream.settings import settings
from stream.health import (
    ENGINE_S,
    IN_HAND_S,
    LOOP_S,
    STILL_S,
    STUCK_S,
    Beat,
    Pulse,
    judge,
    own_lag,
    standing,
)
from stream.watch import EXIT_HANGS, WorkerWatch
from wire.cluster import Cluster
from wire.groups import GroupState
from wire.health import Health

NOW = 1000.0
GROUP = GroupState(lag={0: 5, 1: 0}, members=1, stable=True)
WELL = Beat(at_s=NOW - 1, partitions=frozenset({0, 1}))


def judged(beat=WELL, group=GROUP, stuck_for_s=0.0, trouble=""):
    return judge(beat, group, now_s=NOW, stuck_for_s=stuck_for_s, trouble=trouble)


def test_a_worker_that_works_is_live_and_ready():
    found = judged()
    assert (found.live, found.ready) == (True, True)
    assert found.facts["group_lag"] == 5
    assert own_lag(WELL, GROUP) == 5


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"beat": Beat(at_s=NOW - LOOP_S - 1, partitions=frozenset({0}))}, "event loop"),
        ({"beat": Beat(NOW, frozenset({0}), in_hand_since_s=NOW - IN_HAND_S - 1)}, "in hand"),
        ({"beat": replace(WELL, asked_since_s=NOW - ENGINE_S - 1)}, "engine has not answered"),
        ({"stuck_for_s": STUCK_S + 1}, "none was taken up"),
    ],
)
def test_a_worker_that_hangs_is_dead(changes, word):
    found = judged(**changes)
    assert not found.live
    assert not found.ready
    assert word in found.dead[0]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"beat": Beat()}, "starting"),
        ({"beat": Beat(at_s=NOW)}, "no partitions"),
        ({"group": None, "trouble": "no broker answers"}, "no broker"),
        ({"group": GroupState({0: 9}, members=0, stable=False)}, "being formed"),
        ({"beat": Beat(NOW, frozenset({0}), NOW - 999, loading=True)}, "reading the states"),
        # Without a broker nothing can be answered: starting it again would not help.
        ({"group": None, "stuck_for_s": STUCK_S + 1}, "not asked yet"),
    ],
)
def test_a_worker_that_cannot_work_is_live_but_not_ready(changes, word):
    found = judged(**changes)
    assert found.live
    assert not found.ready
    assert word in found.not_ready[0]


def test_partitions_that_stand_still_while_messages_wait_are_not_ready():
    at_first = standing({}, WELL, GROUP, NOW - STILL_S - 1)
    assert set(at_first) == {0}, "nothing waits on the other one"
    assert judge(WELL, GROUP, now_s=NOW - STILL_S, stuck_for_s=0, still=at_first).ready
    still = standing(at_first, WELL, GROUP, NOW)
    found = judge(WELL, GROUP, now_s=NOW, stuck_for_s=0, still=still)
    assert (found.live, found.ready) == (True, False)
    assert "stand still" in found.not_ready[0]
    moved = replace(GROUP, done={0: 1})
    again = standing(still, WELL, moved, NOW)
    assert judge(WELL, moved, now_s=NOW, stuck_for_s=0, still=again).ready


def test_a_spare_worker_is_ready():
    crowded = GroupState(lag={0: 0}, members=2, stable=True)
    assert judged(beat=Beat(at_s=NOW), group=crowded).ready


def test_the_pulse_keeps_what_was_said_last():
    pulse = Pulse()
    pulse.beat(1.0, [3])
    pulse.taken(2.0)
    assert pulse.last().in_hand_since_s == 2.0
    pulse.acknowledged(3.0, 7)
    last = pulse.last()
    assert (last.in_hand_since_s, last.answered, last.answered_s) == (None, 7, 3.0)
    assert last.partitions == {3}


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_surface_answers_and_says_where_it_is(home):
    health = Health(facts={"port": 7})
    run = surfaces.run_folder(home)
    run.mkdir()
    killed = run / f"thing@{socket.gethostname()}-4194305.json"  # no process has this number
    killed.write_text('[{"targets": ["127.0.0.1:9"], "labels": {}}]')
    foreign = run / "thing@elsewhere-1.json"
    foreign.write_text("[]")
    with surfaces.surface("thing", lambda: health) as url:
        assert not killed.exists()
        foreign.unlink()
        (file,) = run.glob("thing@*.json")
        assert surfaces.surface_of(os.getpid()) == url.removeprefix("http://")
        (group,) = json.loads(file.read_text())
        assert url == f"http://{group['targets'][0]}"
        assert group["labels"] == {"job": "thing"}
        assert get(f"{url}/ready") == (
            200,
            '{"live": true, "ready": true, "dead": [], "not_ready": [], "facts": {"port": 7}}\n',
        )
        assert "lesionstream_ready 1.0" in get(f"{url}/metrics")[1]
        assert get(f"{url}/nothing")[0] == 404

        health = Health(not_ready=("no broker",))
        assert [get(f"{url}/{path}")[0] for path in ("live", "ready")] == [200, 503]
        assert "lesionstream_ready 0.0" in get(f"{url}/metrics")[1]
        health = Health(dead=("hangs",))
        assert [get(f"{url}/{path}")[0] for path in ("live", "ready")] == [503, 503]
    assert not list(run.iterdir())


class Ended(Exception):
    """What stands for the end of the process."""


def test_a_worker_that_hangs_is_ended():
    """A batch in hand for too long, seen from beside."""

    def end(code):
        raise Ended(code)

    pulse = Pulse()
    watch = WorkerWatch(pulse, cluster=Cluster.plain("127.0.0.1:1"), group="g", topic="t", end=end)
    now = time.monotonic()
    pulse.beat(now, [0])
    pulse.taken(now - IN_HAND_S - 1)
    watch._saw(GROUP)
    with pytest.raises(Ended, match=str(EXIT_HANGS)):
        watch._rest()
    pulse.acknowledged(now, 1)
    watch._rest()


def test_a_slow_message_is_movement():
    """Messages wait for long, but one after the other is taken up: nothing is stuck."""
    pulse = Pulse()
    watch = WorkerWatch(pulse, cluster=Cluster.plain("127.0.0.1:1"), group="g", topic="t")
    pulse.beat(time.monotonic(), [0])
    watch._moved_s -= STUCK_S + 1
    pulse.taken(time.monotonic())
    watch._saw(GROUP)
    assert watch.health().live
    watch._moved_s -= STUCK_S + 1
    watch._saw(GROUP)
    assert not watch.health().live
