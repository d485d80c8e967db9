"""Nothing lost, nothing twice, whatever is killed.

The claim is about sets of ids: those of the findings equal those of the frames; final states and
clinical alerts are those of an undisturbed run.
"""

import random
import signal
import time
from pathlib import Path

import pytest
from support.phantoms import write_series
from support.record import recorded
from support.stack import Stack, eventually

from wire.topics import FRAMES as FRAMES_TOPIC

FRAMES = 500
SERIES = 10
FPS = 40.0
SABOTAGE = Path(__file__).with_name("sabotage.py")

pytestmark = [pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Return a folder of 500 frames: five patients, two series each."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(SERIES):
        write_series(folder, f"P{seed // 2}", slices=FRAMES // SERIES, seed=seed, size=128)
    return folder


@pytest.fixture(scope="module")
def undisturbed(servers, scans, tmp_path_factory):
    """Return states, alerts and recommendations of a run in which nothing is killed."""
    import secrets

    from wire import topic_admin
    from wire.topics import Names

    names = Names(f"t{secrets.token_hex(4)}-")
    topic_admin.create(servers.kafka, names)
    stack = Stack(servers.kafka, servers.redis, names, tmp_path_factory.mktemp("undisturbed"))
    prepare(stack)
    try:
        stack.worker("scoring")
        stack.worker("patients")
        assert stack.command("replay", scans).returncode == 0
        stack.answered(FRAMES, within_s=120)
        states = stack.settled(within_s=60)
        return {"states": states, "said": said(stack), "frames": set(stack.frame_ids())}
    finally:
        stack.close()


def prepare(stack):
    """Let all runs use one pseudonym key, for ids are compared, and the quickest engine."""
    home = stack.folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "pseudonym.key").write_text("5a" * 32 + "\n")
    (home / "promoted.json").write_text('{"promoted": ["textbook-256"]}\n')


def said(stack):
    """Return the sets of ids a bedside could have seen."""
    return {
        "alerts": {a.id for a in stack.alerts() if a.category == "clinical"},
        "recommendations": {r.id for r in stack.recommendations()},
    }


class Chaos:
    """Kill things at random moments and start them again at once, until the replay is through."""

    def __init__(self, stack, scans, seed, program=("-m", "lesionstream")):
        self._stack, self._scans, self._program = stack, scans, program
        self._random = random.Random(seed)
        self._roles = {
            "scoring": lambda: stack.worker("scoring", program=program),
            "patients": lambda: stack.worker("patients"),
            "replay": lambda: stack.start("replay", scans, "--fps", FPS),
        }
        self._running = {role: start() for role, start in self._roles.items()}
        self.kills = []

    def run(self, kills):
        """Kill each role at least once and `kills` times together, then let it end."""
        roles = [*self._roles, *self._random.choices(list(self._roles), k=kills - 3)]
        self._random.shuffle(roles)
        self._stack.answered(1, within_s=60)
        for role in roles:
            time.sleep(self._random.uniform(0.5, 3.0))  # the moment is the test's input
            self._stack.kill(self._running[role])
            self.kills.append(role)
            self._running[role] = self._roles[role]()
        eventually(
            lambda: self._running["replay"].poll() is not None, within_s=120, what="replay ends"
        )
        assert self._running["replay"].returncode == 0


def check(stack, undisturbed):
    """Wait until the scoring workers have acknowledged everything, and assert the identities."""
    assert set(stack.frame_ids()) == undisturbed["frames"]
    eventually(
        lambda: stack.behind("scoring", FRAMES_TOPIC) == 0, within_s=120, what="scoring caught up"
    )
    findings = stack.answered(FRAMES, within_s=10)
    assert {str(f.frame_id) for f in findings} == undisturbed["frames"], "lost or invented"
    assert len({f.id for f in findings}) == FRAMES, "one finding id for each frame"
    assert stack.settled(within_s=60) == undisturbed["states"]
    assert said(stack) == undisturbed["said"]
    eventually(
        lambda: stack.cached() == undisturbed["states"], within_s=20, what="the cache is whole"
    )


def survive(stack, scans, undisturbed, seed, *, kills=6, program=("-m", "lesionstream")):
    prepare(stack)
    chaos = Chaos(stack, scans, seed, program)
    chaos.run(kills)
    check(stack, undisturbed)
    return chaos


def test_the_undisturbed_run_says_something(undisturbed):
    assert len(undisturbed["frames"]) == FRAMES
    assert len(undisturbed["states"]) == 5
    assert undisturbed["said"]["recommendations"]


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


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("acknowledge-first", "500 frames answered"), ("random-ids", "one finding id for each frame")],
)
def test_the_test_sees_a_broken_build(stack, scans, undisturbed, name, complaint):
    with pytest.raises(AssertionError, match=complaint):
        survive(stack, scans, undisturbed, seed=1, program=(SABOTAGE, name))


def test_a_worker_that_crashes_ends_and_leaves_no_child(stack, scans):
    """Alive but dead would be blind in silence: a supervisor must see an exit code."""
    worker = stack.worker("scoring", program=(SABOTAGE, "crash"))
    stack.wait_for_members("scoring", 1)
    threads = Path(f"/proc/{worker.pid}/task").glob("*/children")
    pids = [pid for children in threads for pid in children.read_text().split()]
    assert pids, "it has a decode process"
    stack.command("replay", sorted(scans.iterdir())[0])
    assert eventually(lambda: worker.poll(), within_s=20, what="it ends") != 0
    eventually(lambda: not any(alive(pid) for pid in pids), within_s=10, what="its children end")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_come_and_go(stack, scans, undisturbed):
    prepare(stack)
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
    eventually(lambda: replay.poll() is not None, within_s=120, what="replay ends")
    check(stack, undisturbed)
    by_worker = shares(stack)
    assert len(by_worker) >= 2, "one worker did all the work"


def shares(stack):
    """Return how many partitions each member of the scoring group has."""
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=stack.kafka.split(","))
    try:
        group = stack.names.group("scoring")
        members = admin.describe_groups([group])[group]["members"]
        return [m for m in members if m["member_assignment"]]
    finally:
        admin.close()
