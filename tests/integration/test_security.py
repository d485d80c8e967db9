"""A Kafka and a Redis that let in whom they know, and each process as its own user there."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
)
from redis import Redis
from support import quick_engine
from support.certificates import Authority
from support.guarded import ADMIN, GuardedKafka, GuardedRedis
from support.phantoms import write_series
from support.stack import eventually

import local
from stream.cache import Cache, cache_key
from wire import topic_admin
from wire.cache_server import CacheServer
from wire.cluster import BrokerRefused, BrokerUnavailable, Cluster, Login
from wire.envelope import Envelope
from wire.patient import Patient
from wire.reading import read
from wire.records import Finding, Heartbeat
from wire.rights import (
    DECIDING,
    MODELS,
    MONITOR,
    OPERATOR,
    PRODUCER,
    ROLES,
    SCORING,
    WATCHDOG,
    redis_users,
    rights,
)
from wire.topics import ALERTS, FRAMES, RESULTS, Names

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]

NAMES = Names("guarded-")
CANARY = "Canary-77"
"""The PatientID: it must stand nowhere."""


def password_of(user: str) -> str:
    return f"secret-of-{user}"


@dataclass
class Site:
    """Two servers that let in whom they know, and processes of different users."""

    folder: Path
    kafka: str
    redis: str
    ca: Path
    unguarded: str
    """Of the same broker, inside: without TLS."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def cluster(self, user: str, password: str | None = None) -> Cluster:
        return Cluster((self.kafka,), True, self.ca, Login(user, password or password_of(user)))

    def environment(self, role, **changes: str) -> dict[str, str]:
        """Return the environment of a process: its passwords stand in a file of its own."""
        file = self.folder / f"{role.user}.password"
        file.write_text(password_of(role.user) + "\n")
        file.chmod(0o600)
        told = {
            "KAFKA": self.kafka,
            "KAFKA_SECURITY": "SASL_SSL",
            "KAFKA_USER": role.user,
            "KAFKA_PASSWORD_FILE": str(file),
            "KAFKA_CA": str(self.ca),
            "REDIS": self.redis,
            "REDIS_USER": role.user,
            "REDIS_PASSWORD_FILE": str(file),
            "REDIS_CA": str(self.ca),
            "HOME": str(self.folder / "home"),
            "TOPIC_PREFIX": NAMES.prefix,
            "POLICY": "threshold",
        }
        told |= changes
        return os.environ | {f"LESIONSTREAM_{name}": value for name, value in told.items()}

    def command(self, role, *words: object, **changes: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "lesionstream", *map(str, words)],
            env=self.environment(role, **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, role, *words: object, **changes: str) -> Path:
        """Start a process; return its log."""
        log = self.folder / f"{len(self.processes)}-{role.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lesionstream", *map(str, words)],
                env=self.environment(role, **changes),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        return log

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def records(self, topic, kind):
        found = read(self.cluster(OPERATOR.user), NAMES.of(topic))
        return [
            kind.model_validate_json(record.value)
            for record in found
            if Envelope.of(record.headers).kind == kind.kind
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder, "ca")
    users = [ADMIN, *(role.user for role in ROLES)]
    kafka = GuardedKafka(folder, authority, {user: password_of(user) for user in users})
    lines = [line.removeprefix("ACL SETUSER ") for line in redis_users(ROLES, NAMES)]
    acl = [f"user {line} >{password_of(line.split()[0])}" for line in lines]
    redis = GuardedRedis(
        folder, authority, [*acl, f"user {ADMIN} on ~* +@all >{password_of(ADMIN)}"]
    )
    try:
        found = Site(folder, kafka.up(print), redis.up(print), authority.file, kafka.inside)
        grant(found)
        quick_engine.add_to(folder / "home")
        topic_admin.create(found.cluster(OPERATOR.user), NAMES)
        yield found
    except local.LocalError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no local Kafka and Redis: {error}")
    finally:
        kafka.down(print)
        redis.down(print)


@pytest.fixture(autouse=True)
def _ended(site):
    yield
    site.stop()


def grant(site):
    """Give each user what the table says."""
    admin = KafkaAdminClient(**site.cluster(ADMIN).client())
    admin.create_acls(
        [
            ACL(
                principal=f"User:{role.user}",
                host="*",
                operation=ACLOperation[right.code],
                permission_type=ACLPermissionType.ALLOW,
                resource_pattern=ResourcePattern(ResourceType[right.kind.upper()], right.name),
            )
            for role in ROLES
            for right in rights(role, NAMES)
        ]
    )
    admin.close()


def test_a_frame_goes_all_the_way_with_the_rights_of_the_table(site, tmp_path):
    logs = [
        site.start(SCORING, "worker", "scoring"),
        site.start(DECIDING, "worker", "patients"),
        site.start(MODELS, "worker", "models"),
        site.start(WATCHDOG, "watchdog"),
        site.start(MONITOR, "monitor", "--demo", "--port", "0"),
    ]
    write_series(tmp_path / "in", CANARY, slices=8, seed=1)
    code, said = site.command(PRODUCER, "replay", tmp_path / "in")
    assert code == 0, said
    eventually(lambda: len(site.records(RESULTS, Finding)) >= 8, within_s=60, what="findings")
    kept = cache_key(NAMES.prefix, "*")
    with Redis.from_url(
        site.redis, username=ADMIN, password=password_of(ADMIN), ssl_ca_certs=str(site.ca)
    ) as redis:
        eventually(lambda: list(redis.scan_iter(kept)), within_s=30, what="a state in Redis")
    eventually(
        lambda: [beat for beat in site.records(ALERTS, Heartbeat) if beat.cache == "ok"],
        within_s=30,
        what="a heartbeat that sees the cache",
    )
    pages = eventually(lambda: surfaces(site, len(logs)), within_s=60, what="all are ready")
    assert len(pages) == len(logs)
    told = [log.read_text() for log in logs] + [*pages.values(), said]
    for text in told:
        assert "secret" not in text
        assert CANARY not in text
        assert "refused" not in text


def test_who_lacks_a_right_is_told_which(site):
    def denied():
        found = topic_admin.lacking(site.cluster(SCORING.user), NAMES, DECIDING)
        assert isinstance(found, BrokerRefused)
        return str(found) if "Read group guarded-lesionstream-patients" in str(found) else ""

    found = eventually(denied, within_s=20, what="the broker has groups, and tells of them")
    for words in (SCORING.user, "Read topic guarded-patients", "Write topic guarded-alerts"):
        assert words in found
    assert "Write topic guarded-results" not in found  # it has this one


@pytest.mark.parametrize("role", ROLES, ids=lambda role: str(role.name))
def test_no_role_lacks_anything(site, role):
    assert topic_admin.lacking(site.cluster(role.user), NAMES, role) is None


def test_what_the_table_does_not_give_is_refused(site):
    with pytest.raises(BrokerRefused, match=r"has no right to read guarded-frames"):
        next(read(site.cluster(WATCHDOG.user), NAMES.of(FRAMES), follow=True))
    with pytest.raises(BrokerRefused, match=r"lesionstream-producer has no right to make topics"):
        topic_admin.create(site.cluster(PRODUCER.user), Names("other-"))


def _wrong_password(site):
    return site.cluster(
        SCORING.user, "not-secret"
    ), "authentication failed for lesionstream-scoring"


def _wrong_mechanism(site):
    found = site.cluster(SCORING.user)
    assert found.login is not None
    return replace(found, login=replace(found.login, mechanism="PLAIN")), "it takes no PLAIN"


def _other_authority(site):
    other = Authority(site.folder, "other")
    return replace(site.cluster(SCORING.user), ca=other.file), "is not to be trusted"


def _no_tls(site):
    return Cluster.plain(site.kafka), "perhaps it wants TLS or a login"


def _tls_where_none_is_spoken(site):
    return replace(site.cluster(SCORING.user), servers=(site.unguarded,)), "it speaks no TLS"


def _nobody_there(site):
    return Cluster.plain("127.0.0.1:1"), "no broker answers"


@pytest.mark.parametrize(
    "case",
    [
        _wrong_password,
        _wrong_mechanism,
        _other_authority,
        _no_tls,
        _nobody_there,
        _tls_where_none_is_spoken,
    ],
)
def test_who_is_not_let_in_is_told_why(site, monkeypatch, case):
    monkeypatch.setattr(topic_admin, "FIRST_CONTACT_MS", 500)  # where nobody is
    cluster, words = case(site)
    with pytest.raises(BrokerUnavailable, match=words) as refused:
        topic_admin.describe(cluster, NAMES)
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(cluster)


def test_a_worker_with_a_wrong_password_says_so_and_waits(site):
    log = site.start(DECIDING, "worker", "patients", KAFKA_USER=SCORING.user)
    eventually(lambda: "authentication failed" in log.read_text(), within_s=60, what="it says so")
    said = log.read_text()
    assert "docs/operations.md, Access" in said
    assert "secret" not in said
    assert site.processes[-1].poll() is None


def test_doctor_says_what_is_wrong_with_both_passwords(site):
    code, said = site.command(OPERATOR, "doctor", KAFKA_USER=SCORING.user, REDIS_USER="nobody")
    assert code == 1
    assert f"refused: authentication failed for {SCORING.user}" in said
    assert "refused: authentication failed for nobody" in said
    assert "LESIONSTREAM_REDIS_USER" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        (DECIDING.user, "not-secret", "authentication failed"),
        (OPERATOR.user, password_of(OPERATOR.user), "has no right"),
    ],
)
def test_a_cache_that_refuses_ends_no_worker_and_says_why(site, capsys, user, password, words):
    async def sync():
        server = CacheServer(site.redis, user, password, site.ca)
        cache = Cache(server, prefix=NAMES.prefix)
        try:
            return await cache.sync([Patient.new("p-1", "log")])
        finally:
            await cache.close()

    assert asyncio.run(sync()) == 0
    said = capsys.readouterr().out
    assert words in said
    assert "LESIONSTREAM_REDIS_USER" in said
    assert "secret" not in said
    assert "p-1" not in said


def surfaces(site, count):
    """Return what /metrics and /ready of each process say; {} until all are ready."""
    found = {}
    for file in (site.folder / "home/run").glob("*"):
        address = json.loads(file.read_text())[0]["targets"][0]
        with contextlib.suppress(OSError):
            for path in ("ready", "metrics"):
                with urllib.request.urlopen(f"http://{address}/{path}", timeout=2) as answer:
                    found[file.name] = found.get(file.name, "") + answer.read().decode()
    return found if len(found) >= count else {}
