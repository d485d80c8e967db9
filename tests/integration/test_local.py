"""`local` with a real Kafka and a real Redis: started once, found again, killed, stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

import local
from local import ports, process
from local.broker import MESSAGE_MAX_BYTES, Broker
from local.cache import Cache

_CONTRACT = {
    "auto.create.topics.enable": "false",
    "message.max.bytes": "33554432",
    "replica.fetch.max.bytes": "33554432",
    "offsets.topic.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.enable": "true",
}

_MISSING = [name for name in ("java", "mvn", "redis-server") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        bool(_MISSING) and os.environ.get("REQUIRE_SERVICES") != "1",
        reason=f"not installed: {', '.join(_MISSING)} (`make setup` installs them)",
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a state folder whose name has all that upsets shells, Java and Redis."""
    home = tmp_path_factory.mktemp("local") / 'état, of "things"'
    yield home
    local.down(home)
    assert _processes(home) == []


@pytest.fixture(scope="module")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a state folder for what Redis shows as well as Kafka, in a tenth of the time."""
    home = tmp_path_factory.mktemp("cache")
    yield home
    local.down(home)


def _processes(home: Path) -> list[process.Process]:
    found = Broker(home.resolve()).find(), Cache(home.resolve()).find()
    return [running for running in found if running is not None]


def _kill(home: Path) -> None:
    for running in _processes(home):
        running.signal(signal.SIGKILL)
        assert process.until(lambda running=running: not running.alive(), 10)  # type: ignore[misc]


def _create_topic(address: str | None, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()


def _redis(endpoints: local.Endpoints) -> "redis.Redis":
    assert endpoints.redis is not None
    return redis.Redis.from_url(endpoints.redis, decode_responses=True)


def test_nothing_runs_and_nothing_is_made_before_up(tmp_path: Path) -> None:
    home = tmp_path / "never"
    assert local.status(home) == local.Endpoints(kafka=None, redis=None)
    assert local.down(home) == []
    assert not home.exists()


def test_two_at_the_same_time_start_one_and_a_third_finds_it(home: Path) -> None:
    said: list[str] = []
    results: list[local.Endpoints] = []
    callers = [
        threading.Thread(target=lambda: results.append(local.up(home, say=said.append)))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 2
    assert results[0] == results[1] == local.up(home, say=said.append) == local.status(home)
    assert sorted(line.split()[1] for line in said if line.startswith("starting")) == [
        "kafka",
        "redis",
    ]
    assert len(_processes(home)) == 2


def test_a_frame_of_31_mib_survives_a_kill_of_both(home: Path) -> None:
    before = local.up(home)
    address = before.kafka
    frame = os.urandom(31 << 20)
    _create_topic(address, "large")
    producer = KafkaProducer(
        bootstrap_servers=address, acks="all", max_request_size=MESSAGE_MAX_BYTES
    )
    producer.send("large", frame).get(60)
    producer.close()
    with _redis(before) as client:
        client.set("patient", "state")
        # Redis promises all but the last second (appendfsync everysec): wait for its sync.
        assert process.until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, 10)
        time_of_write = time.monotonic()
        assert process.until(lambda: time.monotonic() > time_of_write + 1.5, 5)

    _kill(home)
    assert local.status(home) == local.Endpoints(kafka=None, redis=None)
    after = local.up(home)

    assert after == before
    with _redis(after) as client:
        assert client.get("patient") == "state"
    consumer = KafkaConsumer(
        "large",
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        consumer_timeout_ms=60_000,
    )
    assert next(iter(consumer)).value == frame
    consumer.close()


def test_the_broker_is_told_what_the_contract_asks_for(home: Path) -> None:
    admin = KafkaAdminClient(bootstrap_servers=local.up(home).kafka)
    described = admin.describe_configs(
        [ConfigResource(ConfigResourceType.BROKER, "1")], config_filter="all"
    )
    admin.close()
    settings = described["broker"]["1"]
    assert {name: settings[name]["value"] for name in _CONTRACT} == _CONTRACT


def test_a_port_that_someone_took_is_replaced_and_the_data_stay(home: Path) -> None:
    before = local.up(home)
    _create_topic(before.kafka, "kept")
    local.down(home)
    noted = ports.remembered(home / "kafka" / "ports.json")
    with socket.create_server(("127.0.0.1", noted["client"])):
        after = local.up(home, redis=False)
    assert after.redis is None
    assert after.kafka not in {None, before.kafka}
    admin = KafkaAdminClient(bootstrap_servers=after.kafka)
    assert "kept" in admin.list_topics()
    admin.close()


def test_down_leaves_nothing_and_may_be_repeated(home: Path) -> None:
    local.up(home)
    said: list[str] = []
    assert local.down(home, say=said.append) == ["kafka", "redis"]
    assert not any("killed" in line for line in said)
    assert _processes(home) == []
    assert local.down(home) == []
    assert local.status(home) == local.Endpoints(kafka=None, redis=None)


def test_a_broker_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    with pytest.raises(
        local.LocalError, match=r"(?s)kafka ended.*kafka\.log, ends:\n.*\bnode"
    ) as e:
        local.up(tmp_path, redis=False)
    assert str(tmp_path / "logs" / "kafka.log") in str(e.value)
    assert local.status(tmp_path).kafka is None


def test_only_what_is_asked_for_is_started(cache_home: Path) -> None:
    endpoints = local.up(cache_home, kafka=False)
    assert endpoints.kafka is None
    assert not (cache_home / "kafka").exists()
    with _redis(endpoints) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_up_holds_none_of_its_callers_streams(cache_home: Path) -> None:
    local.down(cache_home)
    script = "import sys, local, pathlib; local.up(pathlib.Path(sys.argv[1]), kafka=False)"
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(cache_home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, errors = caller.communicate(timeout=60)  # ends at the streams' end, not at the caller's
    assert (caller.returncode, out, errors) == (0, "", "")
    (running,) = _processes(cache_home)
    assert os.getsid(running.pid) != os.getsid(0)
    assert _parent(running.pid) != os.getpid()
    streams = {os.readlink(f"/proc/{running.pid}/fd/{number}") for number in (0, 1, 2)}
    assert streams == {"/dev/null", str(cache_home / "logs" / "redis.log")}


def test_a_folder_removed_under_its_server(cache_home: Path) -> None:
    local.up(cache_home, kafka=False)
    (lost,) = _processes(cache_home)
    shutil.rmtree(cache_home)
    assert local.up(cache_home, kafka=False).redis is not None
    assert not lost.alive()
    assert len(_processes(cache_home)) == 1


def test_a_stopped_server_that_does_not_answer_is_killed_and_told(
    cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.up(cache_home, kafka=False)
    (running,) = _processes(cache_home)
    running.signal(signal.SIGSTOP)
    monkeypatch.setattr(Cache, "stop_s", 0.5)
    monkeypatch.setattr(Cache, "start_s", 0.5)
    assert local.status(cache_home).redis is None
    with pytest.raises(local.LocalError, match="does not answer"):
        local.up(cache_home, kafka=False)
    said: list[str] = []
    assert local.down(cache_home, say=said.append) == ["redis"]
    assert any("was killed" in line for line in said)
    assert not running.alive()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
