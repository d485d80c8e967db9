"""Canaries go in by every way; they are found in quarantine and, encrypted, in the vault alone."""

import json
import shutil
import stat
import struct
import urllib.request

import pytest
import typer
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from redis import Redis
from support.canaries import CT, MAY_STAY, Canaries, file_of, write
from support.monitors import Monitor
from support.stack import eventually

from lesionstream import cli
from stream.cache import cache_key
from wire.topics import DEAD_LETTERS, FRAMES, TOPICS

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]

PAGES = (
    "/", "/alarms", "/system", "/api/patients", "/api/alarms", "/api/system", "/openapi.json",
)  # fmt: skip


@pytest.fixture
def planted(tmp_path):
    """Return canaries, and a folder of files that are full of them."""
    canaries = Canaries()
    write(canaries, tmp_path / "scans")
    return canaries, tmp_path / "scans"


def listener(stack):
    """Start a listener; return its DICOM port."""
    stack.start("listen", "--port", "0", "--host", "127.0.0.1", "--allow", "SCANNER")
    run = stack.folder / "home" / "run"
    (file,) = eventually(
        lambda: list(run.glob("listener@*.json")), within_s=60, what="the listener's address"
    )
    return eventually(lambda: facts(file).get("port"), within_s=30, what="the listener is ready")


def surface(file, path):
    (place,) = json.loads(file.read_text())[0]["targets"]
    with urllib.request.urlopen(f"http://{place}{path}", timeout=5) as answer:
        return answer.read()


def facts(file):
    said = json.loads(surface(file, "/live"))
    return said["facts"] if said["ready"] else {}


def send_bytes(port, folder, drafts):
    """Send what is in every file by C-STORE as it is, decodable or not; return the answers."""
    answers = []
    drafts.mkdir()
    files = sorted(folder.rglob("*.dcm"))
    for number, file in enumerate([*files, files[0]]):
        ae = AE("SCANNER")
        ae.add_requested_context(CT, ExplicitVRLittleEndian)
        association = ae.associate("127.0.0.1", port, ae_title="LESIONSTREAM")
        assert association.is_established
        draft = drafts / f"{number}.dcm"
        uid = f"1.2.{number}" if number < len(files) else "CANARY00000"  # in the command, too
        draft.write_bytes(file_of(Canaries(), CT, uid, dataset_of(file.read_bytes())))
        answer = association.send_c_store(draft)
        answers.append((answer.Status, answer.get("ErrorComment", "")))
        association.release()
    return answers


def watch(stack, scans, folder):
    """Drop the files into a watched folder, where there is such a command; return names there."""
    if "watch" not in typer.main.get_command(cli.app).commands:
        return {}
    before = len(stack.records(FRAMES)), len(stack.dead_letters())
    shutil.copytree(scans, folder)
    stack.start("lesionstream", "watch", folder, "--settle", 0, "--patience", 0, program=["-m"])
    eventually(
        lambda: len(stack.records(FRAMES)) > before[0] and len(stack.dead_letters()) > before[1],
        within_s=60,
        what="frames and dead letters of a watched folder",
    )
    return {"watched": b""}


def dataset_of(data):
    """Return what follows the file meta; of what has none, everything."""
    if data[128:132] != b"DICM" or len(data) < 1000:
        return data
    (length,) = struct.unpack("<I", data[140:144])
    return data[144 + length :]


def test_no_canary_is_found_anywhere_but_in_quarantine_and_vault(
    running, planted, tmp_path, monkeypatch
):
    stack, (canaries, scans) = running, planted
    monitor = Monitor(stack)
    monitor.start()
    stack.start("lesionstream", "watchdog", program=["-m"])
    port = listener(stack)

    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)
    answers = send_bytes(port, scans, tmp_path / "drafts")
    replayed = stack.command("replay", scans)
    watched = watch(stack, scans, tmp_path / "dropped")
    statuses = {status for status, _ in answers}
    assert {0x0000, 0xC000, 0xC001} <= statuses
    assert replayed.returncode == 1, "some are no frames"
    frames = {r.headers and dict(r.headers)["ce_id"] for r in stack.records(FRAMES)}
    assert len(frames) >= 8
    stack.answered(len(frames), within_s=60)
    pseudonyms = {r.key.decode() for r in stack.records(FRAMES)}
    eventually(
        lambda: stack.states().keys() and stack.cached().keys() >= stack.states().keys(),
        within_s=60,
        what="states of patients",
    )
    eventually(
        lambda: len(monitor.get("/api/patients", "viewer").json()["tiles"]) > 0,
        within_s=60,
        what="the monitor shows patients",
    )
    assert stack.dead_letters(), "what is no frame is reported"

    said = {"C-STORE answers": repr(answers).encode()}
    said |= watched
    said["replay"] = (replayed.stdout + replayed.stderr).encode()
    said |= _on_kafka(stack) | _in_redis(stack) | _on_surfaces(stack)
    said |= _shown(monitor, pseudonyms, stack)
    home = stack.folder / "home"
    for file in [*stack.folder.glob("*.log"), *home.rglob("*")]:
        if file.is_file() and home / "quarantine" not in file.parents:
            said[str(file)] = file.read_bytes() + file.name.encode()
    leaks = {place: found for place, data in said.items() if (found := _found(canaries, data))}
    assert leaks == {}
    assert {"replay", "/metrics", "redis", FRAMES.name, DEAD_LETTERS.name} <= set(said)

    kept = [file for file in (home / "quarantine").iterdir() if file.is_file()]
    assert any(canaries.found(file.read_bytes()) for file in kept)
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}
    for _ in range(2):  # those who may see names do, and go on to when the key is exchanged
        names = monitor.get("/api/patients", "nurse").text
        assert "CANARY, Jane" in names
        rotated = stack.command("vault", "rotate-key", "--reason", "a test")
        assert rotated.returncode == 0, rotated.stderr


def _found(canaries, data):
    """Return canaries that should not be there, and any word of a planted patient's name."""
    found = canaries.found(data) - MAY_STAY
    named = any(words in data for words in (b"CANARY^", b"CANARY, Jane"))
    return found | ({"PatientName"} if named else set())


def _on_kafka(stack):
    said = {}
    for topic in TOPICS:
        records = stack.records(topic)
        parts = [(r.key or b"") + (r.value or b"") + repr(r.headers).encode() for r in records]
        said[topic.name] = b"\n".join(parts)
    return said


def _in_redis(stack):
    said = []
    with Redis.from_url(stack.redis, protocol=2) as redis:
        for key in redis.scan_iter(cache_key(stack.names.prefix, "*")):
            said += [key, repr(redis.hgetall(key)).encode()]
    assert said
    return {"redis": b"\n".join(said)}


def _on_surfaces(stack):
    files = list((stack.folder / "home" / "run").glob("*.json"))
    assert len(files) >= 5, "listener, monitor, watchdog, two workers"
    return {path: b"\n".join(surface(f, path) for f in files) for path in ("/metrics", "/live")}


def _shown(monitor, pseudonyms, stack):
    pages = [*PAGES]
    for pseudonym in pseudonyms:
        pages += [f"/patients/{pseudonym}", f"/api/patients/{pseudonym}"]
    return {page: monitor.get(page, "viewer").content for page in pages}
