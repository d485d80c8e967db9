"""The tests of the tests: builds that are broken on purpose (`sabotage.py`) must be seen."""

from pathlib import Path

import pytest
from support.bench import opened
from support.cells import CELLS
from support.phantoms import write_series
from support.publishing import feed
from support.stack import eventually

SABOTAGE = Path(__file__).with_name("sabotage.py")

pytestmark = [pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("name", "role", "cell", "complaint"),
    [
        ("acknowledge-first", "scoring", "scoring", "each message is answered"),
        ("acknowledge-out-of-order", "scoring", "poison", "not in the order of|caught up"),
        ("random-ids", "scoring", "poison", "one finding id for each frame"),
        ("drop-at-rebalance", "scoring", "rebalance-storm", "each message is answered"),
        ("stale-cache", "patients", "redis", "the cache is whole"),
        ("swallowed-engine-error", "scoring", "engine", "not scored while the engine"),
    ],
)
def test_a_cell_sees_a_broken_build(bench, name, role, cell, complaint):
    bench.programs[role] = (SABOTAGE, name)
    with opened(bench), pytest.raises(AssertionError, match=complaint):
        CELLS[cell](bench)


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
