"""What operators ask a running stack by command, and what they are told."""

import json

import pytest
from support.phantoms import chest_hu, dataset, part10, write_series
from support.stack import eventually

from wire.patient import Patient

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]


def test_commands_show_what_is_there(running, tmp_path):
    write_series(tmp_path / "scans", "P1", slices=4, seed=1)
    (tmp_path / "scans" / "broken.dcm").write_bytes(b"broken")
    assert running.command("replay", tmp_path / "scans").returncode == 1
    running.answered(4, within_s=60)
    (patient_id,) = running.settled()

    lines = running.command("tail", "results", "--jsonl", "--until-end").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds.count("finding") == 4
    frames = running.command("tail", "frames", "--jsonl", "--until-end").stdout.splitlines()
    assert {json.loads(line)["frame_id"] for line in frames} == set(running.frame_ids())
    assert len(running.command("tail", "results", "--until-end").stdout.splitlines()) == len(kinds)

    shown = Patient.model_validate_json(running.command("patient", patient_id).stdout)
    assert shown.patient_id == patient_id
    assert patient_id in running.command("patient").stdout
    assert running.command("patient", "p-unknown").returncode == 1

    assert running.command("topics", "create").returncode == 0
    assert running.command("topics", "describe").returncode == 0
    doctor = running.command("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "1 running, 0 messages behind" in doctor.stdout


def test_dead_letters_are_listed_shown_and_replayed(running, tmp_path):
    scans = tmp_path / "scans"
    write_series(scans, "P1", slices=1, seed=1)
    (scans / "broken.dcm").write_bytes(b"broken")
    mr = dataset(chest_hu(1), Modality="MR")
    (scans / "mr.dcm").write_bytes(part10(mr))
    running.command("replay", scans)
    running.answered(2, within_s=60)
    eventually(lambda: len(running.dead_letters()) == 2, within_s=30, what="two letters")

    listed = running.command("dead-letters", "list", "--jsonl").stdout.splitlines()
    entries = [json.loads(line) for line in listed]
    assert sorted(entry["reason"] for entry in entries) == [
        "modality-not-supported", "undecodable", "undecodable",
    ]  # fmt: skip
    (kept,) = (e for e in entries if e["bytes"] and e["kind"] == "dead letter")
    shown = json.loads(running.command("dead-letters", "show", kept["reference"]).stdout)
    assert shown == kept
    assert running.command("dead-letters", "show", "9:99").returncode == 1

    done = running.command("dead-letters", "replay", kept["reference"])
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(running.findings()) == 3, within_s=30, what="answered again")
    assert len({f.id for f in running.findings()}) == 2, "the same frame, the same finding"

    (broken,) = (e for e in entries if e["kind"] == "quarantine")
    assert running.command("dead-letters", "replay", broken["reference"]).returncode == 1
    whole = part10(dataset(chest_hu(4), SOPInstanceUID="1.2.77"))
    (running.folder / "home/quarantine" / broken["reference"]).write_bytes(whole)
    assert running.command("dead-letters", "replay", broken["reference"]).returncode == 0
    running.answered(3, within_s=30)
    listed = running.command("dead-letters", "list", "--jsonl").stdout
    assert 'quarantine",' not in listed.replace('"kind": "dead letter"', "")
