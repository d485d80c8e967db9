"""More comes than is done: what is said of it, who overtakes whom, and that nothing is lost."""

import re
import threading
from itertools import count

import pytest
from support import overload, quick_engine
from support.phantoms import chest_hu, dataset, part10
from support.stack import eventually

from benchmarks import held
from producers.prepare import prepare
from producers.publisher import Publisher
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.records import Heartbeat
from wire.topics import ALERTS, FRAMES, INPUT, RESULTS, STAT

pytestmark = [pytest.mark.timeout(180), pytest.mark.filterwarnings("ignore")]

PATIENTS = 5
MANY = 40
"""Frames that wait and are overtaken: more than are ever called few."""

MOST = 1500
KEY = b"0" * 32


class Scanners:
    """Sends slices of several patients in turn, three times as fast as they are scored."""

    def __init__(self, stack):
        self._stack = stack
        self._stop = threading.Event()
        self._pixels = chest_hu(size=96)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        with Publisher(
            Cluster.plain(self._stack.kafka), names=self._stack.names, source="/test"
        ) as publisher:
            for number in range(MOST):
                if self._stop.wait(overload.A_FRAME_S / 3):
                    break
                publisher.frame(self.slice(f"P{number % PATIENTS}", number // PATIENTS))
            publisher.flush()

    def slice(self, patient_id, number, uid="1.2.826.0.1.3680043.8.498"):
        image = dataset(
            self._pixels,
            PatientID=patient_id,
            SOPInstanceUID=f"{uid}.{patient_id[1:]}.{number}",
            InstanceNumber=number + 1,
        )
        (frame,) = prepare(part10(image), KEY)
        return frame


def urgent(stack, scanners, numbers):
    """Publish slices of an urgent series; return their frame ids."""
    with Publisher(Cluster.plain(stack.kafka), names=stack.names, source="/test") as publisher:
        frames = [scanners.slice("P9", number) for number in numbers]
        for frame in frames:
            publisher.frame(frame, topic=STAT)
        publisher.flush()
    return {str(frame.frame_id) for frame in frames}


def beat(stack):
    """Return the last heartbeat."""
    return next(
        (
            Heartbeat.model_validate_json(record.value)
            for record in reversed(stack.records(ALERTS))
            if Envelope.of(record.headers).kind == Heartbeat.kind
        ),
        None,
    )


def phases(stack, cause):
    return [alert.phase for alert in stack.alerts() if alert.cause == cause]


def told(stack, cause, phase):
    """Wait until the alarm of a cause has come to a phase; return it."""
    eventually(lambda: phase in phases(stack, cause), within_s=40, what=f"{cause}: {phase}")
    return next(a for a in stack.alerts() if (a.cause, a.phase) == (cause, phase))


def answered(stack, ids):
    """Wait until these frames have findings."""
    eventually(
        lambda: ids <= {str(finding.frame_id) for finding in stack.findings()},
        within_s=40,
        what="urgent series answered",
    )


def test_an_overload_is_told_and_urgent_series_overtake_it(stack, tmp_path):
    quick_engine.add_to(tmp_path / "home")
    brake = tmp_path / "brake"
    brake.touch()
    stack.worker("scoring", program=[overload.__file__, brake])
    stack.start("impatient", "watchdog", program=[overload.__file__])
    stack.wait_for_members("scoring", 1)
    with Scanners(stack) as scanners:
        ids = urgent(stack, scanners, [0])
        told(stack, "scoring-stat-nobody", "start")
        stack.start("worker", "scoring", "--stat")
        alarm = told(stack, "scoring-behind", "start")
        assert "messages wait for scoring workers, who do " in alarm.text
        assert "Add workers" in alarm.text
        answered(stack, ids)
        ids |= urgent(stack, scanners, range(1, 6))
        answered(stack, ids)
    late = eventually(
        lambda: (now := beat(stack)).oldest_waiting_s["scoring"] and now, within_s=10, what="age"
    )
    assert late.lag["scoring"] > MANY
    assert late.oldest_waiting_s["scoring"] > 1.0
    assert late.members.keys() == set(INPUT) - {"models"}, "none ever worked here"
    brake.unlink()

    told(stack, "scoring-behind", "end")
    told(stack, "scoring-stat-nobody", "end")
    eventually(lambda: stack.behind("scoring", FRAMES) == 0, within_s=40, what="all is done")
    eventually(
        lambda: (
            beat(stack).oldest_waiting_s.items() >= {"scoring": 0.0, "scoring-stat": 0.0}.items()
        ),
        within_s=20,
        what="nothing waits, and so it is said",
    )
    assert phases(stack, "scoring-behind") == ["start", "end"]
    _nothing_lost_nothing_overtaken(stack, ids)


def _nothing_lost_nothing_overtaken(stack, ids):
    findings = stack.findings()
    assert stack.unanswered() == 0
    assert len({f.id for f in findings}) == len(findings)
    stat = [f for f in findings if f.frame.topic == stack.names.of(STAT)]
    assert {str(f.frame_id) for f in stat} == ids
    assert [f.instance_number for f in stat] == [1, 2, 3, 4, 5, 6]

    said = {Envelope.of(r.headers).id: Envelope.of(r.headers).time for r in stack.records(RESULTS)}
    before = [f for f in findings if f not in stat and f.received_time < stat[1].received_time]
    overtaken = [f for f in before if said[str(f.id)] > said[str(stat[-1].id)]]
    assert len(overtaken) > MANY

    orders = {}
    for finding in findings:
        if finding not in stat:
            orders.setdefault(finding.patient_id, []).append(finding.instance_number)
    assert len(orders) == PATIENTS
    for order in orders.values():
        assert order == [number for number, _ in zip(count(1), order, strict=False)]

    waited = [f.times_ms.queued for f in before]
    assert waited[0] < waited[len(waited) // 2] < max(waited), "the delay grew, and is told"
    for finding in overtaken:
        answered = said[str(finding.id)] - finding.received_time
        assert 0 < finding.times_ms.queued <= answered.total_seconds() * 1000


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_what_a_worker_holds_is_bounded_by_bytes(capsys):
    """Frames of 30 MiB wait on every partition, 2.9 GiB of them."""
    assert held.main(["--sides", "4000"]) == 0
    (mebibytes,) = re.findall(r"\| ([\d,]+) MiB \|$", capsys.readouterr().out, re.MULTILINE)
    assert int(mebibytes.replace(",", "")) < 1024
