"""What strangers, hostile and unlucky devices get; and that nobody else notices."""

import io
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from support.certificates import Authority
from support.listeners import listener, publisher
from support.phantoms import chest_hu, dataset, part10, write_series
from support.stack import eventually

from producers import dicom_server
from producers.tls import server_context
from wire.envelope import Envelope
from wire.topics import FRAMES

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"


@pytest.fixture
def listening(stack, tmp_path):
    """Return a function that starts a listener and returns it and its port."""
    started = []

    def start(**kwargs):
        made = listener(publisher(stack.kafka, stack.names), tmp_path, **kwargs)
        started.append(made)
        return made, made.start("127.0.0.1", 0)

    yield start
    for made in started:
        made.close()


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Return an authority, the TLS of a listener, and (certificate, key) of a device."""
    authority = Authority(tmp_path_factory.mktemp("tls"), "hospital")
    certificate, key = authority.certify("listener")
    tls = server_context(str(certificate), str(key), str(authority.file))
    return authority, tls, authority.certify("scanner")


def associate(port, calling="ANY", called="LESIONSTREAM", contexts=(CT,), **kwargs):
    ae = AE(calling)
    for uid in contexts:
        ae.add_requested_context(uid, ExplicitVRLittleEndian)
    return ae.associate("127.0.0.1", port, ae_title=called, **kwargs)


def echo(port, **kwargs):
    """Return whether a device that has nothing to do with all this is served."""
    association = associate(port, contexts=(VERIFICATION,), **kwargs)
    served = association.is_established and association.send_c_echo().Status == 0
    association.release()
    return served


def requested(port):
    """Return a raw connection on which an association was accepted."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    raw.sendall(request_of(CT))
    kind, length = struct.unpack(">BxL", raw.recv(6, socket.MSG_WAITALL))
    raw.recv(length, socket.MSG_WAITALL)
    assert kind == 0x02, "accepted"
    return raw


def request_of(uid):
    """Return an A-ASSOCIATE-RQ for one class (PS3.8 Table 9-11)."""

    def item(kind, body):
        return struct.pack(">BxH", kind, len(body)) + body

    syntax = item(0x30, uid.encode()) + item(0x40, b"1.2.840.10008.1.2.1")
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")
    items = item(0x10, b"1.2.840.10008.3.1.1.1")
    items += item(0x20, b"\x01\0\0\0" + syntax) + item(0x50, user)
    body = struct.pack(">HH16s16s32x", 1, 0, b"LESIONSTREAM".ljust(16), b"RAW".ljust(16)) + items
    return struct.pack(">BxL", 0x01, len(body)) + body


def closed(raw):
    """Return whether the other side ended it; what it still sent is read."""
    raw.settimeout(0.1)
    try:
        while data := raw.recv(4096):
            if data[0] == 0x07:
                return True  # A-ABORT
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_five_hundred_slices_on_ten_overlapping_associations_over_tls(
    listening, stack, certified, tmp_path
):
    authority, tls, (certificate, key) = certified
    _, port = listening(allow=["STORESCU"], tls=tls)
    for number in range(10):
        write_series(tmp_path / f"scans/{number}", f"P{number}", slices=50, seed=number)
    senders = [
        subprocess.Popen(
            ["storescu", "-aec", "LESIONSTREAM", "+tls", str(key), str(certificate),
             "+cf", str(authority.file), "+sd", "+r", "127.0.0.1", str(port),
             str(tmp_path / f"scans/{number}")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in range(10)
    ]  # fmt: skip
    for sender in senders:
        said, _ = sender.communicate(timeout=100)
        assert sender.returncode == 0, said
    files = list((tmp_path / "scans").rglob("*.dcm"))
    assert len(files) == 500
    envelopes = [Envelope.of(record.headers) for record in stack.records(FRAMES)]
    assert len(envelopes) == len({e.id for e in envelopes}) == 500
    sent = {
        pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID for file in files
    }
    assert {e.subject.split("/")[0] for e in envelopes} == sent
    assert os.listdir(tmp_path / "receiving") == []


def test_without_a_certificate_of_the_authority_nobody_gets_in(
    listening, certified, tmp_path, capfd
):
    authority, tls, (certificate, key) = certified
    _, port = listening(tls=tls)
    strangers = Authority(tmp_path, "strangers").certify("stranger")

    def device(*own):
        context = ssl.create_default_context(cafile=authority.file)
        context.check_hostname = False
        if own:
            context.load_cert_chain(*own)
        return echo(port, tls_args=(context, None))

    assert device(certificate, key)
    assert not device()
    assert not device(*strangers)
    assert not echo(port), "without TLS"
    assert device(certificate, key)
    said = eventually(
        lambda: (text := capfd.readouterr().out) and "TLS refused" in text and text,
        within_s=5,
        what="it is logged",
    )
    assert "LESIONSTREAM_TLS_CA" in said


def test_a_handshake_that_never_ends_holds_up_nobody(listening, certified):
    authority, tls, own = certified
    _, port = listening(tls=tls)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(*own)
    began = time.monotonic()
    assert echo(port, tls_args=(context, "127.0.0.1"))
    assert time.monotonic() - began < dicom_server.HANDSHAKE_S / 2
    for one in silent:
        one.close()


def test_foreign_titles_and_storage_commitment_are_rejected(listening):
    _, port = listening(allow=["SCANNER"])
    assert associate(port, "STRANGER").is_rejected
    assert associate(port, "SCANNER", called="OTHER").is_rejected
    association = associate(port, "SCANNER", contexts=(CT, COMMITMENT))
    assert [c.abstract_syntax for c in association.accepted_contexts] == [CT]
    assert [c.abstract_syntax for c in association.rejected_contexts] == [COMMITMENT]
    association.release()
    assert echo(port, calling="SCANNER")


def test_more_associations_than_allowed_are_rejected_for_now(listening):
    _, port = listening(associations=2)
    first = [associate(port) for _ in range(2)]
    assert all(association.is_established for association in first)
    assert associate(port).is_rejected
    for association in first:
        association.release()
    eventually(lambda: echo(port), within_s=5, what="there is room again")


def test_a_pdu_that_claims_four_gigabytes_ends_its_association_alone(listening):
    made, port = listening()
    raw = requested(port)
    raw.sendall(struct.pack(">BxL", 0x04, 0xFFFFFFFF) + b"\0" * 1000)
    eventually(lambda: closed(raw), within_s=5, what="it is closed")
    assert echo(port)
    eventually(lambda: made.associations == 0, within_s=5, what="its place is free")


def test_an_object_without_end_is_aborted_at_the_limit(listening, monkeypatch, tmp_path):
    """Claims of gigabytes stop here, and take no memory: what comes is written to a file."""
    monkeypatch.setattr(dicom_server, "MAX_OBJECT_BYTES", 8 << 20)
    made, port = listening()
    raw = requested(port)
    raw.sendall(p_data(0x03, store_request()))
    endless = (raw.sendall(p_data(0x00, b"\0" * 100_000)) for _ in range(1000))
    with pytest.raises(ConnectionError):
        list(endless)
    largest = max(file.stat().st_size for file in (tmp_path / "receiving").iterdir())
    assert largest < 16 << 20
    assert echo(port)
    eventually(lambda: made.associations == 0, within_s=5, what="its place is free")
    monkeypatch.setattr("producers.listener.LEFT_OVER_S", -1.0)
    made.tidy()
    assert os.listdir(tmp_path / "receiving") == []


def p_data(control, body):
    """Return a P-DATA-TF of one fragment (PS3.8 Table 9-22, Annex E)."""
    value = struct.pack(">LBB", len(body) + 2, 1, control) + body
    return struct.pack(">BxL", 0x04, len(value)) + value


def store_request():
    """Return the command set of a C-STORE-RQ (PS3.7 Table 9.3-1), Implicit VR Little Endian."""

    def element(number, value):
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(value)) + value

    body = element(0x0002, CT.encode()) + element(0x0100, struct.pack("<H", 1))
    body += element(0x0110, struct.pack("<H", 1)) + element(0x0700, struct.pack("<H", 0))
    body += element(0x0800, struct.pack("<H", 1)) + element(0x1000, b"1.2.3.4")
    return element(0x0000, struct.pack("<L", len(body))) + body


def test_a_command_without_end_is_ended(listening):
    made, port = listening()
    raw = requested(port)
    endless = (raw.sendall(p_data(0x01, b"\0" * 100_000)) for _ in range(1000))
    with pytest.raises(ConnectionError):
        list(endless)
    assert echo(port)
    eventually(lambda: made.associations == 0, within_s=5, what="its place is free")


def test_a_device_that_does_not_wait_for_answers_waits_all_the_same(listening, tmp_path):
    """Each request that it is ahead holds a file open."""
    _, port = listening()
    raw = requested(port)
    one = p_data(0x03, store_request()) + p_data(0x02, b"\0" * 100)
    raw.settimeout(20)
    sender = threading.Thread(target=raw.sendall, args=(one * 300,), daemon=True)
    sender.start()
    most = 0
    until = time.monotonic() + 3
    while time.monotonic() < until:
        most = max(most, len(os.listdir(tmp_path / "receiving")))
        time.sleep(0.01)
    assert 1 <= most <= dicom_server.MAX_AHEAD + 2
    assert echo(port)
    raw.close()


@pytest.mark.parametrize("stops_after", [b"", p_data(0x03, store_request())[:40]])
def test_an_idle_device_and_one_that_stops_in_a_pdu_are_let_go(listening, monkeypatch, stops_after):
    monkeypatch.setattr(dicom_server, "IDLE_S", 1.0)
    monkeypatch.setattr("producers.listener.IDLE_S", 1.0)
    made, port = listening()
    raw = requested(port)
    raw.sendall(stops_after)
    assert echo(port), "others are served meanwhile"
    eventually(lambda: closed(raw), within_s=10, what="it is closed")
    eventually(lambda: made.associations == 0, within_s=5, what="its place is free")


def test_on_a_full_disk_a_device_is_refused_at_the_door(listening, monkeypatch):
    monkeypatch.setattr("producers.listener.RESERVE_BYTES", 1 << 60)
    made, port = listening()
    assert associate(port).is_rejected
    assert "disk" in made.trouble
    monkeypatch.setattr("producers.listener.RESERVE_BYTES", 0)
    association = associate(port)
    image = pydicom.dcmread(io.BytesIO(part10(dataset(chest_hu(0, size=32)))))
    assert association.send_c_store(image).Status == 0
    association.release()
    assert not made.trouble
