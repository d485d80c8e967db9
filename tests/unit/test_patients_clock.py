"""The clock closes many series at once, after an outage say: no alarm waits for all of them."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stream import patients_worker
from stream.ledger import Ledger
from stream.patients_worker import AT_A_TIME, PatientsWorker
from stream.policies import Policy
from stream.snapshots import Snapshots
from wire.patient import Patient
from wire.topics import Names

MANY = 5 * AT_A_TIME
LONG_AGO = -1_000.0


@pytest.fixture
def said(monkeypatch):
    """Return what left, in order; the clock has something to say of each patient, once."""
    left = []

    async def publish(messages):
        for message in list(messages):
            left.append(message.key)
        await asyncio.sleep(0)

    def tick(patient, now, policy):
        return patient.model_copy(update={"generation": 7}), []

    monkeypatch.setattr(patients_worker, "publish", publish)
    monkeypatch.setattr(patients_worker, "raw_topic", lambda *_: None)
    monkeypatch.setattr(patients_worker, "due", lambda patient, now, policy: not patient.generation)
    monkeypatch.setattr(patients_worker, "fold_tick", tick)
    return left


@pytest.fixture
def worker(said):
    ledger = Ledger(lambda partitions: Snapshots(), rebuild=lambda those, log: {}, log_id="L")
    for number in range(MANY):
        ledger.put(0, Patient(patient_id=f"p-{number}", version={"log": "L"}))

    async def write(patients):
        list(patients)

    worker = PatientsWorker(
        SimpleNamespace(consumer_generation_id=1),
        names=Names(""),
        pulse=None,
        policy=Policy,
        retention=None,
        ledger=ledger,
        cache=SimpleNamespace(write=write),
    )
    worker._forgot_s = worker._taken_s = LONG_AGO
    return worker


def test_a_message_waits_for_a_few_patients_alone(worker, said):
    async def message():
        async with worker._one_at_a_time:
            return len(said)

    async def both():
        tick = asyncio.create_task(worker._tick(datetime.now(UTC)))
        await asyncio.sleep(0)
        before = await message()
        await tick
        return before

    assert asyncio.run(both()) <= AT_A_TIME
    assert sorted(said) == sorted(f"p-{number}" for number in range(MANY))


def test_what_is_no_longer_ours_is_left_alone(worker, said):
    async def lost():
        tick = asyncio.create_task(worker._tick(datetime.now(UTC)))
        await asyncio.sleep(0)
        await worker.forget()
        await tick

    asyncio.run(lost())
    assert len(said) <= AT_A_TIME
    assert worker._ledger.all() == []


def test_one_patient_keeps_the_clock_from_no_other(worker, said, monkeypatch):
    def tick(patient, now, policy):
        if patient.patient_id == "p-3":
            raise ValueError("a patient like no other")
        return patient.model_copy(update={"generation": 7}), []

    monkeypatch.setattr(patients_worker, "fold_tick", tick)
    asyncio.run(worker._tick(datetime.now(UTC)))
    assert sorted(said) == sorted(f"p-{number}" for number in range(MANY) if number != 3)
