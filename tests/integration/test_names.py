"""Names come from devices, go into the vault, and are found nowhere else."""

import json

import pytest
from support.phantoms import chest_hu, dataset, part10

from wire.envelope import Envelope
from wire.topics import TOPICS

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]


def test_replay_keeps_names_in_the_vault_alone(stack, tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(3):
        ds = dataset(
            chest_hu(number, size=32),
            SOPInstanceUID=f"1.2.{number}",
            PatientName=f"CANARY^N{number % 2}",
            PatientID=f"CANARY-{number % 2}",
        )
        (scans / f"{number}.dcm").write_bytes(part10(ds))
    done = stack.command("replay", scans)
    assert done.returncode == 0, done.stderr
    records = [record for topic in TOPICS for record in stack.records(topic)]
    assert len(records) == 3
    home = stack.folder / "home"
    said = b"".join((r.key or b"") + (r.value or b"") + repr(r.headers).encode() for r in records)
    kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert b"CANARY" not in said + kept + (done.stdout + done.stderr).encode()

    pseudonyms = {record.key.decode() for record in records}
    assert len(pseudonyms) == 2
    assert {Envelope.of(r.headers).kind for r in records} == {"frame"}
    names = set()
    for pseudonym in pseudonyms:
        found = stack.command("reidentify", pseudonym, "--reason", "the ward called")
        assert found.returncode == 0, found.stderr
        names.add(json.loads(found.stdout)["PatientName"])
    assert names == {"CANARY^N0", "CANARY^N1"}
    assert stack.command("reidentify", "p-0", "--reason", "a mistake").returncode == 1
    log = home / "audit.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["pseudonym"] for line in lines} == {*pseudonyms, "p-0"}
    assert [line["known"] for line in lines] == [True, True, False]
    assert log.stat().st_mode & 0o777 == 0o600
    assert "CANARY" not in log.read_text()

    (home / "vault.sqlite").write_bytes(b"damaged" * 1000)
    again = stack.command("replay", scans)
    assert again.returncode == 0
    assert "names are not kept" in again.stderr
    assert "3 frames of 3 files published" in again.stderr
    broken = stack.command("reidentify", pseudonyms.pop(), "--reason", "why")
    assert broken.returncode == 2
    assert "file is not a database" in broken.stderr
