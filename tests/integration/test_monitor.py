"""The monitor's server on a real Kafka and Redis: its feed, its pictures, its actions."""

import base64
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid5

import cv2
import httpx
import numpy as np
import pytest
from kafka import KafkaAdminClient, TopicPartition
from support.kafka_records import alert, envelope_of, heartbeat
from support.monitors import Monitor
from support.phantoms import chest_hu, dataset, part10
from support.records import SPACE, candidate, finding
from support.stack import Stack, eventually

import local
from local.broker import Broker
from local.cache import Cache
from wire import topic_admin
from wire.cluster import Cluster
from wire.frame import decode_frame
from wire.records import Action, FrameAddress
from wire.topics import ACTIONS, ALERTS, FRAMES, PATIENTS, RESULTS, Names

pytestmark = [pytest.mark.timeout(240)]

AWAY_S = 4.0
"""A server that is away is said to be so within a beat, a probe and its limit."""


@pytest.fixture
def stack(home, tmp_path):
    """Yield a stack on these servers."""
    found = local.up(home)
    names = Names(f"t{random.SystemRandom().randbytes(4).hex()}-")
    topic_admin.create(Cluster.plain(found.kafka), names)
    stack = Stack(found.kafka, found.redis, names, tmp_path)
    yield stack
    stack.close()


@pytest.fixture
def monitor(stack):
    return Monitor(stack)


def say(stack, *records):
    """Publish records of ours to `alerts`."""
    stack.send_all(ALERTS, [("x", r.to_json(), envelope_of(r)) for r in records])


def test_a_client_misses_nothing_and_hears_nothing_twice_across_restarts(stack, monitor):
    say(stack, *(alert(n) for n in range(300)), heartbeat(1))
    monitor.start()
    first = monitor.listen(**{"from": 0})
    heard = first.wait(301)
    say(stack, *(alert(n) for n in range(300, 310)))
    heard = first.wait(311)
    assert monitor.stop() < 10
    assert first.ended()
    # Said while nobody serves; one of them again, as by a worker that was killed.
    say(stack, alert(5), alert(310), alert(305), alert(311))
    monitor.start()
    second = monitor.listen(last_event_id=heard[-1])
    heard += second.wait(2)
    monitor.kill()
    assert second.ended()
    say(stack, alert(312), alert(311))
    monitor.start()
    third = monitor.listen(last_event_id=heard[-1])
    heard += third.wait(1)
    say(stack, alert(313))
    heard += third.wait(2)[1:]
    assert heard == [*range(311), 312, 314, 315, 317]
    ids = [e.json["id"] for s in (first, second, third) for e in s.events if e.name == "alert"]
    assert ids == [str(alert(n).id) for n in range(314)]


def test_what_left_the_memory_comes_from_kafka_and_what_left_kafka_is_a_gap(stack, monitor):
    count = 4_600
    monitor.start()
    live = monitor.listen()
    eventually(live.beats, within_s=10, what="a beat")
    say(stack, *(alert(n) for n in range(count)), alert(7))
    assert live.wait(count, within_s=60) == list(range(count))
    with ThreadPoolExecutor(6) as pool:  # more than are served from Kafka at one time
        clients = list(pool.map(lambda n: monitor.listen(**{"from": n}), range(6)))
        for number, client in enumerate(clients):
            assert client.wait(count - number, within_s=60) == list(range(number, count))
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka.split(","))
    admin.delete_records({TopicPartition(stack.names.of(ALERTS), 0): 100})
    admin.close()
    late = monitor.listen(last_event_id=9)
    assert late.wait(count - 100, within_s=60) == list(range(100, count))
    (gap,) = [e.json for e in late.events if e.name == "gap"]
    assert gap == {"from": 10, "to": 100}
    beyond = monitor.listen(last_event_id=10**6)
    eventually(lambda: any(e.name == "gap" for e in beyond.events), within_s=10, what="a gap")
    say(stack, alert(count))
    assert beyond.wait(1) == [count + 1]
    assert monitor.get("/api/alerts/stream?last_event_id=x").status_code == 400


def test_a_broker_killed_and_back_is_told_and_nothing_is_lost(stack, monitor, home):
    say(stack, alert(1))
    monitor.start()
    client = monitor.listen(**{"from": 0})
    assert client.wait(1) == [0]
    killed = time.monotonic()
    Broker(home.resolve()).find().signal(signal.SIGKILL)
    wait_for_beat(client, since=killed, within_s=AWAY_S, broker="away")
    assert monitor.act(
        "nurse", action="acknowledge", patient_id=None, about=str(alert(1).alarm_id)
    ).status_code in (404, 503)
    assert local.up(home).kafka == stack.kafka
    wait_for_beat(client, since=time.monotonic(), within_s=15, broker="ok")
    say(stack, alert(2), alert(3))
    assert client.wait(3) == [0, 1, 2]
    frozen = time.monotonic()
    running = Broker(home.resolve()).find()
    running.signal(signal.SIGSTOP)
    try:
        wait_for_beat(client, since=frozen, within_s=AWAY_S, broker="away")
    finally:
        running.signal(signal.SIGCONT)
    wait_for_beat(client, since=time.monotonic(), within_s=15, broker="ok")
    say(stack, alert(4))
    assert client.wait(4) == [0, 1, 2, 3]
    steady(client)
    assert monitor.process.poll() is None


def test_a_cache_that_hangs_is_told_and_holds_nothing_up(stack, monitor, home):
    monitor.start()
    client = monitor.listen()
    wait_for_beat(client, since=0.0, within_s=10, cache="ok", broker="ok", ready=True)
    running = Cache(home.resolve()).find()
    frozen = time.monotonic()
    running.signal(signal.SIGSTOP)
    try:
        wait_for_beat(client, since=frozen, within_s=AWAY_S, cache="away")
    finally:
        running.signal(signal.SIGCONT)
    wait_for_beat(client, since=time.monotonic(), within_s=10, cache="ok")
    steady(client)


def wait_for_beat(client, *, since, within_s, **values):
    """Wait for a beat that says so."""
    eventually(
        lambda: any(
            {k: e.json[k] for k in values} == values for e in client.beats() if e.at_s > since
        ),
        within_s=within_s,
        what=f"a beat that says {values}",
    )


def steady(client):
    """Check that a page would not have called the feed STALE."""
    times = [e.at_s for e in client.beats()]
    assert max(b - a for a, b in pairwise(times)) < 3.0


PUBLIC = {"/live", "/login"}


def test_no_page_and_no_answer_without_a_token(monitor):
    monitor.start()
    described = monitor.get("/openapi.json").json()
    paths = ["/", "/patients/p-1", "/alarms", "/system", "/openapi.json", "/docs", "/nothing"]
    for path in [*described["paths"], *paths]:
        answer = monitor.get(path, role=None)
        assert answer.status_code in (401, 303), path
        assert len(answer.content) < 100, path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
    assert httpx.post(f"{monitor.url}/api/actions", json={}).status_code == 403  # of no page
    for path in PUBLIC:
        assert monitor.get(path, role=None).status_code == 200
    for path in ("/", "/alarms", "/system", "/api/patients", "/api/alarms", "/api/system"):
        assert monitor.get(path, role="viewer").status_code == 200, path
    schemas = described["components"]["schemas"]
    assert {"Ward", "PatientSheet", "AlarmSheet", "SystemSheet", "Action"} <= set(schemas)


def test_a_session_begins_and_ends(stack, monitor):
    monitor.users.add("ann", "nurse", "correct horse")
    monitor.start()
    origin = {"Origin": monitor.url}
    with httpx.Client(base_url=monitor.url, headers=origin) as browser:
        asked = browser.get("/alarms")
        assert asked.headers["location"] == "/login?next=/alarms"
        form = {"name": "ann", "password": "wrong", "next": "/alarms"}
        assert browser.post("/login", data=form).status_code == 403
        answer = browser.post("/login", data=form | {"password": "correct horse"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/alarms")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert browser.get("/alarms").status_code == 200
        client = monitor.listen_as(browser)
        eventually(client.beats, within_s=10, what="a beat")
        monitor.stop()
        monitor.start()
        assert browser.get("/alarms").status_code == 200
        client = monitor.listen_as(browser)
        eventually(client.beats, within_s=10, what="a beat")
        monitor.users.remove("ann")
        assert browser.get("/alarms").status_code == 303
        assert client.ended(within_s=15)


# Pictures ----------------------------------------------------------------------------------------


def send_frame(stack, uid, *, heat_at=None, patient="p-1", **attributes):
    """Publish a frame and its finding, with a heat map that has one hot cell; return both."""
    ds = dataset(
        chest_hu(1),
        SOPInstanceUID=uid,
        PatientIdentityRemoved="YES",
        PatientID=patient,
        PatientName="",
        ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        **attributes,
    )
    payload = part10(ds)
    stack.send(FRAMES, payload, key=patient)
    (record,) = [r for r in stack.records(FRAMES) if r.value == payload]
    frame = decode_frame(payload)
    heat_map = None
    if heat_at is not None:
        cells = np.zeros((64, 64), np.uint8)
        cells[heat_at] = 255
        heat_map = base64.b64encode(cv2.imencode(".png", cells)[1].tobytes()).decode()
    one = finding(0.9, patient=patient, lesions=(candidate(0.9, 60, 30, 0, 8),)).model_copy(
        update={
            "id": uuid5(SPACE, f"finding {uid}"),
            "frame_id": frame.frame_id,
            "sop_instance_uid": uid,
            "heat_map": heat_map,
            "quality": {"burned_in_annotation": frame.about.burned_in},
            "frame": FrameAddress(
                topic=record.topic, partition=record.partition, offset=record.offset
            ),
        }
    )
    stack.send_all(RESULTS, [(patient, one.to_json(), envelope_of(one))])
    return one, frame


def picture(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_pictures_show_the_frame_and_the_heat_lies_over_its_place(stack, monitor):
    row, column = 20, 45
    _, frame = send_frame(stack, "1.2.3", heat_at=(row, column))
    send_frame(stack, "1.2.4", patient="p-2")
    send_frame(stack, "1.2.6", patient="p-2", BurnedInAnnotation="YES")
    monitor.start()
    address = "/api/frames/1.2.3/1.png"
    for window, centre, width in [("lung", -600, 1500), ("soft", 40, 400)]:
        shown = picture(monitor.get(f"{address}?window={window}"))
        share = (frame.hu() - centre + 0.5) / (width - 1) + 0.5
        np.testing.assert_allclose(shown, np.clip(share, 0, 1) * 255, atol=1)
    assert picture(monitor.get(address)).shape == frame.pixels.shape

    heat = picture(monitor.get(f"{address}?layer=heat"))
    assert heat.shape == (192, 192, 4)
    alpha = heat[..., 3].astype(float)
    y, x = (float((alpha * axis).sum() / alpha.sum()) for axis in np.mgrid[0:192, 0:192])
    assert abs(x - (column * 3 + 1)) < 1  # a cell is 3 x 3 pixels here
    assert abs(y - (row * 3 + 1)) < 1
    assert alpha[row * 3 + 1, column * 3 + 1] > 100
    assert alpha[:40].max() == 0
    assert picture(monitor.get("/api/frames/1.2.4/1.png?layer=heat"))[..., 3].max() == 0

    named = "/api/frames/1.2.6/1.png"
    assert picture(monitor.get(named, "nurse")).shape == frame.pixels.shape
    assert picture(monitor.get(f"{named}?layer=heat", "viewer")).shape == (192, 192, 4)
    for role in ("viewer", "operator"):  # they see no names, in pixels neither
        refused = monitor.get(named, role)
        assert refused.status_code == 403
        assert "may show a name" in refused.text
        assert monitor.get(address, role).status_code == 200

    assert monitor.get("/api/frames/1.2.3/2.png").status_code == 410
    assert monitor.get("/api/frames/9.9/1.png").status_code == 410
    assert monitor.get(f"{address}?window=bone").status_code == 422
    seen = eventually(lambda: actions(stack), within_s=10, what="looks are recorded")
    assert {a.action for a in seen} == {"view"}
    eventually(lambda: len(actions(stack)) == 6, within_s=10, what="one look at each patient")


def test_a_frame_that_kafka_lost_is_never_another_one(stack, monitor):
    one, _ = send_frame(stack, "1.2.3")
    other, _ = send_frame(stack, "1.2.4")
    # As after `frames` was made anew: the finding leads to a place where another frame lies.
    wrong = one.model_copy(update={"frame": other.frame})
    stack.send_all(RESULTS, [("p-1", wrong.to_json(), envelope_of(wrong))])
    monitor.start()
    assert monitor.get("/api/frames/1.2.3/1.png").status_code == 410
    assert monitor.get("/api/frames/1.2.4/1.png").status_code == 200
    broken, _ = send_frame(stack, "1.2.5", PixelSpacing=[1, 1])
    place = TopicPartition(broken.frame.topic, broken.frame.partition)
    eventually(
        lambda: monitor.get("/api/frames/1.2.5/1.png").status_code == 200,
        within_s=10,
        what="the new finding is known",
    )
    admin = KafkaAdminClient(bootstrap_servers=stack.kafka.split(","))
    admin.delete_records({place: broken.frame.offset + 1})
    admin.close()
    assert monitor.get("/api/frames/1.2.5/1.png?window=soft").status_code == 410


# Actions -----------------------------------------------------------------------------------------


def actions(stack):
    return [Action.model_validate_json(r.value) for r in stack.records(ACTIONS)]


def test_an_acknowledgement_by_the_api_is_heard_on_the_feed(stack, monitor):
    stack.worker("patients")
    stack.wait_for_members("patients", 1)
    stack.send_all(
        RESULTS,
        [("p-1", f.to_json(), envelope_of(f)) for f in (finding(0.95, number=n) for n in range(3))],
    )
    monitor.start()
    client = monitor.listen(**{"from": 0})
    started = eventually(
        lambda: [e.json for e in client.events if e.name == "alert"], within_s=30, what="an alarm"
    )[0]
    sheet = eventually(
        lambda: patient_sheet(monitor), within_s=10, what="the patient with an alarm"
    )
    assert sheet["tile"]["probability"] == 0.95
    assert [a["alarm_id"] for a in sheet["alarms"]] == [started["alarm_id"]]
    wish = {"action": "acknowledge", "patient_id": "p-1", "about": started["alarm_id"]}
    for role in ("viewer", "operator"):
        assert monitor.act(role, **wish).status_code == 403
    assert monitor.act("nurse", **wish | {"patient_id": "p-2"}).status_code == 404
    answer = monitor.act("nurse", **wish)
    assert answer.status_code == 202
    update = eventually(
        lambda: [
            e.json
            for e in client.events
            if e.name == "alert" and e.json["inactivation"] == "acknowledged"
        ],
        within_s=20,
        what="the acknowledgement is heard",
    )[0]
    assert update["alarm_id"] == started["alarm_id"]
    (done,) = [a for a in actions(stack) if a.action == "acknowledge"]
    assert (done.actor, str(done.id)) == ("nurse-1", answer.json()["id"])
    views = [a for a in actions(stack) if a.action == "view"]
    assert {(v.actor, v.patient_id) for v in views} == {("clinician-1", "p-1")}
    assert stack.records(PATIENTS)
    assert monitor.facts()["clients"] == 1


def patient_sheet(monitor):
    answer = monitor.get("/api/patients/p-1")
    return answer.json() if answer.status_code == 200 and answer.json()["alarms"] else None


def test_a_page_gets_its_parts_and_their_changes_by_the_feed(stack, monitor):
    monitor.start()
    client = monitor.listen("nurse", view="system")
    (whole,) = eventually(lambda: patches(client)[:1], within_s=10, what="the whole view")
    assert whole["html"]
    one = heartbeat(1, alert(1))
    say(stack, one)
    changed = eventually(lambda: patches(client)[1:], within_s=10, what="what changed")
    assert set(changed[0]["html"]) < set(whole["html"])
    assert "Redis does not answer" in "".join(p for c in changed for p in c["html"].values())
    assert monitor.get("/api/alerts/stream?view=patient").status_code == 422


def patches(client):
    return [e.json for e in client.events if e.name == "patch"]
