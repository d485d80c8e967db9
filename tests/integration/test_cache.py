"""The cache on a real Redis: compare-and-set, damage, wrong types, absence."""

import asyncio
import secrets

import pytest
from redis import Redis
from support.folding import THRESHOLD
from support.records import finding

from stream.cache import Cache, cache_key
from stream.fold import fold_finding
from wire.cache_server import CacheServer
from wire.patient import Patient, Version


@pytest.fixture
def redis(servers):
    with Redis.from_url(servers.redis, protocol=2) as client:
        yield client


@pytest.fixture
def prefix():
    return f"t{secrets.token_hex(4)}-"


def patient(results, actions=-1, *, log="L", name="p-1"):
    version = Version(log=log, results=results, actions=actions)
    return Patient(patient_id=name, version=version, generation=results)


def run(servers, prefix, *calls):
    """Call methods of one cache in order; return their answers."""

    async def all_of_it():
        cache = Cache(CacheServer(servers.redis), prefix=prefix)
        try:
            return [await getattr(cache, name)(patients) for name, patients in calls]
        finally:
            await cache.close()

    return asyncio.run(all_of_it())


def stored(redis, prefix, name="p-1"):
    state = redis.hget(cache_key(prefix, name), "state")
    return None if state is None else Patient.model_validate_json(state)


def test_a_state_comes_back_whole(servers, redis, prefix):
    state, _ = fold_finding(patient(-1), finding(0.7), 5, THRESHOLD)
    run(servers, prefix, ("write", [state]))
    assert stored(redis, prefix) == state


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (patient(5), patient(6), 6),
        (patient(6), patient(5), 6),
        (patient(5, 2), patient(5, 1), 5),
        (patient(900, log="old"), patient(3), 3),
        (patient(10, 1), patient(9, 2), 9),
    ],
    ids=["newer", "a zombie's", "older action", "topics made anew", "neither covers the other"],
)
def test_compare_and_set(servers, redis, prefix, first, second, kept):
    run(servers, prefix, ("write", [first]), ("write", [second]))
    assert stored(redis, prefix).version.results == kept


def test_sync_writes_only_what_is_missing_damaged_or_behind(servers, redis, prefix):
    patients = [patient(5, name=f"p-{n}") for n in range(450)]
    assert run(servers, prefix, ("sync", patients), ("sync", patients)) == [450, 0]
    redis.delete(cache_key(prefix, "p-1"))
    redis.set(cache_key(prefix, "p-1"), "a string")
    redis.hset(cache_key(prefix, "p-2"), "state", "{}")
    redis.hset(cache_key(prefix, "p-3"), "results", "4")
    redis.hset(cache_key(prefix, "p-4"), "results", "6")
    redis.delete(cache_key(prefix, "p-5"))
    redis.hset(cache_key(prefix, "p-6"), "results", "many")
    redis.hdel(cache_key(prefix, "p-7"), "actions")
    assert run(servers, prefix, ("sync", patients)) == [6]
    assert all(stored(redis, prefix, f"p-{n}") == patients[n] for n in range(450))


def test_redis_away_is_reported_and_ends_nothing(prefix):
    class Away:
        redis = "redis://127.0.0.1:9/0"

    assert run(Away, prefix, ("write", [patient(1)]), ("sync", [patient(1)])) == [None, 0]
