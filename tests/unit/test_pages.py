"""Views as HTML: whole, in parts, and safe to show whatever stands in a record."""

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from html.parser import HTMLParser

import pytest
from support.pretend_ward import NOW, pretend_ward

from monitor import pages, views
from monitor.known import Called, Known
from monitor.shapes import Role
from wire.patient import Patient

VIEWS: tuple[pages.View, ...] = ("ward", "patient", "alarms", "system")
VOID = {"meta", "link", "input", "img", "br", "path", "circle", "line", "polyline"}


@dataclass(frozen=True)
class Person:
    name: str
    role: Role


NURSE, CLINICIAN = Person("nina", "nurse"), Person("dr x", "clinician")


class Elements(HTMLParser):
    """All elements of a document; fails where one is not closed."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.text = ""
        self._open = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data):
        self.text += data

    def ids(self):
        return [attrs["id"] for _, attrs in self.found if "id" in attrs]


@cache
def ward():
    return pretend_ward(28)


def sheet(view, role="clinician", known=None):
    known = known or ward()
    if view == "patient":
        first = views.ward(known, role, NOW).tiles[0].who.patient_id
        return views.patient(known, first, role, NOW)
    return getattr(views, view)(known, role, NOW)


def page(view, person=CLINICIAN, *, demo=False, known=None):
    return pages.page(view, sheet(view, person.role, known), person, demo=demo, now=NOW)


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_is_whole(view):
    found = Elements(page(view))
    assert len(found.ids()) == len(set(found.ids()))
    assert "decision support only" in found.text
    assert "dr x" in found.text
    assert "clinician" in found.text
    stream = next(attrs["data-stream"] for tag, attrs in found.found if tag == "body")
    assert stream.startswith(f"/api/alerts/stream?view={view}")


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_needs_what_the_content_security_policy_forbids(view):
    for html in (page(view), pages.login("wrong", "/")):
        for tag, attrs in Elements(html).found:
            assert "style" not in attrs, tag
            assert not [name for name in attrs if name.startswith("on")], tag
            if tag == "script":
                inline = attrs.get("type") == "application/json"
                assert inline or attrs["src"].startswith("/static/")
            for name in ("src", "href"):
                assert not (attrs.get(name) or "").startswith(("http", "//", "javascript", "data"))


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_page_asks_for_is_there(view):
    for _, attrs in Elements(page(view)).found:
        for name in ("src", "href"):
            path = attrs.get(name) or ""
            if path.startswith("/static/"):
                assert (pages.STATIC / path.removeprefix("/static/")).is_file()


@pytest.mark.parametrize("view", VIEWS)
def test_parts_are_elements_with_their_id_and_stand_in_the_page(view):
    parts = pages.fragments(view, sheet(view), NOW)
    whole = set(Elements(page(view)).ids())
    for name, html in parts.html.items():
        assert Elements(html).found[0][1]["id"] == name
    assert set(parts.html) <= whole
    for name, order in parts.lists.items():
        assert name in whole
        assert set(order) <= set(parts.html)
        assert len(order) == len(set(order))


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_changes_while_nothing_does(view):
    before, after = (pages.fragments(view, sheet(view), NOW) for _ in range(2))
    assert before == after


def test_a_change_of_one_patient_changes_its_tile_alone():
    before = pages.fragments("ward", sheet("ward"), NOW)
    pid = sheet("ward").tiles[3].who.patient_id
    newest = replace(ward().newest[pid], received_time=NOW)
    known = replace(ward(), newest={**ward().newest, pid: newest})
    after = pages.fragments("ward", sheet("ward", known=known), NOW)
    assert {n for n in after.html if after.html[n] != before.html[n]} == {f"tile-{pid}"}


@pytest.mark.parametrize("view", VIEWS)
def test_every_value_gives_way_when_the_page_is_blind(view):
    """Numbers stand inside of `.values` alone: that is what is hidden."""

    class Watch(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in VOID:
                self.open.append((tag, dict(attrs).get("class") or ""))
            if tag == "data":
                assert any("values" in name.split() for _, name in self.open), self.getpos()

        def handle_endtag(self, tag):
            if tag not in VOID:
                self.open.pop()

    html = page(view)
    Watch().feed(html)
    assert html.count('class="gone"') >= html.count('class="panel')
    assert '<html lang="en" data-feed="waiting">' in html  # nothing is shown before the first beat


def test_numbers_are_those_of_the_record():
    made = sheet("patient")
    html = page("patient")
    values = {float(v) for v in re.findall(r'<data value="([^"]+)"', html)}
    for lesion in made.now.lesions:
        assert {lesion.diameter_mm, lesion.uncertainty_mm, lesion.probability} <= values
    assert {made.tile.probability, made.tile.sum_mm, made.tile.change_percent} <= values


def test_slices_of_the_viewer_are_those_of_the_sheet():
    made = sheet("patient").now
    html = pages.fragments("patient", sheet("patient"), NOW).html["series-now"]
    data = json.loads(re.search(r"<script[^>]*>(.*?)</script>", html, re.S)[1])
    assert data["uid"] == made.series_instance_uid
    assert data["shown"] == made.shown
    assert [one["finding_id"] for one in data["slices"]] == [str(s.finding_id) for s in made.slices]


HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def hostile():
    """Return a ward in which every text that others may write is an attack."""
    known = ward()
    patients = {}
    for number, patient in enumerate(list(known.patients.values())[:4]):
        whole = json.loads(patient.to_json())
        for kind in ("alarms", "recommendations"):
            for one in whole[kind].values():
                one["text"] = HOSTILE
                one["rule" if "rule" in one else "cause"] = HOSTILE
                for view in one.get("models", ()):
                    view["text"] = view["engine"] = HOSTILE
        for series in whole["series"].values():
            series["assessment"]["clauses"] = [HOSTILE]
            series["assessment"]["quality"] = [HOSTILE]
            for lesion in series["assessment"]["lesions"]:
                lesion["label"] = HOSTILE
        for given in whole["therapies"]:
            given["therapy"]["plan"] = given["actor"] = HOSTILE
        whole["PatientID"] = f"{HOSTILE}{number}"
        patients[whole["PatientID"]] = Patient.model_validate(whole)
    history = tuple(
        replace(said, alert=said.alert.model_copy(update={"text": HOSTILE, "phase": HOSTILE}))
        for said in known.history
    )
    letters = tuple(replace(x, reason=HOSTILE, detail=HOSTILE) for x in known.flow.letters)
    return replace(
        known,
        patients=patients,
        called={pid: Called(HOSTILE, HOSTILE) for pid in patients},
        history=history,
        names_from=HOSTILE,
        flow=replace(known.flow, letters=letters, not_scored={HOSTILE: 1}),
    )


@pytest.mark.parametrize("view", VIEWS)
def test_what_stands_in_a_record_is_text(view):
    html = page(view, Person(HOSTILE, "clinician"), known=hostile())
    found = Elements(html)
    assert "onerror=alert(1)>" in found.text
    assert "<img src=x" not in html
    assert not [attrs for tag, attrs in found.found if tag == "img" and attrs.get("src")]


def test_who_logs_in_is_told_what_is_wrong_and_goes_where_they_wanted():
    found = Elements(pages.login(HOSTILE, "/patients/x?a=1&b=2"))
    fields = {attrs.get("name"): attrs for tag, attrs in found.found if tag == "input"}
    assert set(fields) == {"name", "password", "next"}
    assert fields["next"]["value"] == "/patients/x?a=1&b=2"
    assert HOSTILE in found.text


def test_what_models_say_stands_beside_the_rule():
    known = ward()
    patient = next(p for p in known.patients.values() if any(heard(p)))
    one = heard(patient)[0].models[0]
    assert one.text in Elements(page("patient", known=only(known, patient))).text
    for shown in ({"agrees": False}, {"agrees": True}, {"simulated": True}):
        view = one.model_copy(update={"agrees": None, "simulated": False} | shown)
        advice = {i: r.model_copy(update={"models": (view,)}) for i, r in _advice(patient)}
        changed = patient.model_copy(update={"recommendations": advice})
        text = Elements(page("patient", known=only(known, changed))).text
        assert ("SIMULATED" in text) is bool(view.simulated)
        assert ("disagrees" in text) is (view.agrees is False)
        assert (" agrees" in text) is (view.agrees is True)


def _advice(patient):
    return patient.recommendations.items()


def heard(patient):
    return [r for _, r in _advice(patient) if r.models and not r.withdrawn]


def only(known, patient):
    return replace(known, patients={patient.patient_id: patient})


def test_the_demo_is_called_one():
    assert "DEMO" in page("ward", demo=True)
    assert "DEMO" not in page("ward")
    assert "/logout" in page("ward")


def test_who_may_not_act_is_offered_nothing():
    for view in ("alarms", "patient"):
        assert "data-act" not in page(view, Person("v", "viewer"))
        assert "data-act" in page(view, NURSE)
    assert 'data-act="sign-off"' not in page("patient", NURSE)
    assert 'data-act="sign-off"' in page("patient", CLINICIAN)


@pytest.mark.parametrize("view", ["ward", "alarms", "system"])
def test_an_empty_ward_is_a_page_too(view):
    found = Elements(page(view, known=Known()))
    assert "not heard" in found.text  # no watchdog
    if view == "ward":
        assert "No patient is known yet." in found.text
        assert "Still reading what happened" in found.text


def test_a_patient_without_a_series_is_a_page_too():
    known = Known(patients={"p-x": Patient(patient_id="p-x")})
    text = Elements(page("patient", known=known)).text
    assert "no comparison yet" in text
    assert "No recommendation yet." in text


def test_signals_have_shape_and_words_beside_colour():
    shown = {t.priority: t for t in sheet("ward").tiles}
    marks = set()
    for priority in ("high", "low"):
        html = pages.fragments("ward", sheet("ward"), NOW).html[
            f"tile-{shown[priority].who.patient_id}"
        ]
        assert f"<b>{priority.upper()}</b>" in html
        marks.add(re.search(r'<svg class="sign".*?</svg>', html, re.S)[0])
    assert len(marks) == 2


def test_pauses_are_told_to_the_page():
    bar = pages.fragments("alarms", sheet("alarms"), NOW).html["bar"]
    attrs = Elements(bar).found[0][1]
    assert attrs["data-loud"] == "high"
    paused = json.loads(attrs["data-paused"])
    assert {priority for _, priority in paused} == {"high", "low"}
    assert all(until > NOW.isoformat() for until, _ in paused)
