"""What operators ask a running stack by command, and what they are told."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support.phantoms import write_series

from identity.pseudonyms import Pseudonyms, load_or_make_key
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

    given = ("--plan", "carboplatin", "--start", "2026-03-02", "--flag", "frail", "--sum-mm", "90")
    assert running.command("therapy", "add", "p-unknown", *given).returncode == 1
    assert running.command("therapy", "add", patient_id, *given).returncode == 0
    running.settled()
    state = Patient.model_validate_json(running.command("patient", patient_id).stdout)
    (therapy,) = [given.therapy for given in state.therapies]
    assert (therapy.plan, therapy.flags, therapy.limits.sum_mm) == ("carboplatin", ("frail",), 90.0)
    key = load_or_make_key(running.folder / "home" / "pseudonym.key")
    moved = timedelta(days=Pseudonyms(key).shift_days(patient_id))
    assert therapy.start == datetime(2026, 3, 2, tzinfo=UTC) - moved, "as the images' dates are"
    assert running.command("therapy", "add", patient_id, *given, "--shown").returncode == 0
    running.settled()
    state = Patient.model_validate_json(running.command("patient", patient_id).stdout)
    assert state.therapies[-1].therapy.start == datetime(2026, 3, 2, tzinfo=UTC)

    assert running.command("topics", "create").returncode == 0
    assert running.command("topics", "describe").returncode == 0
    doctor = running.command("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "1 running, 0 messages behind" in doctor.stdout
