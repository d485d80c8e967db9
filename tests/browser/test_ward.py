"""The page on a whole stack: real frames, an alarm, people who attend to it, servers that die."""

import contextlib
import json
import os
import secrets
import signal
import time
from dataclasses import dataclass

import numpy as np
import pytest
from playwright.sync_api import expect
from support.kafka_records import alert, envelope_of
from support.monitors import Monitor
from support.page import SEEN, is_live, is_stale, numbers_seen, pixels, violet
from support.stack import Stack, eventually

import local
from local.broker import Broker
from local.cache import Cache
from wire import topic_admin
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.records import Action, Alert
from wire.topics import ACTIONS, ALERTS, PATIENTS, RESULTS, Names

pytestmark = [pytest.mark.timeout(300)]

PASSWORD = "a long password"  # noqa: S105 -- of two people who do not exist
FRAMES_SENT = 32
STALE_WITHIN_S = 3.0
PIXELS = 5
"""So far from the finding may the heat map's middle lie."""


@dataclass
class Ward:
    stack: Stack
    monitor: Monitor
    scans: object

    def scan(self):
        """Publish the scans; the same ones have the same ids."""
        done = self.stack.command("replay", self.scans, "--fps", 15)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def ward(home, tmp_path_factory):
    """Yield a ward without patients: workers, watchdog and monitor, and two people."""
    folder = tmp_path_factory.mktemp("ward")
    servers = local.up(home)
    names = Names(f"w{secrets.token_hex(4)}-")
    topic_admin.create(Cluster.plain(servers.kafka), names)
    stack = Stack(servers.kafka, servers.redis, names, folder, policy="longitudinal")
    monitor = Monitor(stack)
    monitor.users.add("nina", "clinician", PASSWORD)
    monitor.users.add("nils", "nurse", PASSWORD)
    made = stack.command(
        "simulate", "--out", folder / "scans", "--patients", 1, "--studies", 2, "--slices", 16
    )
    assert made.returncode == 0, made.stderr
    stack.worker("scoring")
    stack.worker("patients")
    monitor.start()
    for worker in ("scoring", "patients"):
        stack.wait_for_members(worker, 1)
    stack.start("lesionstream", "watchdog", program=["-m"])
    (folder / "scans" / "truth.json").unlink()
    yield Ward(stack, monitor, folder / "scans")
    for process in stack.processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
    stack.close()


@pytest.fixture(scope="module")
def scanned(ward):
    """Yield the ward once both studies of its patient are judged."""
    ward.scan()
    ward.stack.answered(FRAMES_SENT, within_s=120)
    eventually(
        lambda: sum(sheet.stage == "final" for sheet in ward.stack.assessments()) >= 2,
        within_s=60,
        what="two final assessments",
    )
    ward.stack.settled()
    return ward


@pytest.fixture
def enter(browser, ward):
    """Return what opens a page as somebody, who logs in."""
    contexts, failures = [], []

    def entered(name, path="/"):
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(ward.monitor.url + path)
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        is_live(page)
        page.evaluate("window.neverReloaded = true")
        return page

    yield entered
    for context in contexts:
        context.close()
    assert failures == []


def clinical(ward):
    return [alert for alert in ward.stack.alerts() if alert.category == "clinical"]


def test_the_first_alert_is_seen_without_a_reload(ward, enter, capsys):
    page = enter("nina")
    page.evaluate(
        """() => new MutationObserver(() => {
          if (document.querySelector("#tiles .tile.p-low, #tiles .tile.p-medium"))
            requestAnimationFrame(() => { window.painted ??= Date.now(); });
        }).observe(document.getElementById("tiles"), { childList: true, subtree: true })"""
    )
    ward.scan()
    eventually(lambda: page.evaluate("window.painted"), within_s=90, what="an alarm is seen")
    first = next(
        record
        for record in ward.stack.records(ALERTS)
        if Envelope.of(record.headers).kind == Alert.kind and b'"clinical"' in record.value
    )
    said = Alert.model_validate_json(first.value)
    spoken = Envelope.of(first.headers).time
    received_ms = spoken.timestamp() * 1000 - said.delay_ms
    with capsys.disabled():
        painted_ms = page.evaluate("window.painted")
        print(
            f"\nfrom the last byte of the frame to pixels {painted_ms - received_ms:.0f} ms, "
            f"to the alert {said.delay_ms:.0f} ms of these"
        )
    expect(page.locator("#bar .foremost")).to_contain_text("LOW")
    expect(page.locator(f"#tile-{said.patient_id}")).to_contain_text("Simulated, Growing")
    assert page.evaluate("window.neverReloaded")


def numbers_in(value):
    """Yield every number in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@pytest.mark.parametrize("view", ["ward", "patient", "alarms"])
def test_every_number_on_the_page_stands_in_the_topics(scanned, enter, view):
    (patient_id,) = scanned.stack.states()
    page = enter("nina", {"ward": "/", "alarms": "/alarms"}.get(view, f"/patients/{patient_id}"))
    known = set()
    for topic in (RESULTS, PATIENTS, ALERTS):
        for record in scanned.stack.records(topic):
            known.add(float(record.offset))
            known.update(numbers_in(json.loads(record.value)))
    slices = {float(lesion.slices) for s in scanned.stack.assessments() for lesion in s.lesions}
    shown = page.evaluate(
        "[...document.querySelectorAll('main data')].map((number) => Number(number.value))"
    )
    assert len(shown) > 2
    assert set(shown) - known - slices == set()


def test_who_acknowledges_clears_it_on_every_screen(scanned, enter):
    nina, nils = enter("nina", "/alarms"), enter("nils", "/alarms")
    row = nina.locator("#alarms > li:has([data-act=acknowledge])").first.get_attribute("id")
    expect(nils.locator(f"#{row}")).to_be_visible()
    nils.locator(f"#{row} [data-act=acknowledge]").click()
    for page in (nina, nils):
        expect(page.locator(f"#{row}")).to_contain_text("acknowledged by nils", timeout=15_000)
        assert page.evaluate("window.neverReloaded")
    done = [Action.model_validate_json(r.value) for r in scanned.stack.records(ACTIONS)]
    about = row.removeprefix("alarm-")
    assert [a.actor for a in done if str(a.about) == about] == ["nils"]


def test_the_heat_map_lies_over_the_finding(scanned, enter):
    (patient_id,) = scanned.stack.states()
    page = enter("nina", f"/patients/{patient_id}")
    image = page.locator("#viewer-now .image")
    page.locator("#show-marks").uncheck()
    page.evaluate("document.getElementById('opacity').value = 100")
    page.locator("#show-heat").uncheck()
    whole = (
        "document.querySelector('#viewer-now .image').complete"
        " && document.querySelector('#viewer-now .heat').complete"
    )
    eventually(lambda: page.evaluate(whole), within_s=15, what="both pictures are there")
    plain = pixels(page.locator("#viewer-now .frame")).astype(float)
    page.locator("#show-heat").check()
    eventually(lambda: page.evaluate(whole), within_s=15, what="both pictures are there")
    heated = pixels(page.locator("#viewer-now .frame")).astype(float)
    change = np.abs(heated - plain).max(axis=2)
    source = image.get_attribute("src")
    finding = next(f for f in scanned.stack.findings() if str(f.id) in source)
    scale = image.evaluate("(image) => image.naturalWidth / image.clientWidth")
    best = finding.lesions[0]
    reach = 25 / scale
    x, y = (best.x_px + 0.5) / scale, (best.y_px + 0.5) / scale
    rows, columns = np.mgrid[0 : change.shape[0], 0 : change.shape[1]]
    near = change * (np.hypot(columns - x, rows - y) < reach)
    assert near.max() > 40
    middle = [float((near * axis).sum() / near.sum()) for axis in (columns, rows)]
    assert np.hypot(middle[0] - x, middle[1] - y) * scale < PIXELS
    assert near.max() == change.max(), "the hottest place is the most probable lesion's"


def test_a_server_that_stands_still_is_seen_in_time_and_comes_back(scanned, enter):
    page = enter("nina", "/alarms")
    page.evaluate(SEEN)
    stopped = scanned.monitor.process
    os.killpg(stopped.pid, signal.SIGSTOP)
    stopped_ms = time.time() * 1000
    is_stale(page)
    assert page.evaluate("window.changed") - stopped_ms < STALE_WITHIN_S * 1000
    assert violet(page) > 0.05
    assert numbers_seen(page) == 0
    said = alert(secrets.randbelow(10**9), text="said while nobody could show it")
    scanned.stack.send_all(ALERTS, [("x", said.to_json(), envelope_of(said))])
    os.killpg(stopped.pid, signal.SIGCONT)
    is_live(page)
    expect(page.locator("#history")).to_contain_text("said while nobody could show it")
    shows_all_that_was_said(scanned, page)


def shows_all_that_was_said(ward, page):
    """The history on the page is what stands in `alerts`: each once, in order."""

    def same():
        offsets = [
            record.offset
            for record in ward.stack.records(ALERTS)
            if Envelope.of(record.headers).kind == Alert.kind
        ]
        shown = page.evaluate("[...document.querySelectorAll('#history > tr')].map((r) => r.id)")
        return shown == [f"said-{offset}" for offset in reversed(offsets)]

    eventually(same, within_s=15, what="the history is the topic")
    assert violet(page) == 0
    assert page.evaluate("window.neverReloaded")


@pytest.mark.soak
@pytest.mark.parametrize("server", ["kafka", "redis"])
def test_servers_killed_under_an_open_page(scanned, enter, home, server):
    page = enter("nina", "/alarms")
    before = len(scanned.stack.records(ALERTS))
    page.evaluate(SEEN)
    (Broker if server == "kafka" else Cache)(home.resolve()).find().signal(signal.SIGKILL)
    killed_ms = time.time() * 1000
    if server == "kafka":
        is_stale(page)
        # The beat itself says it: a probe has a limit of a second, and the next beat tells.
        assert page.evaluate("window.changed") - killed_ms < STALE_WITHIN_S * 1000
        assert violet(page) > 0.05
    else:
        expect(page.locator("body")).to_contain_text("Redis", timeout=5_000)
        assert numbers_seen(page) > 0
    local.up(home)
    is_live(page)
    eventually(
        lambda: len(scanned.stack.records(ALERTS)) > before + 2, within_s=60, what="heartbeats"
    )
    shows_all_that_was_said(scanned, page)
