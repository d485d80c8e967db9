"""The watchdog beside real workers on a real Kafka and Redis: what it says, and how soon."""

import json
import os
import secrets
import signal
import urllib.error
import urllib.request
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from support.phantoms import write_series
from support.stack import Stack, eventually

import local
from monitor.symptoms import WORKERS
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.records import Action, Heartbeat
from wire.topics import ACTIONS, ALERTS, Names

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]

QUICK = "textbook-256"
BLIND_S = 15.0
"""Promised: nobody who listens is blind for longer without hearing of it."""


@pytest.fixture
def watched(home, tmp_path, monkeypatch):
    """Yield a stack with topics of its own; nobody works yet."""
    monkeypatch.setenv("LESIONSTREAM_ENGINE", QUICK)
    servers = local.up(home)
    names = Names(f"w{secrets.token_hex(4)}-")
    topic_admin.create(Cluster.plain(servers.kafka), names)
    stack = Stack(servers.kafka, servers.redis, names, tmp_path)
    yield stack
    stack.end()


def watchdog(stack):
    return stack.start("lesionstream", "watchdog", program=["-m"])


def beats(stack):
    return [
        (record, Heartbeat.model_validate_json(record.value))
        for record in stack.records(ALERTS)
        if Envelope.of(record.headers).kind == Heartbeat.kind
    ]


def alarms(stack, cause):
    """Return what was said of one cause."""
    return [alert for alert in stack.alerts() if alert.cause == cause]


def phases(stack, cause):
    return [alert.phase for alert in alarms(stack, cause)]


def standing(stack):
    """Return the causes that stand by the last heartbeat; None before the first."""
    said = beats(stack)
    return {alarm.cause for alarm in said[-1][1].alarms} if said else None


def ready(stack, name):
    (file,) = (stack.folder / "home" / "run").glob(f"{name}@*.json")
    place = json.loads(file.read_text())[0]["targets"][0]
    try:
        with urllib.request.urlopen(f"http://{place}/ready", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def test_heartbeats_and_a_worker_that_is_stopped(watched, tmp_path):
    """SIGSTOP, not an end: nothing closes a connection, nobody leaves a group."""
    scoring, _ = watched.worker("scoring"), watched.worker("patients")
    for worker in WORKERS:
        watched.wait_for_members(worker, 1)
    watchdog(watched)
    eventually(lambda: standing(watched) == set(), within_s=60, what="all is well")
    write_series(tmp_path / "scans", "P1", slices=3, seed=1)
    assert watched.command("replay", tmp_path / "scans").returncode == 0
    watched.answered(3, within_s=60)

    def whole():
        beat = beats(watched)[-1][1]
        return beat if beat.newest_frame_time and beat.lag == dict.fromkeys(WORKERS, 0) else None

    beat = eventually(whole, within_s=30, what="a heartbeat that knows all")
    assert beat.members == dict.fromkeys(WORKERS, 1)
    assert (beat.broker, beat.cache) == ("ok", "ok")
    assert abs(beat.newest_frame_time - beat.time) < timedelta(minutes=1)
    (check,) = beat.engines
    assert (check.name, check.ok) == (QUICK, True)

    os.killpg(scoring.pid, signal.SIGSTOP)
    stopped = beats(watched)[-1][1].time
    eventually(lambda: standing(watched), within_s=60, what="an alarm")
    first = next(alert for alert in watched.alerts() if alert.category == "technical")
    assert first.priority == "medium"
    assert first.event_time - stopped < timedelta(seconds=BLIND_S)
    assert beats(watched)[-1][1].engines[0].ok is None

    os.killpg(scoring.pid, signal.SIGCONT)
    eventually(lambda: standing(watched) == set(), within_s=60, what="all alarms over")
    for cause in {alert.cause for alert in watched.alerts() if alert.category == "technical"}:
        assert phases(watched, cause) == ["start", "end"]

    said = beats(watched)
    times = [beat.time for _, beat in said]
    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert max(gaps) < BLIND_S
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(1.0, abs=0.2)
    envelope = Envelope.of(said[0][0].headers)
    assert (envelope.source, envelope.id) == ("/lesionstream/watchdog", str(said[0][1].id))
    assert envelope.time == said[0][1].time


def test_a_restart_repeats_no_alarm_and_leaves_none_standing(watched):
    """Nobody works: two alarms. Killed, started again; killed, and a cause ends meanwhile."""
    causes = ["patients-nobody", "scoring-nobody"]
    first = watchdog(watched)
    eventually(lambda: standing(watched) == set(causes), within_s=60, what="alarms")
    alarm = alarms(watched, "scoring-nobody")[0]
    watched.kill(first)
    acknowledged = Action(
        id=uuid4(), action="acknowledge", patient_id=None, about=alarm.id, actor="operator",
        event_time=alarm.event_time,
    )  # fmt: skip
    watched.send(ACTIONS, acknowledged.to_json(), key="technical")

    second = watchdog(watched)
    eventually(lambda: len(alarms(watched, "scoring-nobody")) > 1, within_s=60, what="an update")
    told = alarms(watched, "scoring-nobody")[1]
    assert (told.phase, told.inactivation) == ("update", "acknowledged")
    assert told.alarm_id == alarm.id
    more = len(beats(watched)) + 8
    eventually(lambda: len(beats(watched)) > more, within_s=60, what="more heartbeats")
    assert standing(watched) == set(causes)
    assert phases(watched, "patients-nobody") == ["start"]
    assert watched.command("watchdog").returncode == 2, "one is enough"
    watched.kill(second)

    watched.worker("scoring")
    watched.wait_for_members("scoring", 1)
    watchdog(watched)
    eventually(lambda: standing(watched) == {"patients-nobody"}, within_s=60, what="one over")
    assert phases(watched, "scoring-nobody") == ["start", "update", "end"]
    assert alarms(watched, "scoring-nobody")[-1].alarm_id == alarm.id


def test_servers_that_go_away(watched, home):
    """Redis that hangs is said at once; the broker away when it is back, with for how long."""
    watched.worker("scoring")
    watched.worker("patients")
    for worker in WORKERS:
        watched.wait_for_members(worker, 1)
    watchdog(watched)
    eventually(lambda: standing(watched) == set(), within_s=60, what="all is well")
    redis = local.cache.Cache(home.resolve()).find()
    os.kill(redis.pid, signal.SIGSTOP)  # it hangs: connections stay open, nothing is answered
    try:
        eventually(lambda: standing(watched) == {"cache-away"}, within_s=BLIND_S, what="cache-away")
        assert beats(watched)[-1][1].cache == "away"
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    eventually(lambda: standing(watched) == set(), within_s=BLIND_S, what="the cache is back")
    assert phases(watched, "cache-away") == ["start", "end"]
    times = [beat.time for _, beat in beats(watched)]
    assert max((b - a).total_seconds() for a, b in pairwise(times)) < 3, "the beat went on"
    assert ready(watched, "watchdog")["ready"]

    local.broker.Broker(home.resolve()).down(lambda words: None)
    away = eventually(
        lambda: (said := ready(watched, "watchdog"))["facts"]["alarms"] and said,
        within_s=BLIND_S,
        what="it says itself that the broker is away",
    )
    assert not away["ready"]
    assert away["live"]
    assert "broker-away" in away["facts"]["alarms"]
    local.up(home)
    eventually(
        lambda: phases(watched, "broker-away") == ["start", "end"],
        within_s=60,
        what="what could not be said",
    )
    assert alarms(watched, "broker-away")[1].text.startswith("Over after ")
    eventually(lambda: standing(watched) == set(), within_s=90, what="all is well again")
    ids = [Envelope.of(r.headers).id for r in watched.records(ALERTS)]
    assert len(set(ids)) == len(ids)
