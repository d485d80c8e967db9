"""A real frame goes all the way: files, Kafka, scoring, patients, alerts, Redis."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from redis import Redis
from support.phantoms import chest_hu, dataset, part10, write_series
from support.publishing import feed
from support.stack import eventually

from producers.prepare import prepare
from stream.scoring_worker import SOURCE as SCORING
from wire import ids
from wire.dead_letters import DeadLetter
from wire.envelope import Envelope
from wire.frame import decode_frame
from wire.records import Action
from wire.topics import ACTIONS, PATIENTS, RESULTS, TOPICS

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


def all_folded(stack):
    """Wait until the patients worker has acknowledged all there is on `results`."""
    eventually(lambda: stack.behind("patients", RESULTS) == 0, within_s=30, what="all is folded")


def test_every_frame_is_answered_once_and_leads_back_bit_for_bit(running, tmp_path):
    folder = tmp_path / "scans"
    write_series(folder / "a", "P1", slices=12, seed=1)
    write_series(folder / "b", "P2", slices=8, seed=2)
    volume = np.stack([chest_hu(n, size=64) for n in range(3)])
    multi = dataset(volume, SOPInstanceUID="1.2.3.4", PatientID="P3", Modality="MR")
    (folder / "multi.dcm").write_bytes(part10(multi))
    (folder / "notes.txt").write_text("not DICOM")

    done = running.command("replay", folder)
    assert done.returncode == 1, "one file is no frame"
    assert "a file: undecodable: not a DICOM file" in done.stderr
    published = running.frame_ids()
    assert len(published) == len(set(published)) == 23

    findings = running.answered(23, within_s=60)
    assert {str(f.frame_id) for f in findings} == set(published)
    assert len(findings) == len({f.id for f in findings}) == 23
    originals = {
        ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, sorted(folder.rglob("*.dcm")))
    }
    for finding in findings:
        message = running.frame(finding)
        frame = decode_frame(message.value, finding.frame_number)
        assert frame.frame_id == finding.frame_id
        pixels = originals[finding.sop_instance_uid].pixel_array
        if pixels.ndim == 3:
            pixels = pixels[finding.frame_number - 1]
        np.testing.assert_array_equal(frame.pixels, pixels)
    assert sum(f.status == "scored" for f in findings) >= 10
    assert {f.reason for f in findings if f.modality == "MR"} == {"modality-not-supported"}
    assert len(running.dead_letters()) == 1 + sum(f.status == "not-scored" for f in findings)

    envelope = Envelope.of(running.records(RESULTS)[0].headers)
    assert (envelope.kind, envelope.source) == ("finding", SCORING)
    assert envelope.content_type == "application/json"

    states = running.settled()
    assert len(states) == 3
    eventually(lambda: running.cached() == states, within_s=15, what="Redis is whole")
    check_decisions(running, findings, states)


def test_frames_decoded_beside_one_another_are_answered_in_order(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONSTREAM_DECODERS", "3")
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(1, 25):  # every third takes long
        pixels = chest_hu(number, size=512 if number % 3 == 1 else 64)
        image = dataset(pixels, SOPInstanceUID=f"1.2.3.{number}", InstanceNumber=number)
        (scans / f"{number:02}.dcm").write_bytes(part10(image))
    worker = stack.worker("scoring")
    assert stack.command("replay", scans).returncode == 0
    findings = stack.answered(24, within_s=60)
    assert [finding.instance_number for finding in findings] == list(range(1, 25))
    children = [
        Path(f"/proc/{child}/cmdline").read_bytes()
        for told in Path(f"/proc/{worker.pid}/task").glob("*/children")
        for child in told.read_text().split()
    ]
    assert sum(b"spawn_main" in command for command in children) == 3


def check_decisions(stack, findings, states):
    """Recompute by hand what policy `threshold` should have said of each complete series."""
    greatest = {}
    for f in findings:
        if f.lesion_probability is not None:
            p = max(greatest.get(f.series_instance_uid, 0.0), f.lesion_probability)
            greatest[f.series_instance_uid] = p
    expected = {
        uid: "intensify" if p >= 0.5 else "maintain-or-reduce" for uid, p in greatest.items()
    }
    said = {r.series_instance_uid: r.action for r in stack.recommendations()}
    assert said == expected
    alarmed = [a.series_instance_uid for a in stack.alerts() if a.phase == "start"]
    assert sorted(alarmed) == sorted(uid for uid, p in greatest.items() if p >= 0.5)
    in_states = {
        uid: series["assessment"]["lesion_probability"]
        for state in states.values()
        for uid, series in state["series"].items()
        if uid in greatest
    }
    assert in_states == greatest


def test_replayed_twice_changes_no_state_and_alarms_nobody_again(running, tmp_path):
    write_series(tmp_path / "scans", "P1", slices=20, seed=3)
    feed(running, tmp_path / "scans")
    running.answered(20, within_s=60)
    states = running.settled()
    said = [r.id for r in running.recommendations()], [a.id for a in running.alerts()]
    assert said[0]

    assert running.command("replay", tmp_path / "scans").returncode == 0
    eventually(lambda: len(running.findings()) == 40, within_s=60, what="answered again")
    all_folded(running)
    assert running.settled() == states
    assert ([r.id for r in running.recommendations()], [a.id for a in running.alerts()]) == said
    assert len({f.id for f in running.findings()}) == 20


def test_foreign_messages_get_exactly_one_finding_each(running):
    good = next(iter(prepare(part10(dataset(chest_hu(1))), b"k" * 32)))
    named = part10(dataset(chest_hu(1), PatientID="SECRET", PatientName="SECRET^NAME"))
    deep = b"\0" * 128 + b"DICM" + b"\xff" * 5000
    foreign = Envelope("frame", "made-up-id", "/elsewhere", "1/1").headers()
    running.publish(None, key=b"p-x")
    running.publish(b"")
    running.publish(b"\x89PNG\r\n\x1a\n", key=b"\xff\xfe")
    running.publish(named, key=b"SECRET")
    running.publish(deep, headers=[("ce_framenumber", b"zero"), ("ce_time", b"yesterday")])
    running.publish(b"early", headers=[("ce_time", b"0001-01-01T00:00:00+14:00")])
    running.publish(good.payload, key=b"p-y", headers=foreign)

    findings = eventually(
        lambda: found if len(found := running.findings()) == 7 else None,
        within_s=60,
        what="seven findings",
    )
    reasons = sorted(f.reason.value if f.reason else "scored" for f in findings)
    assert reasons == ["not-deidentified"] + ["scored"] + ["undecodable"] * 5
    (scored,) = (f for f in findings if f.status == "scored")
    assert str(scored.frame_id) == good.frame_id, "a foreign ce_id loses"
    letters = running.dead_letters()
    assert len(letters) == 6
    assert all(letter.value is None for letter in letters), "not known to be de-identified"
    for record in [*letters, *running.records(RESULTS)]:
        assert b"SECRET" not in (record.key or b"") + (record.value or b"")


def test_a_frame_larger_than_a_fetch_passes_and_a_larger_one_is_refused(running, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans"
    folder.mkdir()
    mammogram = rng.integers(0, 4096, (4000, 3900), dtype=np.uint16)  # 31 MB, incompressible
    too_large = rng.integers(0, 4096, (4200, 4000), dtype=np.uint16)
    for name, pixels in (("mg", mammogram), ("xl", too_large)):
        ds = dataset(pixels, Modality="MG", PatientID=name)
        (folder / f"{name}.dcm").write_bytes(part10(ds))
    done = running.command("replay", folder)
    assert "a file: too-large" in done.stderr
    (finding,) = running.answered(1, within_s=60)
    assert finding.reason == "modality-not-supported"
    frame = decode_frame(running.frame(finding).value)
    np.testing.assert_array_equal(frame.pixels, mammogram)


def test_an_alarm_is_acknowledged_and_strange_actions_stop_nobody(running, tmp_path):
    write_series(tmp_path / "scans", "P1", slices=10, seed=1)
    feed(running, tmp_path / "scans")
    (alert,) = eventually(running.alerts, within_s=60, what="an alert")
    assert alert.delay_ms > 0
    action = Action(
        id=ids.payload_id(b"action"),
        action="acknowledge",
        patient_id=alert.patient_id,
        about=alert.id,
        actor="nurse 1",
        event_time=alert.event_time,
    )
    naive = json.loads(action.to_json()) | {"event_time": "2030-01-01T00:00:00"}
    running.send(ACTIONS, b"{}", key=alert.patient_id)
    running.send(ACTIONS, action.to_json(), key="somebody else", partition=0)
    running.send(ACTIONS, action.to_json(), key="somebody else", partition=1)
    running.send(ACTIONS, json.dumps(naive).encode(), key=alert.patient_id)
    running.send(ACTIONS, action.to_json(), key=alert.patient_id)
    update = eventually(lambda: running.alerts()[1:], within_s=30, what="an update")[0]
    assert (update.phase, update.inactivation) == ("update", "acknowledged")
    assert update.alarm_id == alert.id

    moment = json.loads(action.to_json())["event_time"]

    def earliest():
        (state,) = running.settled().values()
        return state["acknowledgements"][str(alert.id)]["event_time"] == moment

    eventually(earliest, within_s=30, what="the earliest acknowledgement counts")
    eventually(lambda: len(running.dead_letters()) >= 2, within_s=30, what="letters")
    reasons = [DeadLetter.of(r.key, r.value, r.headers).reason for r in running.dead_letters()]
    assert reasons.count("not-a-record") == 1
    assert reasons.count("wrong-partition") in (1, 2), "0 or 1 may be where the patient belongs"
    assert [process.poll() for process in running.processes] == [None, None]


def test_states_are_rebuilt_from_the_log_alone(running, tmp_path):
    """Snapshots and Redis both gone, the worker killed: the log still has everything."""
    write_series(tmp_path / "scans", "P1", slices=12, seed=1)
    feed(running, tmp_path / "scans")
    running.answered(12, within_s=60)
    states = running.settled()
    alerts = [a.id for a in running.alerts()]
    all_folded(running)  # what is tested is what lies before the commit
    running.kill(running.processes[1])
    running.delete(PATIENTS)
    with Redis.from_url(running.redis, protocol=2) as redis:
        for key in redis.scan_iter(f"{running.names.prefix}*"):
            redis.delete(key)
    assert running.command("topics", "create").returncode == 0
    running.worker("patients")
    eventually(lambda: running.states() == states, within_s=60, what="rebuilt")
    eventually(lambda: running.cached() == states, within_s=30, what="in Redis, too")
    assert [a.id for a in running.alerts()] == alerts, "nobody is alarmed again"


def test_workers_wait_for_missing_topics(stack, tmp_path):
    for topic in TOPICS:
        stack.delete(topic)
    worker = stack.worker("scoring")
    log = next(stack.folder.glob("*worker-scoring.log"))
    eventually(lambda: b"topics missing" in log.read_bytes(), within_s=30, what="it says so")
    assert worker.poll() is None
    eventually(
        lambda: stack.command("topics", "create").returncode == 0, within_s=30, what="topics"
    )
    stack.wait_for_members("scoring", 1)
    write_series(tmp_path / "scans", "P1", slices=2, seed=1)
    feed(stack, tmp_path / "scans")
    stack.answered(2, within_s=30)


def test_sigterm_ends_a_worker_in_time(running):
    for process in running.processes:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        assert time.monotonic() - started < 5, "a limit promised to users"
