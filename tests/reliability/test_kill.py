"""Nothing lost, nothing twice, whatever is killed, comes or goes; see `support.chaos`."""

import signal
import time

import pytest
from support.chaos import FPS, check, set_up, survive, wait_for_end
from support.record import recorded

pytestmark = [pytest.mark.timeout(400)]


def test_the_undisturbed_run_says_something(undisturbed):
    assert len(undisturbed.frames) == 500
    assert len(undisturbed.states) == 5
    assert undisturbed.said["alerts"]
    assert undisturbed.said["recommendations"]


def test_kill_9_of_anything_loses_nothing(stack, scans, undisturbed):
    survive(stack, scans, undisturbed, seed=1)


@pytest.fixture(scope="module")
def record():
    """Yield a list of rows; they become the record in docs/reliability.md."""
    columns = "| seed | killed, in order | frames sent | findings | lost | ids twice |"
    with recorded("soak", columns) as rows:
        yield rows


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_kill_9_ten_seeds(stack, scans, undisturbed, record, seed):
    chaos = survive(stack, scans, undisturbed, seed, kills=9)
    sent, findings = stack.frame_ids(), stack.findings()
    lost = set(sent) - {str(f.frame_id) for f in findings}
    twice = len({f.id for f in findings}) - len({f.frame_id for f in findings})
    kills = " ".join(role[0] for role in chaos.kills)
    record.append(f"| {seed} | {kills} | {len(sent)} | {len(findings)} | {len(lost)} | {twice} |\n")


def test_workers_come_and_go(stack, scans, undisturbed):
    set_up(stack)
    stack.worker("scoring")
    stack.worker("scoring")
    stack.worker("patients")
    stack.wait_for_members("scoring", 2)
    replay = stack.start("replay", scans, "--fps", FPS)
    stack.answered(50, within_s=60)
    third = stack.worker("scoring")
    stack.wait_for_members("scoring", 3)
    stack.answered(200, within_s=60)
    started = time.monotonic()
    third.send_signal(signal.SIGTERM)
    stack.wait_for_members("scoring", 2)
    assert time.monotonic() - started < 5, "SIGTERM hands over in under 5 s: promised to users"
    wait_for_end(replay)
    check(stack, undisturbed)
    assert len(shares(stack)) >= 2, "one worker did all the work"


def shares(stack):
    """Return the members of the scoring group that have partitions."""
    group = stack.names.group("scoring")
    members = stack.admin.describe_groups([group])[group]["members"]
    return [member for member in members if member["member_assignment"]]
