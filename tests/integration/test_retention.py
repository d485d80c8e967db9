"""Patients are forgotten once their time is over, but not while an alarm waits for somebody."""

from datetime import UTC, datetime

import pytest
from support.publishing import publish
from support.records import finding
from support.stack import eventually

from wire import ids
from wire.patient import Patient
from wire.records import Action
from wire.topics import ACTIONS, PATIENTS

pytestmark = [pytest.mark.timeout(240)]


def snapshots(stack, patient_id):
    """Return all snapshots of a patient, in order; None is one that takes them back."""
    key = patient_id.encode()
    return [r.value for r in stack.records(PATIENTS) if r.key == key]


def test_a_patient_whose_time_is_over_is_forgotten_everywhere(stack, monkeypatch):
    monkeypatch.setenv("LESIONSTREAM_RETENTION_DAYS", "0.00003")  # 2.6 s
    stack.worker("patients")
    publish(stack, [finding(0.9, patient="alarmed")])
    state = eventually(lambda: stack.states().get("alarmed"), within_s=60, what="one is known")
    ((alarm, _),) = state["alarms"].items()
    publish(stack, [finding(0.1, patient="quiet")])  # the younger one: forgotten in no earlier pass
    eventually(lambda: None in snapshots(stack, "quiet"), within_s=60, what="no snapshot")
    eventually(lambda: "quiet" not in stack.cached(), within_s=10, what="nothing in Redis")
    assert list(stack.states()) == list(stack.cached()) == ["alarmed"], "it waits for somebody"

    attended = Action(
        id=ids.payload_id(b"attended"),
        action="acknowledge",
        patient_id="alarmed",
        about=alarm,
        actor="nurse 1",
        event_time=datetime.now(UTC),
    )
    stack.send(ACTIONS, attended.to_json(), key="alarmed")
    eventually(lambda: not stack.states(), within_s=60, what="no snapshot of the other")
    eventually(lambda: not stack.cached(), within_s=10, what="nothing of the other in Redis")

    until_now = len(snapshots(stack, "quiet"))
    publish(stack, [finding(0.1, patient="quiet", series="1.3")])
    (again, *_) = eventually(
        lambda: snapshots(stack, "quiet")[until_now:], within_s=30, what="known again"
    )
    assert list(Patient.model_validate_json(again).series) == ["1.3"]
