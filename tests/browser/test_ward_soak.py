"""Ten minutes of a full ward: 200 patients, 50 clients of the feed, five browsers."""

import itertools
import os
import time

import pytest
from support.kafka_records import alert, envelope_of, heartbeat
from support.monitors import Monitor
from support.page import is_live
from support.pretend_ward import pretend_ward
from support.record import recorded
from support.stack import eventually

from monitor.views import HISTORY_SHOWN
from wire.envelope import Envelope
from wire.patient import Version
from wire.records import Alert
from wire.topics import ALERTS, PATIENTS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

PATIENTS_THERE, CLIENTS, SECONDS = 200, 50, 600
VIEWS = ("/", "/", "/", "/alarms", "/system")
COLUMNS = (
    "| messages | clients | missing | twice | longest pause between beats, s "
    "| MB after 2 min | MB at the end | share of a core | load of the machine, 5 min |"
)


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_full_ward_misses_nothing_and_its_memory_is_flat(stack, browser):
    monitor = Monitor(stack)
    patients = list(pretend_ward(PATIENTS_THERE).patients.values())
    say(stack, patients, at=0)
    monitor.start("--demo")
    clients = [monitor.listen(**{"from": 0}) for _ in range(CLIENTS)]
    pages = [browser.new_page() for _ in VIEWS]
    for page, view in zip(pages, VIEWS, strict=True):
        page.goto(monitor.url + view)
        is_live(page)
    assert pages[0].locator("#tiles > li").count() == PATIENTS_THERE
    pid = monitor.process.pid
    began, began_cpu_s, early_mb = time.monotonic(), cpu_s(pid), None
    turns = itertools.cycle(range(PATIENTS_THERE))
    for second in itertools.count(1):
        if time.monotonic() - began > SECONDS:
            break
        say(stack, [patients[next(turns)], patients[next(turns)]], at=second)
        if early_mb is None and time.monotonic() - began > SECONDS / 5:
            early_mb = resident_mb(pid)
        eventually(lambda s=second: time.monotonic() - began >= s, within_s=5, what="a second")
    share = (cpu_s(pid) - began_cpu_s) / (time.monotonic() - began)
    late_mb = resident_mb(pid)
    records = stack.records(ALERTS)
    offsets = [record.offset for record in records]
    alerts = sum(Envelope.of(record.headers).kind == Alert.kind for record in records)
    for client in clients:
        client.wait(len(offsets), within_s=30)
    missing = sum(len(set(offsets) - set(client.offsets())) for client in clients)
    twice = sum(len(client.offsets()) - len(set(client.offsets())) for client in clients)
    pause_s = max(
        late.at_s - early.at_s
        for client in clients
        for early, late in itertools.pairwise(client.beats())
    )
    for page in pages:
        is_live(page)
    shown = pages[3].evaluate("document.querySelectorAll('#history > tr').length")
    row = [len(offsets), CLIENTS, missing, twice, f"{pause_s:.1f}"]
    row += [f"{early_mb:.0f}", f"{late_mb:.0f}", f"{share:.2f}", f"{os.getloadavg()[1]:.1f}"]
    with recorded("ward", COLUMNS) as rows:
        rows.append("| " + " | ".join(map(str, row)) + " |\n")
    for client in clients:
        client.close()
    for page in pages:
        page.close()
    assert (missing, twice, shown) == (0, 0, min(alerts, HISTORY_SHOWN))
    assert late_mb < 1.1 * early_mb


def say(stack, patients, *, at):
    """Publish these patients as they are now, an alert about the first, and a heartbeat."""
    version = Version(log="soak", results=at)
    now = [patient.model_copy(update={"version": version}) for patient in patients]
    stack.send_all(
        PATIENTS,
        [
            (p.patient_id, p.to_json(), Envelope("patient", p.patient_id, "/test").headers())
            for p in now
        ],
    )
    about = {"patient_id": patients[0].patient_id, "category": "clinical", "priority": "low"}
    said = [alert(at, **about), heartbeat(at)]
    stack.send_all(ALERTS, [("x", record.to_json(), envelope_of(record)) for record in said])
