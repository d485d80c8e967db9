"""The tests of the tests: builds that are broken on purpose (`sabotage.py`) must be seen."""

from pathlib import Path

import pytest
from support import chaos
from support.phantoms import write_series
from support.publishing import feed
from support.stack import eventually

SABOTAGE = Path(__file__).with_name("sabotage.py")
SERIES = 4

pytestmark = [pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("acknowledge-first", "each message is answered"),
        ("random-ids", "one finding id for each frame"),
    ],
)
def test_the_test_sees_a_broken_build(stack, tmp_path, name, complaint):
    """The test is that of `test_kill`, with fewer frames in the same time, and fewer kills."""
    scans = chaos.write_scans(tmp_path / "scans", SERIES)
    expected, fps = chaos.undisturbed(scans, tmp_path / "undisturbed"), chaos.FPS * 200 / 500
    with pytest.raises(AssertionError, match=complaint):
        chaos.survive(stack, scans, expected, seed=1, kills=3, fps=fps, program=(SABOTAGE, name))


def test_a_worker_that_crashes_ends_and_leaves_no_child(stack, tmp_path):
    """Alive but dead would be blind in silence: a supervisor must see an exit code."""
    worker = stack.worker("scoring", program=(SABOTAGE, "crash"))
    stack.wait_for_members("scoring", 1)
    threads = Path(f"/proc/{worker.pid}/task").glob("*/children")
    pids = [pid for children in threads for pid in children.read_text().split()]
    assert pids, "it has a decode process"
    write_series(tmp_path / "scans", "P1", slices=1, seed=1)
    feed(stack, tmp_path / "scans")
    assert eventually(lambda: worker.poll(), within_s=20, what="it ends") != 0
    eventually(lambda: not any(alive(pid) for pid in pids), within_s=10, what="its children end")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
