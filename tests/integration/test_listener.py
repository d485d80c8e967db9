"""Devices send by real C-STORE; what they are told is true."""

import io
import json
import multiprocessing
import shutil
import subprocess
import urllib.request

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from support.certificates import Authority
from support.listeners import listener, publisher
from support.phantoms import chest_hu, dataset, part10, write_series
from support.stack import eventually

from producers.listener import ANYONE, SOURCE
from producers.quarantine import Quarantine
from producers.scanner.device import Device, Faults, NotTaken
from wire.dead_letters import DeadLetter
from wire.envelope import Envelope
from wire.topics import FRAMES, STAT

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]

CT = "1.2.840.10008.5.1.4.1.1.2"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def listening(stack, tmp_path):
    """Return a function that starts a listener for these AE titles and returns its port."""
    started = []

    def start(*allow, kafka=stack.kafka, **kwargs):
        made = listener(publisher(kafka, stack.names), tmp_path, allow=allow or (ANYONE,), **kwargs)
        started.append(made)
        return made.start("127.0.0.1", 0)

    yield start
    for made in started:
        made.close()


def send(port, *objects, calling="ANY", called="LESIONSTREAM"):
    """Send data sets on one association; return (status, comment) of each."""
    ae = AE(calling)
    for sop_class in {ds.SOPClassUID for ds in objects}:
        ae.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    answers = [association.send_c_store(ds) for ds in objects]
    association.release()
    return [(a.Status, str(a.get("ErrorComment", ""))) for a in answers]


def readable(ds):
    """Return a data set as read from a file."""
    return pydicom.dcmread(io.BytesIO(part10(ds)))


def test_storescu_sends_a_folder_and_every_image_arrives_once(listening, stack, tmp_path):
    if shutil.which("storescu") is None:
        pytest.fail("DCMTK's storescu is missing: make setup-tests")
    write_series(tmp_path / "scans", "P1", slices=12, seed=1)
    port = listening("STORESCU")
    for _ in range(2):  # a device that sends twice makes nobody count twice
        subprocess.run(
            ["storescu", "-aec", "LESIONSTREAM", "+sd", "+r", "127.0.0.1", str(port),
             str(tmp_path / "scans")],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    sent = {pydicom.dcmread(f).SOPInstanceUID for f in (tmp_path / "scans").rglob("*.dcm")}
    envelopes = [Envelope.of(r.headers) for r in stack.records(FRAMES)]
    assert len(envelopes) == 24
    assert len({e.id for e in envelopes}) == 12
    assert {e.subject.split("/")[0] for e in envelopes} == sent
    assert {e.source for e in envelopes} == {SOURCE}
    assert b"Doe" not in b"".join(r.value + (r.key or b"") for r in stack.records(FRAMES))


def test_echo_is_answered_and_strangers_are_not(listening, stack):
    port = listening("SCANNER")
    ae = AE("SCANNER")
    ae.add_requested_context(VERIFICATION)
    association = ae.associate("127.0.0.1", port, ae_title="LESIONSTREAM")
    assert association.send_c_echo().Status == 0
    association.release()
    for calling, called in (("STRANGER", "LESIONSTREAM"), ("SCANNER", "OTHER")):
        other = AE(calling)
        other.add_requested_context(CT)
        refused = other.associate("127.0.0.1", port, ae_title=called)
        assert refused.is_rejected
    with Device(("127.0.0.1", port), ae_title="STRANGER", called="LESIONSTREAM") as device:
        with pytest.raises(NotTaken, match="rejected"):
            device._established()
    assert stack.records(FRAMES) == []


def test_images_of_an_urgent_device_go_to_a_topic_of_their_own(listening, stack):
    port = listening("SCANNER", "TRAUMA", stat=frozenset({"TRAUMA"}))
    for number, calling in enumerate(("SCANNER", "TRAUMA")):
        image = readable(dataset(chest_hu(0, size=32), SOPInstanceUID=f"1.2.{number}"))
        assert send(port, image, calling=calling) == [(0, "")]
    for topic, uid in ((FRAMES, "1.2.0"), (STAT, "1.2.1")):
        (record,) = stack.records(topic)
        assert Envelope.of(record.headers).subject == f"{uid}/1"


def test_what_is_no_frame_is_refused_with_the_reason_and_kept(listening, stack, tmp_path):
    port = listening()
    report = readable(dataset(chest_hu(0, size=8), SOPInstanceUID="1.2.99", SOPClassUID=REPORT))
    del report.PixelData
    short = readable(dataset(chest_hu(0, size=32), SOPInstanceUID="1.2.98"))
    short.PixelData = short.PixelData[:100]
    volume = np.stack([chest_hu(n, size=32) for n in range(3)])
    multi = readable(dataset(volume, SOPInstanceUID="1.2.97"))
    good = readable(dataset(chest_hu(1, size=32), SOPInstanceUID="1.2.96"))
    answers = send(port, report, short, multi, good)
    assert [status for status, _ in answers] == [0xC001, 0xC000, 0x0000, 0x0000]
    assert answers[0][1].startswith("not-an-image")
    assert answers[1][1].startswith("undecodable")
    assert len(stack.records(FRAMES)) == 3 + 1
    letters = [DeadLetter.of(r.key, r.value, r.headers) for r in stack.dead_letters()]
    kept = {entry.sha256 for entry in Quarantine(tmp_path / "quarantine").entries()}
    assert {letter.quarantine for letter in letters} == kept
    assert len(kept) == 2


def test_without_a_broker_images_are_kept_and_sent_once_it_answers(listening, stack, tmp_path):
    port = listening(kafka="127.0.0.1:1")
    images = [readable(dataset(chest_hu(n, size=32), SOPInstanceUID=f"1.2.{n}")) for n in range(5)]
    report = readable(dataset(chest_hu(0, size=8), SOPInstanceUID="1.2.99", SOPClassUID=REPORT))
    del report.PixelData
    assert [status for status, _ in send(port, *images, report)] == [0x0000] * 5 + [0xC001]
    assert stack.records(FRAMES) == []
    spooled = b"".join(file.read_bytes() for file in (tmp_path / "spool").iterdir())
    assert b"ce_subject" in spooled
    assert b"Doe" not in spooled, "what waits is de-identified"
    # Another one, as after `kill -9`, is given what the first one kept.
    shutil.copytree(tmp_path / "spool", tmp_path / "again/spool")
    with listener(publisher(stack.kafka, stack.names), tmp_path / "again") as later:
        later.start("127.0.0.1", 0)
        eventually(
            lambda: len(stack.records(FRAMES)) == 5 and stack.dead_letters(),
            within_s=15,
            what="what was kept is sent",
        )
    envelopes = [Envelope.of(r.headers) for r in stack.records(FRAMES)]
    assert [e.subject for e in envelopes] == [f"1.2.{n}/1" for n in range(5)], "in order"
    assert not list((tmp_path / "again/spool").glob("*.sqlite*")), "and no image stays behind"


def test_without_broker_and_room_a_device_is_told_to_try_again(listening, stack):
    port = listening(kafka="127.0.0.1:1", spool_bytes=1000)
    ((status, comment),) = send(port, readable(dataset(chest_hu(0, size=32))))
    assert status == 0xA700
    assert "try again" in comment


def test_a_decoder_outlives_the_association_that_needed_it(listening, stack):
    """Decode processes die with the thread that started them: it must not be a device's."""
    port = listening()
    poison = readable(dataset(chest_hu(0, size=32)))
    images = [readable(dataset(chest_hu(n, size=32), SOPInstanceUID=f"1.2.{n}")) for n in range(6)]
    send(port, poison)
    children = set(multiprocessing.active_children())
    for child in children:
        child.kill()  # as a hostile file would
        child.join()
    send(port, images[0])
    first = {child.pid for child in multiprocessing.active_children()}
    for image in images[1:]:
        assert send(port, image) == [(0x0000, "")]
    assert {child.pid for child in multiprocessing.active_children()} == first


def test_a_device_with_every_fault_gets_every_image_through_once(listening, stack):
    port = listening("SIMSCANNER")
    images = [
        readable(dataset(chest_hu(n, size=32), SOPInstanceUID=f"1.2.{n}", InstanceNumber=n))
        for n in range(1, 31)
    ]
    faults = Faults(duplicates=0.3, out_of_order=0.3, dropped=0.3, truncated=0.3)
    with Device(
        ("127.0.0.1", port), ae_title="SIMSCANNER", called="LESIONSTREAM", faults=faults, seed=3
    ) as device:
        sent = list(device.send(images))
    by_fault = {f: [s for s in sent if s.fault == f] for f in {s.fault for s in sent}}
    assert set(by_fault) == {"", "duplicate", "out-of-order", "dropped", "truncated"}
    assert {s.status for s in by_fault["truncated"]} == {0xC000}
    assert {s.status for s in sent if s.fault != "truncated"} == {0x0000}
    stored = [Envelope.of(r.headers).subject for r in stack.records(FRAMES)]
    assert len(stored) == len(sent) - len(by_fault["truncated"])
    assert set(stored) == {f"1.2.{n}/1" for n in range(1, 31)}


def test_the_command_listens_and_the_command_sends_by_tls(stack, tmp_path, monkeypatch):
    authority = Authority(tmp_path, "hospital")
    certificate, key = authority.certify("both")
    for name, file in (("CERTIFICATE", certificate), ("KEY", key), ("CA", authority.file)):
        monkeypatch.setenv(f"LESIONSTREAM_TLS_{name}", str(file))
    nobody = stack.command("listen")
    assert nobody.returncode == 2
    assert "--allow" in nobody.stderr
    stack.start("listen", "--port", "0", "--host", "127.0.0.1", "--allow", "SIMSCANNER")
    run = tmp_path / "home" / "run"
    (file,) = eventually(
        lambda: list(run.glob("listener@*.json")), within_s=30, what="the listener says where it is"
    )
    (place,) = json.loads(file.read_text())[0]["targets"]

    def ready():
        with urllib.request.urlopen(f"http://{place}/live", timeout=5) as answer:
            said = json.load(answer)
        return said if said["ready"] else None

    port = eventually(ready, within_s=30, what="the listener is ready")["facts"]["port"]
    truth = tmp_path / "truth.json"
    done = stack.command(
        "simulate", "--to", f"127.0.0.1:{port}", "--patients", 2, "--studies", 1, "--slices", 3,
        "--truth", truth, "--jsonl", "--tls",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["status"] for line in lines] == [0] * 6
    stored = {Envelope.of(r.headers).subject.split("/")[0] for r in stack.records(FRAMES)}
    known = {
        image["SOPInstanceUID"]
        for series in json.loads(truth.read_text())["series"]
        for image in series["images"]
    }
    assert stored == known == {line["SOPInstanceUID"] for line in lines}
    with urllib.request.urlopen(f"http://{place}/metrics", timeout=5) as answer:
        assert 'lesionstream_stored_total{status="0000"} 6.0' in answer.read().decode()
