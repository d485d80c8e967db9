"""Dead letters: what could not be scored is scored once its cause is gone, and sent once."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from support import quick_engine
from support.phantoms import chest_hu, dataset, part10, write_series
from support.stack import eventually
from typer.testing import CliRunner

from lesionstream import cli
from lesionstream.settings import settings
from producers.quarantine import Quarantine
from wire.dead_letters import DeadLetter
from wire.errors import FrameError, Reason
from wire.records import FrameAddress
from wire.topics import DEAD_LETTERS, FRAMES, STAT

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]

FAULTY = (Path(__file__).parents[1] / "reliability/sabotage.py", "faulty-engine")
SLICES = 3


@pytest.fixture
def command(stack, monkeypatch):
    """Return `dead-letters` as it runs in this process: to start one takes longer than its work."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield lambda *words: CliRunner().invoke(cli.app, ["dead-letters", *words])
    settings.cache_clear()


@pytest.fixture
def listed(command):
    """Return what lists letters."""

    def listed(*words):
        done = command("list", "--jsonl", *words)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    return listed


@pytest.fixture
def replayed(stack, command):
    """Return what replays letters; its answer: what it said and how many frames that sent."""

    def replayed(*words, code=0):
        before = len(stack.frame_ids())
        done = command("replay", *words)
        assert done.exit_code == code, done.output
        return done.stderr, len(stack.frame_ids()) - before

    return replayed


def states(entries):
    return sorted(entry["state"] for entry in entries)


def test_an_engine_that_fails_and_is_well_again(stack, tmp_path, listed, replayed):
    home = stack.folder / "home"
    quick_engine.add_to(home)
    fault = home / "engine-fault"
    fault.write_text("raises")
    stack.worker("scoring", program=FAULTY)
    stack.worker("patients")
    stack.wait_for_members("scoring", 1)
    stack.wait_for_members("patients", 1)
    write_series(tmp_path / "scans", "P1", slices=SLICES, seed=1)
    assert stack.command("replay", tmp_path / "scans").returncode == 0
    findings = stack.answered(SLICES, within_s=60)
    assert {f.reason for f in findings} == {Reason.ENGINE_FAILED}
    (patient_id,) = stack.settled()
    letters = listed("--reason", "engine-failed", "--since", "1h", "--patient", patient_id)
    assert states(letters) == ["waiting"] * SLICES
    assert {letter["engine"].split()[0] for letter in letters} == {quick_engine.NAME}
    assert all(letter["detail"].endswith("it raised MemoryError") for letter in letters)
    assert all(1 <= letter["attempts"] <= 4 for letter in letters)

    fault.unlink()
    said, sent = replayed("--reason", "engine-failed", "--dry-run")
    assert (sent, f"{SLICES} would be sent" in said) == (0, True)
    said, sent = replayed("--reason", "engine-failed")
    assert (sent, f"engine-failed: {SLICES} sent" in said) == (SLICES, True)
    eventually(
        lambda: (
            {f.frame_id for f in stack.findings() if f.status == "scored"}
            == {f.frame_id for f in findings}
        ),
        within_s=60,
        what="all are scored",
    )
    assert {f.id for f in stack.findings()} == {f.id for f in findings}, "replaced, not added"

    def scored():
        (series,) = stack.states()[patient_id]["series"].values()
        return all(each[0] is not None for each in series["slices"].values())

    eventually(scored, within_s=30, what="the patient's state has the scores")
    said, sent = replayed("--reason", "engine-failed")
    assert (sent, f"{SLICES} were sent before" in said) == (0, True)
    assert states(listed()) == ["replayed"] * SLICES
    assert listed("--waiting") == []
    reference = letters[0]["reference"]
    assert replayed(reference, "--again")[1] == 1


@pytest.fixture
def letters(stack):
    """Yield a stack with letters and files, and nobody at work."""
    frame = part10(dataset(chest_hu(1, size=64)))
    made = [
        ("p-1", frame, DeadLetter("1", frame, "engine-failed", "failed", engine="lesion 0.2.0",
                                  where=FrameAddress(topic=stack.names.of(FRAMES), partition=3,
                                                     offset=7))),
        ("p-2", frame, DeadLetter("2", frame, "quality", "too thick", engine="lesion 0.2.0")),
        ("p-2", frame, DeadLetter("3", frame, "modality-not-supported", "MR")),
        ("4", None, DeadLetter("4", None, "not-deidentified", "names")),
        ("5", None, DeadLetter("5", None, "undecodable", "broken", quarantine="ab" * 32)),
    ]  # fmt: skip
    stack.send_all(DEAD_LETTERS, [(key, value, le.headers("/test")) for key, value, le in made])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(3):
            ds = dataset(chest_hu(2, size=64), SOPInstanceUID=f"1.2.{number}")
            file.writestr(f"{number}.dcm", part10(ds))
    quarantine = Quarantine(stack.folder / "home" / "quarantine")
    error = FrameError(Reason.UNDECODABLE, "archive member cannot be read")
    quarantine.put("ab" * 32, [archive.getvalue()], error, "scans.zip", STAT)
    quarantine.put("cd" * 32, [b"broken"], error, "broken.dcm")
    return stack


def test_filters_archives_and_what_is_left(letters, command, listed, replayed):
    def ids(*words):
        return {entry["frame_id"] or entry["source"] for entry in listed(*words)}

    files = {"scans.zip", "broken.dcm"}
    assert ids() == {"1", "2", "3", "4", "5"} | files
    assert ids("--reason", "quality", "--reason", "not-deidentified") == {"2", "4"}
    assert ids("--topic", "frames") == {"1", "broken.dcm"}
    assert ids("--engine", "lesion", "--patient", "p-1") == {"1"}
    assert ids("--patient", "p-2", "--until", "1h") == ids("--since", "2999-01-01") == set()
    by_id = {entry["frame_id"] or entry["source"]: entry for entry in listed()}
    assert {name: entry["state"] for name, entry in by_id.items()} == {
        "1": "waiting", "2": "waiting", "3": "waiting", "4": "not-kept", "5": "in-quarantine",
        "scans.zip": "waiting", "broken.dcm": "waiting",
    }  # fmt: skip

    shown = [command("show", by_id[name]["reference"]) for name in ("1", "scans.zip")]
    assert [json.loads(done.stdout) for done in shown] == [by_id["1"], by_id["scans.zip"]]
    assert [command("show", nothing).exit_code for nothing in ("9:99", "0:99", "ef" * 8)] == [1] * 3

    said, _ = replayed(code=2)
    assert "--all" in said
    replayed(by_id["4"]["reference"], code=1)
    assert replayed("--patient", "p-2", "--limit", "1")[1] == 1
    said, sent = replayed("--all", code=1)
    assert "3 sent again, 1 still cannot be used" in said
    assert sent == 2, "letters"
    assert len(letters.records(STAT)) == 3, "of the archive, each image, and it was urgent"
    after = {entry["frame_id"] or entry["source"]: entry["state"] for entry in listed()}
    assert after == {
        "1": "replayed", "2": "replayed", "3": "replayed", "4": "not-kept", "5": "replayed",
        "broken.dcm": "waiting",
    }  # fmt: skip

    whole = part10(dataset(chest_hu(4, size=64), SOPInstanceUID="1.2.77"))
    (letters.folder / "home" / "quarantine" / ("cd" * 32)).write_bytes(whole)
    assert replayed("cd" * 4)[1] == 1
    assert "broken.dcm" not in {entry["source"] for entry in listed()}
