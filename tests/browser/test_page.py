"""The page in a real browser: when it is to be believed, and what it shows then."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect
from support.page import SEEN, is_live, is_stale, numbers_seen, violet
from support.pretend_server import Pretence, served
from support.pretend_ward import NOW, pretend_ward
from support.stack import eventually

from wire.patient import Given

STALE_WITHIN_S = 3.0


@pytest.fixture(scope="module")
def known():
    return pretend_ward(28)


@pytest.fixture
def server(known):
    with served(Pretence(known)) as pretence:
        yield pretence


@pytest.fixture
def page(browser, server):
    """Yield a page that must not fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    made = context.new_page()
    failures = []
    made.on("pageerror", lambda error: failures.append(str(error)))
    yield made
    context.close()
    assert failures == []


AGE_SEEN = """(tile) => {
  const age = tile.querySelector(".frame-age").getBoundingClientRect();
  return age.height > 0 && age.bottom <= tile.getBoundingClientRect().bottom;
}"""


def first_patient(page, server):
    page.goto(server.url)
    is_live(page)
    return server.url + page.locator(".tile").first.get_attribute("href")


def test_nothing_is_shown_before_the_first_beat(page, server):
    server.beats = False
    page.goto(server.url)
    assert numbers_seen(page) == 0
    is_stale(page)
    assert numbers_seen(page) == 0
    server.beats = True
    is_live(page)
    assert numbers_seen(page) > 20


def test_without_scripts_nothing_is_shown(browser, server):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    assert numbers_seen(page) == 0
    expect(page.locator(".broken")).to_contain_text("STALE")
    context.close()


def test_silence_is_stale_in_time_and_heals_without_reload(page, server):
    page.goto(server.url)
    is_live(page)
    assert violet(page) == 0
    page.evaluate(SEEN)
    server.silent = True
    is_stale(page)
    silence_s = (page.evaluate("changed") - server.last_beat_ms) / 1000
    assert 1 < silence_s <= STALE_WITHIN_S
    assert violet(page) > 0.05
    assert numbers_seen(page) == 0
    assert page.locator(".tile .gone-word:visible").count() == page.locator(".tile").count()
    server.silent = False
    is_live(page)
    assert page.evaluate("changed")  # the page is the same one
    assert violet(page) == 0


@pytest.mark.soak
@pytest.mark.parametrize("view", ["/alarms", "/system", "patient"])
def test_every_view_gives_way(page, server, view):
    address = first_patient(page, server) if view == "patient" else server.url + view
    page.goto(address)
    is_live(page)
    server.silent = True
    is_stale(page)
    assert numbers_seen(page) == 0
    assert violet(page) > 0.05


@pytest.mark.soak
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"broker": "away"}, "does not reach Kafka"),
        ({"broker": "unknown"}, "does not reach Kafka"),
        ({"ready": False}, "still reading"),
    ],
)
def test_what_a_beat_says_is_believed(page, server, fault, words):
    page.goto(server.url)
    is_live(page)
    before = {name: getattr(server, name) for name in fault}
    for name, value in fault.items():
        setattr(server, name, value)
    is_stale(page)
    expect(page.locator("#stale")).to_contain_text(words)
    for name, value in before.items():
        setattr(server, name, value)
    is_live(page)


def test_a_cache_that_is_away_is_told_and_hides_nothing(page, server):
    server.cache = "away"
    page.goto(server.url)
    is_live(page)
    expect(page.locator("#notices")).to_contain_text("Redis is away")
    assert numbers_seen(page) > 20


@pytest.mark.soak
def test_a_watchdog_that_is_not_heard_is_told(page, server, known):
    server.known = replace(known, heartbeat=None)
    page.goto(server.url)
    is_live(page)
    expect(page.locator("#notices")).to_contain_text("No heartbeat yet")


def test_a_patch_that_cannot_be_shown_makes_the_page_stale_until_it_is_whole(page, server):
    page.goto(server.url)
    is_live(page)
    server.spoil = "tiles"
    is_stale(page)
    expect(page.locator("#stale")).to_contain_text("could not show")
    is_live(page)
    assert page.locator(".tile").count() == len(server.known.patients)


def alert(number, text):
    return {
        "id": f"a{number}",
        "phase": "start",
        "priority": "high",
        "PatientID": "p",
        "text": text,
    }


def test_a_reconnect_misses_nothing_and_says_nothing_twice(page, server):
    page.goto(server.url)
    is_live(page)
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => said.push(document.getElementById("urgent").textContent))
            .observe(document.getElementById("urgent"), { childList: true });
        }"""
    )
    server.alerts.append((101, alert(1, "one")))
    eventually(lambda: page.evaluate("said.length") == 1, within_s=5, what="one is said")
    server.drop = True
    eventually(lambda: page.evaluate("document.documentElement.dataset.feed") != "live",
               within_s=10, what="the page notices")  # fmt: skip
    server.alerts.append((102, alert(2, "two")))
    server.forgetful = True  # it sends all again: the page has to know better
    server.drop = False
    eventually(lambda: page.evaluate("said.length") >= 2, within_s=15, what="two are said")
    is_live(page)
    assert "101" in server.wanted
    assert [("one" in words, "two" in words) for words in page.evaluate("said")] == [
        (True, False), (False, True),
    ]  # fmt: skip


def test_tiles_follow_the_need_and_keep_the_focus(page, server, known):
    page.goto(server.url)
    is_live(page)
    ids = "[...document.querySelectorAll('#tiles > li')].map((li) => li.id)"
    first = page.evaluate(ids)[0]
    page.focus(f"#{first} a")
    patient_id = first.removeprefix("tile-")
    patient = known.patients[patient_id]
    server.known = replace(
        known, patients={**known.patients, patient_id: patient.model_copy(update={"alarms": {}})}
    )
    eventually(lambda: page.evaluate(ids)[0] != first, within_s=5, what="the order changes")
    order = page.evaluate(ids)
    assert sorted(order) == sorted(f"tile-{name}" for name in known.patients)
    assert order.index(first) > 0
    assert page.evaluate(f"document.getElementById('{first}').contains(document.activeElement)")


def test_who_acknowledges_sees_it_once_it_counts(page, server, known):
    page.goto(server.url + "/alarms")
    is_live(page)
    row = page.locator("#alarms > li").first.get_attribute("id")
    page.locator(f"#{row} [data-act=acknowledge]").press("Enter")
    eventually(lambda: server.acts, within_s=5, what="it was sent")
    (sent,) = server.acts
    assert sent["action"] == "acknowledge"
    assert row == f"alarm-{sent['about']}"
    patient = known.patients[sent["patient_id"]]
    about = next(i for i in patient.alarms if str(i) == sent["about"])
    alarm = patient.alarms[about].model_copy(update={"inactivation": "acknowledged"})
    given = Given(action_id=about, actor="dr x", event_time=NOW)
    server.known = replace(
        known,
        patients={
            **known.patients,
            patient.patient_id: patient.model_copy(
                update={
                    "alarms": {**patient.alarms, about: alarm},
                    "acknowledgements": {about: given},
                }
            ),
        },
    )
    expect(page.locator(f"#{row}")).to_contain_text("acknowledged by dr x")
    assert page.locator(f"#{row} [data-act]").count() == 0


def test_what_was_not_recorded_is_said_so(page, server):
    server.status = 503
    page.goto(server.url + "/alarms")
    is_live(page)
    page.locator("[data-act=silence]").first.click()
    expect(page.locator("#notices")).to_contain_text("NOT recorded (said by the test)")


def test_nothing_is_sent_from_a_page_that_is_blind(page, server):
    page.goto(server.url + "/alarms")
    is_live(page)
    server.silent = True
    is_stale(page)
    page.evaluate("document.querySelector('[data-act=acknowledge]').click()")
    expect(page.locator("#notices")).to_contain_text("nothing was sent")
    assert server.acts == []


def test_a_rejection_needs_a_reason(page, server):
    page.goto(first_patient(page, server))
    is_live(page)
    page.locator("[data-act=reject]").first.click()
    page.locator("#ask-yes").click()
    assert page.locator("#ask").is_visible()
    page.locator("#ask-reason").fill("a vessel")
    page.locator("#ask-yes").click()
    eventually(lambda: server.acts, within_s=5, what="it was sent")
    assert (server.acts[0]["action"], server.acts[0]["reason"]) == ("reject", "a vessel")
    page.locator("[data-act=sign-off]").first.click()
    page.keyboard.press("Escape")
    assert len(server.acts) == 1


def outline(page, name):
    """Return the centre of the first outline, in pixels of the page."""
    box = page.locator(f"#viewer-{name} .marks .outline").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_outlines_lie_over_what_was_found(page, server, known):
    page.goto(first_patient(page, server))
    is_live(page)
    page.wait_for_selector("#viewer-now .marks .outline")
    source = page.locator("#viewer-now .image").get_attribute("src")
    ref = next(r for i, r in known.frames.items() if f"finding={i}" in source)
    image = page.locator("#viewer-now .image").bounding_box()
    scale = image["width"] / 512
    x, y = outline(page, "now")
    assert abs((x - image["x"]) / scale - (ref.outlines[0].x_px + 0.5)) < 1
    assert abs((y - image["y"]) / scale - (ref.outlines[0].y_px + 0.5)) < 1


def test_the_viewer_goes_by_keys_wheel_and_lesions(page, server):
    page.goto(first_patient(page, server))
    is_live(page)
    at = lambda name: int(page.locator(f"#viewer-{name} .slider").input_value())  # noqa: E731
    before = at("now"), at("baseline")
    page.locator("#viewer-now .stage").press("ArrowUp")
    assert (at("now"), at("baseline")) == (before[0] + 1, before[1] + 1)
    page.locator("#together").uncheck()
    page.locator("#viewer-now .stage").press("Home")
    assert (at("now"), at("baseline")) == (0, before[1] + 1)
    page.locator("#viewer-now .stage").hover()
    page.mouse.wheel(0, -120)
    eventually(lambda: at("now") == 3, within_s=5, what="the wheel scrolls")
    page.locator("#jump-2").click()
    words = page.locator("#viewer-now .where").inner_text()
    assert "outlined" in words
    page.get_by_label("Soft tissue").check()
    assert "window=soft" in page.locator("#viewer-now .image").get_attribute("src")
    page.locator("#show-marks").uncheck()
    assert page.locator("#viewer-now .outline").count() == 0
    page.locator("#show-heat").uncheck()
    assert not page.locator("#viewer-now .heat").is_visible()


def test_expired_images_are_called_so(page, server, known):
    server.known = replace(known, frames={})
    page.goto(first_patient(page, server))
    is_live(page)
    expect(page.locator("#viewer-now .expired")).to_contain_text("expired, see the PACS: series 1.")


@pytest.mark.soak
def test_sound_is_off_until_somebody_allows_it(page, server):
    page.goto(server.url)
    is_live(page)
    button = page.locator("#sound")
    expect(button).to_have_text("Sound off")
    button.click()
    expect(button).to_have_text("Sound on")
    button.click()
    expect(button).to_have_text("Sound off")


def flashes(page, selector):
    return page.evaluate(
        "s => document.querySelector(s).getAnimations().map(a => a.effect.getTiming().duration)",
        selector,
    )


@pytest.mark.soak
def test_signals_flash_at_the_rates_of_the_standard(page, server, browser):
    """IEC 60601-1-8: high 1.4 to 2.8 Hz, low steady; nothing moves for those who want that."""
    page.goto(server.url)
    is_live(page)
    (high_ms,) = flashes(page, ".tile.p-high .signal")
    assert 1.4 <= 1000 / high_ms <= 2.8
    assert flashes(page, ".tile.p-low .signal") == []
    still = browser.new_context(reduced_motion="reduce").new_page()
    still.goto(server.url)
    is_live(still)
    assert flashes(still, ".tile.p-high .signal") == []
    still.context.close()


@pytest.mark.soak
def test_the_theme_is_kept(page, server):
    page.goto(server.url)
    for expected in ("light", "dark"):
        page.locator("#theme").click()
        assert page.evaluate("document.documentElement.dataset.theme") == expected
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.soak
@pytest.mark.parametrize("size", [(390, 844), (1280, 800), (3840, 2160)])
def test_no_view_is_wider_than_the_screen(browser, server, size):
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    for address in (first_patient(page, server), "/", "/alarms", "/system"):
        page.goto(address if address.startswith("http") else server.url + address)
        is_live(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        if address == "/":
            assert page.evaluate(f"[...document.querySelectorAll('.tile')].every({AGE_SEEN})")
    context.close()


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, server, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    for address in (first_patient(page, server), "/", "/alarms", "/system", "/login"):
        page.goto(address if address.startswith("http") else server.url + address)
        if address != "/login":
            is_live(page)
        found = axe.run(page).response["violations"]
        assert [v for v in found if v["impact"] in ("serious", "critical")] == [], address
    context.close()
