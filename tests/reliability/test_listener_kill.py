"""`kill -9` of listener and broker while devices send: what a device was told is stored arrives.

Also in order: a device sends its next image once the one before is stored, and so they arrive.
"""

import io
import random
import secrets
import signal
import time
from functools import partial
from pathlib import Path

import pydicom
import pytest
from support.chaos import PRODUCT
from support.devices import Device
from support.phantoms import chest_hu, dataset, part10
from support.record import recorded
from support.stack import Stack, eventually

import local
from local.broker import Broker
from local.ports import claim
from producers.spool import left_alone
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.topics import FRAMES, Names

DEVICES, IMAGES = 4, 250
DEADLINE_S = 240.0
SABOTAGE = Path(__file__).with_name("sabotage.py")

pytestmark = [pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def record():
    """Yield a list of rows; they become the record in docs/reliability.md."""
    columns = "| seed | killed, in order | told stored | attempts that failed | lost | ids twice |"
    with recorded("listener", columns) as rows:
        yield rows


@pytest.fixture
def stack(home, tmp_path):
    """Yield a stack on a broker that may be killed."""
    found = local.up(home)
    names = Names(f"t{secrets.token_hex(4)}-")
    topic_admin.create(Cluster.plain(found.kafka), names)
    stack = Stack(found.kafka, found.redis, names, tmp_path)
    yield stack
    local.up(home)
    stack.close()


def image(patient: int, number: int) -> pydicom.Dataset:
    """Return an image that is like no other."""
    pixels = chest_hu(patient, size=32) + number
    uid = f"1.2.{patient}.{number}"
    made = dataset(pixels, PatientID=f"P{patient}", SOPInstanceUID=uid, InstanceNumber=number)
    return pydicom.dcmread(io.BytesIO(part10(made)))


class Run:
    """One run: devices send while listener and broker are killed."""

    def __init__(self, stack: Stack, home, seed: int, program=PRODUCT) -> None:
        self._stack, self._home, self._program = stack, home, program
        self._rng = random.Random(seed)
        (self._port,) = claim(stack.folder / f"ports-{seed}.json", ["listener"]).values()
        self.killed: list[str] = []
        self._listener = self._listening()
        self.devices = [
            Device(
                f"DEVICE{number}",
                self._port,
                [image(number, n) for n in range(IMAGES)],
                within_s=DEADLINE_S,
            )
            for number in range(DEVICES)
        ]

    def go(self, kills: int) -> None:
        """Send all images; kill at random moments on the way."""
        moments = sorted(self._rng.sample(range(20, DEVICES * IMAGES - 20), kills))
        whom = [self._rng.choice("lb") for _ in range(kills - 2)] + ["l", "b"]
        self._rng.shuffle(whom)
        for device in self.devices:
            device.start()
        for moment, who in zip(moments, whom, strict=True):
            enough = partial(self._are_stored, moment)
            eventually(enough, within_s=DEADLINE_S, what=f"{moment} are stored")
            {"l": self._kill_listener, "b": self._kill_broker}[who]()
            self.killed.append(who)
        for device in self.devices:
            device.join(DEADLINE_S)
        eventually(self._all_sent, within_s=60, what="the spool is empty")

    @property
    def stored(self) -> int:
        """Return how many images devices were told are stored."""
        return sum(len(device.stored) for device in self.devices)

    def _are_stored(self, count: int) -> bool:
        return self.stored >= count

    def _kill_listener(self) -> None:
        self._stack.kill(self._listener)
        time.sleep(self._rng.uniform(0, 1))
        self._listener = self._listening()

    def _kill_broker(self) -> None:
        broker = Broker(self._home.resolve()).find()
        assert broker is not None
        broker.signal(signal.SIGKILL)
        if self._rng.random() < 0.5:  # and the listener while it has only its disk
            time.sleep(self._rng.uniform(0, 3))
            self._kill_listener()
            self.killed.append("l")
        time.sleep(self._rng.uniform(0, 3))
        local.up(self._home)

    def _listening(self):
        allow = [word for n in range(DEVICES) for word in ("--allow", f"DEVICE{n}")]
        words = ("listen", "--host", "127.0.0.1", "--port", self._port, *allow)
        return self._stack.start(*words, program=self._program)

    def _all_sent(self) -> bool:
        spools = self._stack.folder / "home/spool"
        return not list(spools.glob("*.sqlite*")) and not left_alone(spools)


def survives(run: Run, stack: Stack, *, kills: int) -> str:
    """Run it, assert what must hold, and return what came of it as words of a table."""
    run.go(kills)
    arrived: dict[str, set[str]] = {}
    order: dict[str, list[str]] = {}
    for record in stack.records(FRAMES):
        envelope = Envelope.of(record.headers)
        uid = str(envelope.subject).split("/")[0]
        if uid not in arrived:
            order.setdefault(uid.split(".")[2], []).append(uid)
        arrived.setdefault(uid, set()).add(str(envelope.id))
    told = {uid for device in run.devices for uid in device.stored}
    lost, twice = told - set(arrived), [uid for uid, ids in arrived.items() if len(ids) > 1]
    assert len(told) == DEVICES * IMAGES, "all devices got rid of all their images"
    assert not lost, f"told and lost: {sorted(lost)[:5]}"
    assert not twice
    assert set(arrived) == told
    for device, uids in order.items():
        assert uids == [f"1.2.{device}.{n}" for n in range(IMAGES)], "in the order of the device"
    failed = sum(device.failed for device in run.devices)
    return f"{' '.join(run.killed)} | {len(told)} | {failed} | {len(lost)} | {len(twice)}"


def test_what_a_device_was_told_is_stored_arrives(stack, home):
    survives(Run(stack, home, 1), stack, kills=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_what_a_device_was_told_is_stored_arrives_whoever_is_killed(stack, home, seed, record):
    record.append(f"| {seed} | {survives(Run(stack, home, seed), stack, kills=8)} |\n")


@pytest.mark.soak
def test_the_test_sees_a_listener_that_promises_too_early(stack, home):
    with pytest.raises(AssertionError, match="told and lost"):
        survives(Run(stack, home, 1, (SABOTAGE, "success-first")), stack, kills=4)
