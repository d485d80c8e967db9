"""Cells in which Kafka, Redis, the network or a disk fails."""

import signal
import time

from redis import Redis
from support.bench import Bench
from support.small_disk import small_disk
from support.stack import eventually
from support.tcp_proxy import Proxy

import local
from benchmarks import brokers
from local.broker import Broker
from local.cache import Cache
from stream.cache import cache_key

AWAY_S = 60.0
FULL_S = 20.0


def redis(bench: Bench) -> None:
    """Redis emptied, given a key of a wrong type, killed: alarms go on, then it is made whole."""
    home = bench.own(kafka=False)
    cell = bench.cell(redis=local.status(home).redis)
    cell.open("scoring", "patients", "watchdog")
    cell.replay(40)
    cell.at_work("patients")
    with Redis.from_url(cell.stack.redis, protocol=2) as client:
        client.flushall()
        cell.at_work("patients")
        name = next(iter(cell.expected.states))
        key = cache_key(cell.stack.names.prefix, name)
        client.pipeline().delete(key).lpush(key, "a list").execute()
    cell.at_work("patients")
    running = Cache(home.resolve()).find()
    assert running is not None
    running.signal(signal.SIGKILL)
    killed = time.time()
    cell.recovered("patients", killed)  # alarms do not wait for a cache
    eventually(lambda: cell.technical("cache-away"), within_s=20, what="cache-away is heard")
    local.up(home, kafka=False)
    cell.check()
    eventually(
        lambda: cell.technical("cache-away")[-1] == "end", within_s=30, what="the alarm is over"
    )


def broker_away(bench: Bench) -> None:
    """The broker is killed, and comes back after a minute; devices go on sending."""
    home = bench.own(redis=False)
    cell = bench.cell(local.status(home).kafka)
    cell.listen()
    cell.open("scoring", "patients", "watchdog")
    cell.send(75)
    cell.at_work("scoring")
    _kill_broker(home)
    time.sleep(AWAY_S)
    back = time.time()
    local.up(home, redis=False)
    cell.recovered("scoring", back)
    cell.check()
    eventually(
        lambda: cell.technical("broker-away")[-1:] == ["end"],
        within_s=60,
        what="the bedside is told that the broker was away",
    )


def one_broker_of_three(bench: Bench) -> None:
    """Three brokers, three replicas, two must confirm: one after the other is killed."""
    three = brokers.Three(bench.folder / "three")
    bench.ends.callback(three.close)
    cell = bench.cell(three.bootstrap)
    cell.open("scoring", "patients")
    cell.replay(50)
    order = cell.random.sample(three.nodes, 2)
    for node in order:
        cell.at_work("scoring")
        running = node.find()
        assert running is not None
        running.signal(signal.SIGKILL)
        killed = time.time()
        cell.recovered("scoring", killed)
        node.begin()
        node.wait()
    cell.check()


def network(bench: Bench) -> None:
    """The network between all processes and their servers is slow, goes silent, and is cut."""
    to_kafka, to_redis = Proxy(), Proxy()
    bench.ends.callback(to_kafka.close)
    bench.ends.callback(to_redis.close)
    node = brokers.behind(to_kafka.port, bench.folder / "node")
    bench.ends.callback(_end, node)
    to_kafka.target = node.ports["client"]
    to_redis.target = int(str(bench.servers.redis).rpartition(":")[2].partition("/")[0])
    cell = bench.cell(
        node.address(node.ports["direct"]),
        f"redis://127.0.0.1:{to_redis.port}/0",
        reached_at=f"127.0.0.1:{to_kafka.port}",
    )
    cell.open("scoring", "patients")
    cell.replay(50)
    cell.at_work("scoring")
    for proxy in (to_kafka, to_redis):
        proxy.delay_s, proxy.bytes_per_s = 0.03, 1 << 20
    cell.recovered("scoring", time.time())
    for fault in (Proxy.silence, Proxy.cut):
        for proxy in (to_kafka, to_redis):
            fault(proxy)
        time.sleep(cell.random.uniform(7, 12))
        healed = time.time()
        for proxy in (to_kafka, to_redis):
            proxy.heal()
        cell.recovered("scoring", healed)
    cell.check()


def broker_disk_full(bench: Bench) -> None:
    """The broker's disk is full: it ends; devices go on sending to the listener's own disk."""
    servers = bench.folder / "servers"
    disk = bench.ends.enter_context(small_disk(servers / "kafka", 256 << 20))
    home = bench.own(redis=False)
    cell = bench.cell(local.status(home).kafka)
    cell.listen()
    cell.open("scoring", "patients")
    cell.send(45)
    cell.at_work("scoring")
    disk.fill()
    eventually(lambda: Broker(home.resolve()).find() is None, within_s=60, what="the broker ends")
    time.sleep(cell.random.uniform(3, 8))
    disk.make_room()
    back = time.time()
    local.up(home, redis=False)
    cell.recovered("scoring", back)
    cell.check()


def spool_disk_full(bench: Bench) -> None:
    """The broker is away, and then the listener's disk is full: devices keep what they have."""
    disk = bench.ends.enter_context(small_disk(bench.folder / "home", 96 << 20))
    home = bench.own(redis=False)
    cell = bench.cell(local.status(home).kafka)
    listening = cell.listen()
    cell.open("scoring", "patients")
    ward = cell.send(40)
    cell.at_work("scoring")
    _kill_broker(home)
    disk.fill()
    eventually(
        lambda: all(device.failed for device in ward.devices),
        within_s=90,
        what="every device was told that there is no room",
    )
    assert listening.poll() is None
    disk.make_room()
    back = time.time()
    local.up(home, redis=False)
    cell.recovered("listen", back)
    cell.check()


def _kill_broker(home) -> None:
    running = Broker(home.resolve()).find()
    assert running is not None
    running.signal(signal.SIGKILL)
    eventually(lambda: not running.alive(), within_s=20, what="the broker is gone")


def _end(node: brokers.Node) -> None:
    node.down(lambda _: None)
