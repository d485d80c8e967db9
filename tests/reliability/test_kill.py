"""Nothing lost, nothing twice, whatever is killed, comes or goes; see `support.chaos`."""

import signal
import time
from pathlib import Path

import pytest
from support.chaos import FPS, check, set_up, survive, wait_for_end
from support.phantoms import write_series
from support.publishing import feed
from support.record import recorded
from support.stack import eventually

from engines.loading import load_forecaster
from lesionstream.settings import Settings
from stream.consult import consult
from stream.forecasting import ForecastAdviser
from wire.envelope import Envelope
from wire.evidence import ModelEvidence
from wire.topics import FRAMES, RESULTS

FAULTY = (Path(__file__).with_name("sabotage.py"), "faulty-engine")

pytestmark = [pytest.mark.timeout(400)]


def test_the_undisturbed_run_says_something(expected):
    assert len(expected.frames) == 240
    assert len(expected.states) == 3
    assert expected.said["alerts"]
    assert expected.said["recommendations"]


@pytest.fixture(scope="module")
def record():
    """Yield a list of rows; they become the record in docs/reliability.md."""
    columns = "| seed | killed, in order | frames sent | findings | lost | ids twice |"
    with recorded("soak", columns) as rows:
        yield rows


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 11))
def test_kill_9_of_anything_loses_nothing(stack, scans, undisturbed, record, seed):
    chaos = survive(stack, scans, undisturbed, seed, kills=9)
    sent, findings = stack.frame_ids(), stack.findings()
    lost = set(sent) - {str(f.frame_id) for f in findings}
    twice = len({f.id for f in findings}) - len({f.frame_id for f in findings})
    kills = " ".join(role[0] for role in chaos.kills)
    record.append(f"| {seed} | {kills} | {len(sent)} | {len(findings)} | {len(lost)} | {twice} |\n")


def test_workers_come_and_go(stack, few_scans, expected):
    set_up(stack)
    stack.worker("scoring")
    stack.worker("scoring")
    stack.worker("patients")
    stack.wait_for_members("scoring", 2)
    replay = stack.start("replay", few_scans, "--fps", FPS / 2)
    stack.answered(10, within_s=60)
    third = stack.worker("scoring")
    stack.wait_for_members("scoring", 3)
    before = len(stack.findings())
    eventually(lambda: len(stack.findings()) > before, within_s=60, what="frames flow")
    started = time.monotonic()
    third.send_signal(signal.SIGTERM)
    stack.wait_for_members("scoring", 2)
    assert time.monotonic() - started < 5, "SIGTERM hands over in under 5 s: promised to users"
    wait_for_end(replay)
    check(stack, expected)
    assert len(shares(stack)) >= 2, "one worker did all the work"


def test_a_models_worker_that_is_killed_says_the_same_again(stack, few_scans):
    set_up(stack)
    stack.worker("scoring")
    stack.worker("patients")
    models = stack.worker("models")
    for role in ("scoring", "patients", "models"):
        stack.wait_for_members(role, 1)
    replay = stack.start("replay", few_scans, "--fps", FPS)
    eventually(lambda: evidence(stack), within_s=90, what="evidence")
    stack.kill(models)
    stack.processes.remove(models)
    wait_for_end(replay)
    assert stack.command("replay", few_scans, "--fps", FPS).returncode == 0  # nobody answers
    stack.worker("models")
    eventually(lambda: stack.behind("models", RESULTS) == 0, within_s=90, what="caught up")
    engine = ForecastAdviser(load_forecaster("response"), Settings().next_visit_days)
    finals = [sheet for sheet in stack.assessments() if sheet.stage == "final"]
    wanted = {consult(sheet, engine) for sheet in finals}
    assert wanted
    assert set(evidence(stack)) == wanted, "one answer to each question, always the same"


def evidence(stack):
    """Return what models said."""
    return [
        ModelEvidence.model_validate_json(record.value)
        for record in stack.records(RESULTS)
        if Envelope.of(record.headers).kind == ModelEvidence.kind
    ]


def test_sigterm_finishes_what_is_in_hand(stack, tmp_path):
    """A frame that was begun is answered and acknowledged; those behind it are left to others."""
    set_up(stack)
    fault = stack.folder / "home/engine-fault"
    worker = stack.worker("scoring", program=FAULTY)
    stack.wait_for_members("scoring", 1)
    fault.write_text("slow")  # a batch takes 4 s
    write_series(tmp_path / "scans", "P1", slices=40, seed=1, size=128)
    feed(stack, tmp_path / "scans")
    begun = len(stack.answered(3, within_s=30))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0, "70 would say that it was cut off after 10 s"
    answered = [finding.frame.offset for finding in stack.findings()]
    assert answered == list(range(len(answered))), "each once, in order"
    assert len(answered) < begun + 8, "what was not begun is not waited for"
    assert stack.behind("scoring", FRAMES) == 40 - len(answered), "all that it answered is noted"


def shares(stack):
    """Return the members of the scoring group that have partitions."""
    group = stack.names.group("scoring")
    members = stack.admin.describe_groups([group])[group]["members"]
    return [member for member in members if member["member_assignment"]]
