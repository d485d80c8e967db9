"""Which snapshot counts: zombies, gaps in generations, topics that were made anew."""

import json

import pytest

from stream.ledger import Ledger
from stream.snapshots import Snapshots, newer
from wire.patient import Patient, Version


def patient(results, actions=-1, *, generation=1, log="L", name="p-1"):
    version = Version(log=log, results=results, actions=actions)
    return Patient(patient_id=name, version=version, generation=generation)


def as_it_is(known, log_id):
    return dict(known)


def read(*values):
    snapshots = Snapshots()
    for value in values:
        snapshots.add(0, b"p-1", value if value is None else value.to_json())
    return snapshots


def test_the_newest_by_version_counts_not_the_last():
    snapshots = read(patient(5, generation=1), patient(9, generation=2), patient(6, generation=1))
    assert snapshots.patients[0, "p-1"].version.results == 9
    assert snapshots.stale == {(0, "p-1")}


def test_in_order_nothing_is_stale():
    assert read(patient(5), patient(9), patient(9, 1)).stale == set()


def test_a_zombie_and_its_successor_are_told_apart_by_generation():
    zombie, successor = patient(10, 5, generation=1), patient(9, 6, generation=2)
    assert newer(successor, zombie)
    assert not newer(zombie, successor)


def test_a_generation_that_began_anew_does_not_hide_progress():
    assert newer(patient(20, generation=1), patient(10, generation=57))


def test_damaged_snapshots_are_passed_over():
    snapshots = read(patient(1))
    snapshots.add(0, b"p-1", b"{")
    assert snapshots.patients[0, "p-1"].version.results == 1
    assert snapshots.damaged == {0}


def test_a_tombstone_forgets_and_what_comes_after_it_counts():
    assert read(patient(1), None).patients == {}
    assert read(patient(9), None, patient(3)).patients[0, "p-1"].version.results == 3


def test_offsets_of_other_topics_mean_nothing():
    ledger = Ledger(
        lambda partitions: read(patient(500, log="old")), rebuild=as_it_is, log_id="new"
    )
    ledger.load([0])
    assert ledger.get(0, "p-1").version == Version(log="new")


def test_reads_each_partition_once_until_told_to_forget():
    asked = []

    def reader(partitions):
        asked.append(set(partitions))
        return Snapshots()

    ledger = Ledger(reader, rebuild=as_it_is, log_id="L")
    ledger.load([0, 1])
    ledger.load([1, 2])
    ledger.forget()
    ledger.load([1])
    assert asked == [{0, 1}, {2}, {1}]


def test_hidden_snapshots_are_told_until_written_again():
    ledger = Ledger(lambda partitions: read(patient(9), patient(6)), rebuild=as_it_is, log_id="L")
    ledger.load([0])
    ((partition, hidden),) = ledger.hidden()
    assert hidden.version.results == 9
    ledger.put(partition, hidden)
    assert ledger.hidden() == []


@pytest.mark.parametrize(
    ("snapshots", "asked"),
    [
        (read(patient(5)), False),
        (read(), True),
        (read(patient(5, log="old")), True),
        (read(patient(5), patient(6)), False),
    ],
    ids=["whole", "none", "of other topics", "several"],
)
def test_the_log_is_asked_where_snapshots_cannot_be_trusted(snapshots, asked):
    calls = []

    def rebuild(known, log_id):
        calls.extend(known)
        return {partition: {"p-9": patient(3, log=log_id, name="p-9")} for partition in known}

    ledger = Ledger(lambda partitions: snapshots, rebuild=rebuild, log_id="L")
    ledger.load([0])
    assert bool(calls) == asked
    if asked:
        assert ledger.get(0, "p-9").version.results == 3
        assert [p.patient_id for _, p in ledger.hidden()] == ["p-9"]


def test_a_damaged_snapshot_is_a_reason_to_ask_the_log():
    snapshots = read(patient(5))
    snapshots.add(0, b"p-1", b"{")
    ledger = Ledger(
        lambda partitions: snapshots,
        rebuild=lambda known, log_id: {0: {"p-1": patient(7)}},
        log_id="L",
    )
    ledger.load([0])
    assert ledger.get(0, "p-1").version.results == 7


def test_a_snapshot_of_the_form_before_is_a_reason_to_ask_the_log():
    """It held probabilities by finding id and no slices: taken as it is, priors would be lost."""
    snapshots = Snapshots()
    series = {"1.2": {"findings": {}, "lesion_probability": 0.9, "action": "intensify"}}
    old = {"PatientID": "p-1", "version": {"log": "L", "results": 9}, "series": series}
    snapshots.add(0, b"p-1", json.dumps(old).encode())
    assert snapshots.damaged == {0}
