"""The cache is lost, and the worker with it: states and alarms are those of an undisturbed run.

1,000 frames of ten patients as findings, straight to the patients worker: it alone has memory.
"""

import random
import time

import pytest
from redis import Redis
from support.folding import kinds, told
from support.publishing import publish
from support.record import recorded
from support.records import series
from support.stack import Stack, eventually, facts

import local
from stream.cache import cache_key
from wire import topic_admin
from wire.assessment import Assessment
from wire.cluster import Cluster
from wire.patient import Patient
from wire.records import Alert, Recommendation
from wire.topics import RESULTS, Names, partition_of

PATIENTS, STUDIES, IMAGES = 10, 4, 25
FRAMES = PATIENTS * STUDIES * IMAGES
CHUNK, CHUNK_S = 20, 0.1

pytestmark = [pytest.mark.timeout(300)]


def findings(seed):
    """Return findings in the order in which they come: study after study, patients mixed."""
    rng = random.Random(seed)
    courses = [rng.choice([0.7, 1.0, 1.3]) for _ in range(PATIENTS)]
    first = [rng.uniform(8.0, 16.0) for _ in range(PATIENTS)]
    events = []
    for study in range(STUDIES):
        visits = [
            series(
                {"a": ((60.0, -20.0, 30.0), first[n] * courses[n] ** study)},
                study=study + 1,
                images=IMAGES,
                patient=f"p-{n}",
            )
            for n in range(PATIENTS)
        ]
        events += [frame for slices in zip(*visits, strict=True) for frame in slices]
    return events


@pytest.fixture(scope="module")
def record():
    """Yield a list of rows; they become the record in docs/reliability.md."""
    columns = "| seed | findings | patients | alerts | states that differ | alerts that differ |"
    with recorded("cache", columns) as rows:
        yield rows


@pytest.fixture
def own_redis(tmp_path_factory):
    """Yield a Redis that nobody else uses: it may be flushed and ended."""
    home = tmp_path_factory.mktemp("redis")
    yield home, local.up(home, kafka=False).redis
    local.down(home)


@pytest.fixture
def alone(servers, own_redis, tmp_path):
    """Yield a stack with this Redis and the default policy."""
    names = Names(f"t{random.SystemRandom().randbytes(4).hex()}-")
    topic_admin.create(Cluster.plain(servers.kafka), names)
    stack = Stack(servers.kafka, own_redis[1], names, tmp_path, policy="longitudinal")
    yield stack
    stack.close()


class Run:
    """One run: findings go out, and in the middle of it something happens."""

    def __init__(self, stack, seed):
        self.stack, self.seed = stack, seed
        self.worker = stack.worker("patients")
        stack.wait_for_members("patients", 1)

    def go(self, *disturbances):
        """Publish all; each disturbance happens once, at a random moment of its own."""
        events = findings(self.seed)
        rng = random.Random(self.seed)
        part = FRAMES // (len(disturbances) + 1)
        moments = [rng.randrange(part // 2, part) + part * n for n in range(len(disturbances))]
        for start in range(0, FRAMES, CHUNK):
            publish(self.stack, events[start : start + CHUNK])
            time.sleep(CHUNK_S)  # frames come one after another
            for moment, disturb in zip(moments, disturbances, strict=True):
                if start <= moment < start + CHUNK:
                    disturb(self)

    def check(self):
        """Assert that all is as if nothing had happened."""
        states, said = undisturbed(self.seed)
        assert self.stack.settled(within_s=60) == states
        assert {a.id for a in self.stack.alerts()} == {a.id for a in kinds(said, Alert)}
        recommended = {r.id for r in self.stack.recommendations()}
        assert recommended == {r.id for r in kinds(said, Recommendation)}
        finals = {a.id for a in self.stack.assessments() if a.stage == "final"}
        assert finals == {a.id for a in kinds(said, Assessment) if a.stage == "final"}
        eventually(lambda: self.stack.cached() == states, within_s=20, what="the cache is whole")

    def flush(self):
        with Redis.from_url(self.stack.redis, protocol=2) as redis:
            redis.flushall()

    def kill(self):
        self.stack.kill(self.worker)
        self.worker = self.stack.worker("patients")


def undisturbed(seed):
    """Return states and words of the pure fold: what any run must come to."""
    events = findings(seed)
    states, said = {}, []
    for n in range(PATIENTS):
        name = f"p-{n}"
        mine = [f for f in events if f.patient_id == name]
        state, words = told(mine, Patient(patient_id=name))
        states[name] = facts(state)
        said += words
    return states, said


def lose_both(run):
    run.flush()
    run.kill()


def test_the_cache_is_emptied_and_then_again_with_the_worker_killed(alone):
    run = Run(alone, 1)
    run.go(Run.flush, lose_both)
    run.check()
    assert {alert.priority for alert in alone.alerts()} == {"low", "medium"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_ten_seeds(alone, record, seed):
    run = Run(alone, seed)
    run.go(Run.flush, lose_both)
    run.check()
    states, said = undisturbed(seed)
    found, alerts = alone.states(), {alert.id for alert in alone.alerts()}
    differ = sum(found.get(name) != state for name, state in states.items())
    strange = len(alerts ^ {alert.id for alert in kinds(said, Alert)})
    row = [seed, len({f.id for f in alone.findings()}), len(states), len(alerts), differ, strange]
    record.append("| " + " | ".join(map(str, row)) + " |\n")


def test_redis_goes_away_and_a_key_has_the_wrong_type(alone, own_redis):
    """Alarms go on without a cache; it is whole once Redis is back."""
    home, address = own_redis
    run = Run(alone, 3)

    def away(run):
        with Redis.from_url(address, protocol=2) as redis:
            key = cache_key(alone.names.prefix, "p-1")
            redis.pipeline().delete(key).lpush(key, "a list").execute()  # the worker writes, too
        local.down(home)
        before = len(alone.alerts())
        late = series({"a": ((60.0, -20.0, 30.0), 20.0)}, patient="p-away")
        publish(alone, late)
        eventually(lambda: len(alone.alerts()) > before, within_s=15, what="an alarm without cache")
        assert run.worker.poll() is None

    run.go(away)
    assert local.up(home, kafka=False).redis == address
    states, _ = undisturbed(3)

    def whole():
        found = alone.cached()
        return found.pop("p-away", None) and found == states

    eventually(whole, within_s=40, what="the cache is whole")


def test_findings_go_where_their_patient_belongs():
    """The test's own publisher must do what a producer does."""
    assert len({partition_of(f"p-{n}", RESULTS.partitions) for n in range(PATIENTS)}) > 3
