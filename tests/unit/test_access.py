"""Who is let in, as whom, for how long; and what somebody may do."""

import asyncio
import ipaddress
import shutil
import stat
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from support.kafka_records import alert
from support.records import START

from monitor.access import SESSION_S, TRIES, TRIES_S, Access, Person, Proxy, TooManyTries
from monitor.acting import Refused, Views, Wish, granted
from monitor.gate import COOKIE, HEADERS, Gate, local_path
from monitor.known import Known
from monitor.users import Users, UsersFileError
from wire.patient import AlarmState, Patient, RecommendationState

KEY = b"k" * 32
PASSWORD = "correct horse"  # noqa: S105


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def hashed(tmp_path_factory):
    """A hash takes a third of a second, and is meant to: made once."""
    path = tmp_path_factory.mktemp("hashed") / "users.toml"
    Users(path).add("ann", "nurse", PASSWORD)
    return path


@pytest.fixture
def users(tmp_path, hashed):
    return Users(Path(shutil.copy(hashed, tmp_path)))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def access(users, clock):
    return Access(users, KEY, clock=clock)


def who(access, *, cookie=None, peer="10.0.0.9", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return access.person(Headers(named), cookie, peer)


def test_a_session_says_who_it_is(access):
    session = access.log_in("ann", PASSWORD, "10.0.0.9")
    assert who(access, cookie=session) == Person("ann", "nurse")
    assert who(access, cookie=session + "x") is None
    assert who(access, cookie="") is None
    assert who(access) is None


def test_a_session_survives_a_restart_and_not_another_key(access, users, clock):
    session = access.log_in("ann", PASSWORD, None)
    assert who(Access(users, KEY, clock=clock), cookie=session) == Person("ann", "nurse")
    assert who(Access(users, b"x" * 32, clock=clock), cookie=session) is None


def test_a_session_ends_after_twelve_hours(access, clock):
    session = access.log_in("ann", PASSWORD, None)
    clock.now += SESSION_S - 10
    assert who(access, cookie=session)
    clock.now += 20
    assert who(access, cookie=session) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.remove("ann"),
        lambda users: users.add("ann", "clinician", PASSWORD),
        lambda users: users.add("ann", "nurse", "another password"),
    ],
    ids=["taken out", "another role", "another password"],
)
def test_a_session_ends_when_the_person_is_another(access, users, change):
    session = access.log_in("ann", PASSWORD, None)
    change(Users(users._path))  # by another process, as `lesionstream users`
    assert who(access, cookie=session) is None


def test_wrong_passwords_are_not_looked_at_for_ever(access, clock):
    for _ in range(TRIES):
        assert access.log_in("ann", "wrong", "10.0.0.9") is None
    with pytest.raises(TooManyTries):
        access.log_in("ann", PASSWORD, "10.0.0.9")
    assert access.log_in("ann", PASSWORD, "10.0.0.8")  # she herself, elsewhere
    clock.now += TRIES_S + 1
    assert access.log_in("ann", PASSWORD, "10.0.0.9")
    assert access.log_in("nobody", PASSWORD, "10.0.0.9") is None


def test_a_program_comes_by_token(access, users):
    token = users.add_token("wall", "viewer")
    assert who(access, authorization=f"Bearer {token}") == Person("wall", "viewer")
    assert who(access, authorization=f"Bearer {token}x") is None
    assert who(access, authorization="Bearer ") is None
    assert token not in users._path.read_text()
    users.remove("wall")
    assert who(access, authorization=f"Bearer {token}") is None


def test_a_proxy_is_believed_from_its_own_address_alone(users):
    proxy = Proxy((ipaddress.ip_network("10.1.0.0/16"),))
    access = Access(users, KEY, proxy=proxy)
    said = {"x_forwarded_user": "bob", "x_forwarded_role": "clinician"}
    assert who(access, peer="10.1.2.3", **said) == Person("bob", "clinician")
    assert who(access, peer="10.2.2.3", **said) is None
    assert who(access, peer="10.1.2.3", **said | {"x_forwarded_role": "root"}) is None
    assert who(access, peer="10.1.2.3", **said | {"x_forwarded_user": "a\tb"}) is None
    assert who(access, peer=None, **said) is None


def test_the_file_is_its_owners_alone(users, access):
    path = users._path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(UsersFileError, match="chmod 600"):
        Users(path).people()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[users", "users.toml"),
        ('[users.ann]\nrole = "king"\npassword = "x"', "role"),
        ('[users.ann]\nrole = "nurse"', "password"),
        ('[users."a b"]\nrole = "nurse"\npassword = "x"', "no name"),
        ('[tokens.t]\nrole = "nurse"\nsha256 = 3', "sha256"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, text, problem):
    path = tmp_path / "users.toml"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(UsersFileError, match=problem):
        Users(path).people()


def test_names_are_simple(users):
    with pytest.raises(UsersFileError, match="no name"):
        users.add('x"]\n[users.root', "nurse", PASSWORD)


# The gate --------------------------------------------------------------------------------------


async def inside(scope, receive, send):
    person = scope["state"]["person"]
    await PlainTextResponse(person.name if person else "nobody")(scope, receive, send)


class Asker:
    """Asks a server behind the gate, without a socket."""

    def __init__(self, access, base, cookie):
        self._made = {
            "transport": httpx.ASGITransport(Gate(inside, access), client=("10.0.0.9", 1)),
            "base_url": base,
            "cookies": {} if cookie is None else {COOKIE: cookie},
        }

    def get(self, path, **more):
        return self._ask("GET", path, **more)

    def post(self, path, **more):
        return self._ask("POST", path, **more)

    def _ask(self, method, path, **more):
        async def ask():
            async with httpx.AsyncClient(**self._made) as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())


def client(access, base="http://testserver", cookie=None):
    return Asker(access, base, cookie)


async def in_chunks():
    yield b"x"


@pytest.mark.parametrize("path", ["/", "/patients/p-1", "/nothing", "/system", "/loginx"])
def test_a_page_leads_who_is_nobody_to_the_login(access, path):
    answer = client(access).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}"


@pytest.mark.parametrize("path", ["/api/patients", "/api/alerts/stream", "/openapi.json"])
def test_an_answer_without_a_token_is_none(access, path):
    answer = client(access).get(path)
    assert answer.status_code == 401
    assert answer.text == "who are you?\n"


@pytest.mark.parametrize("path", ["/login", "/live", "/static/page.js"])
def test_what_everybody_may_see(access, path):
    answer = client(access).get(path)
    assert (answer.status_code, answer.text) == (200, "nobody")


def test_every_answer_is_guarded(access):
    for path in ("/", "/api/patients", "/login"):
        answer = client(access).get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_nothing_is_changed_from_elsewhere(access):
    asker = client(access, cookie=access.log_in("ann", PASSWORD, None))
    for headers, status in [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, 403),
        ({"Origin": "http://testserver"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ]:
        assert asker.post("/api/actions", headers=headers, json={}).status_code == status, headers


def test_a_program_needs_no_origin_and_no_page(access, users):
    token = users.add_token("wall", "viewer")
    asker = client(access)
    headers = {"Authorization": f"Bearer {token}"}
    assert asker.post("/api/actions", headers=headers, json={}).text == "wall"
    assert asker.post("/api/actions", headers=headers, content=b"x" * 70_000).status_code == 413
    chunks = asker.post("/api/actions", headers=headers, content=in_chunks())
    assert chunks.status_code == 411


def test_the_demo_is_for_this_machine(users):
    access = Access(users, KEY, demo=True)
    assert client(access, "http://localhost:8080").get("/").text == "demo"
    assert client(access, "http://127.0.0.1").get("/").text == "demo"
    assert client(access, "http://rebound.example").get("/").status_code == 421
    answer = client(access, "http://localhost").post("/api/actions", json={})
    assert answer.status_code == 403


def test_who_cannot_be_checked_is_not_let_in(access, users):
    users._path.chmod(0o644)
    assert client(access).get("/", headers={"Authorization": "Bearer x"}).status_code == 503


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/patients/p-1", "/patients/p-1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_the_login_leads_nowhere_else(asked, path):
    assert local_path(asked) == path


# What somebody may do --------------------------------------------------------------------------

CLINICAL, TECHNICAL, ADVICE, BLIND = uuid4(), uuid4(), uuid4(), alert(1)


def alarm(category):
    return AlarmState(
        about="1.2",
        category=category,
        series_instance_uid="1.2",
        priority="high",
        cause="lesion",
        text="a lesion",
        state="active",
        inactivation="none",
        since=START,
        evidence=(),
    )


KNOWN = Known(
    patients={
        "p-1": Patient(
            patient_id="p-1",
            alarms={CLINICAL: alarm("clinical"), TECHNICAL: alarm("technical")},
            recommendations={
                ADVICE: RecommendationState(
                    series_instance_uid="1.2",
                    about="1.2",
                    rule="x",
                    action="intensify",
                    text="consider",
                    rationale="because",
                    evidence=(),
                    lesion_probability=0.9,
                    sign_off="needs-sign-off",
                )
            },
        )
    },
    technical={BLIND.alarm_id: BLIND},
)


def outcome(role, action, about, patient_id="p-1", **more):
    wish = Wish(action=action, patient_id=patient_id, about=about, **more)
    try:
        found = granted(wish, Person("ann", role), KNOWN, START)
    except Refused as refused:
        return refused.status
    assert (found.actor, found.about, found.patient_id) == ("ann", about, patient_id)
    return "done"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", ""),
        ("nurse", "acknowledge silence blind"),
        ("clinician", "acknowledge silence blind sign-off reject"),
        ("operator", "technical blind"),
    ],
)
def test_roles(role, may):
    wishes = {
        "acknowledge": ("acknowledge", CLINICAL, "p-1"),
        "silence": ("silence", CLINICAL, "p-1"),
        "sign-off": ("sign-off", ADVICE, "p-1"),
        "reject": ("reject", ADVICE, "p-1"),
        "blind": ("acknowledge", BLIND.alarm_id, None),
    }
    for name, (action, about, patient_id) in wishes.items():
        expected = "done" if name in may.split() else 403
        assert outcome(role, action, about, patient_id, reason="so") == expected, name
    if role == "operator":
        assert outcome(role, "acknowledge", TECHNICAL) == "done"


def test_what_is_not_known_is_not_written():
    assert outcome("clinician", "acknowledge", uuid4()) == 404
    assert outcome("clinician", "acknowledge", ADVICE) == 404
    assert outcome("clinician", "acknowledge", BLIND.alarm_id) == 404
    assert outcome("clinician", "acknowledge", CLINICAL, None) == 404
    assert outcome("clinician", "sign-off", CLINICAL) == 404
    assert outcome("clinician", "acknowledge", CLINICAL, "p-2") == 404
    assert outcome("clinician", "acknowledge", None) == 404
    assert outcome("clinician", "reject", ADVICE) == 422
    assert outcome("clinician", "sign-off", ADVICE, None) == 422
    assert outcome("clinician", "silence", CLINICAL, until=START) == 422


def test_looks_at_a_patient_are_told_apart():
    clock = Clock()
    views, ann = Views(clock), Person("ann", "nurse")
    assert views.is_new(ann, "p-1", page=True)
    assert not views.is_new(ann, "p-1", page=False)
    assert views.is_new(ann, "p-2", page=False)
    assert views.is_new(ann, "p-1", page=True)
    clock.now += 301
    assert views.is_new(ann, "p-1", page=False)
