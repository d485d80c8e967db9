"""The cache: each patient's state in Redis, for those who look. Never the truth, never read back.

Written by compare-and-set on the version. A state that is absent, damaged, of another log or
behind is written; one that is further is left alone. A failed write is reported and healed by the
next `sync`; it never ends the worker.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from itertools import islice

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream import metrics
from wire.cache_server import REMEDY, CacheServer, is_refusal, why
from wire.patient import Patient

log = structlog.get_logger(__name__)

TIMEOUT_S = 1.0
PAUSE_S = 5.0
"""After a failure Redis is left alone this long: alarms do not wait for a cache."""

PIPELINE = 200
"""Patients in one round trip."""

FINE, NEEDED = 0, 2

# KEYS[1]: the patient; ARGV: log, results, actions, ticks, sha1 of the state, the state ("": only
# ask).
_COMPARE_AND_SET = """
local kind = redis.call('TYPE', KEYS[1]).ok
local there = {}
if kind == 'hash' then
  there = redis.call('HMGET', KEYS[1], 'log', 'results', 'actions', 'ticks', 'sha1', 'state')
end
if there[6] and there[5] == redis.sha1hex(there[6]) and there[1] == ARGV[1] then
  local results, actions = tonumber(there[2] or '') or -2, tonumber(there[3] or '') or -2
  local same = results == tonumber(ARGV[2]) and actions == tonumber(ARGV[3])
  if results >= tonumber(ARGV[2]) and actions >= tonumber(ARGV[3])
     and (not same or (tonumber(there[4] or '') or -2) >= tonumber(ARGV[4])) then
    return 0
  end
end
if ARGV[6] == '' then return 2 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'log', ARGV[1], 'results', ARGV[2], 'actions', ARGV[3],
           'ticks', ARGV[4], 'sha1', ARGV[5], 'state', ARGV[6])
return 1
"""


WAITS = "none needed: it is made whole once Redis answers again"


def cache_key(prefix: str, patient_id: str) -> str:
    """Return the Redis key of a patient: a hash of log, results, actions, ticks, sha1 and state."""
    return f"{prefix}lesionstream:patient:{patient_id}"


class Cache:
    """The cache of one worker.

    Parameters
    ----------
    prefix : of the keys, as of the topics.
    """

    def __init__(self, server: CacheServer, *, prefix: str) -> None:
        self._server = server
        self._redis = Redis.from_url(
            **server.client(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._script = self._redis.register_script(_COMPARE_AND_SET)
        self._prefix = prefix
        self._away_until_s = 0.0

    async def write(self, patients: Iterable[Patient]) -> None:
        """Write states that have just changed; what fails is left to `sync`."""
        await self._guarded(list(patients), ask_first=False)

    async def sync(self, patients: Iterable[Patient]) -> int:
        """Make the cache whole again: write what is absent, damaged or behind. Return how many."""
        return await self._guarded(list(patients), ask_first=True)

    async def forget(self, patient_ids: Sequence[str]) -> None:
        """Take patients out; where that fails they stay until they are written again."""
        if not patient_ids or time.monotonic() < self._away_until_s:
            return
        try:
            await self._redis.delete(*(cache_key(self._prefix, name) for name in patient_ids))
        except (RedisError, OSError) as error:
            log.warning("patients stay in the cache", error=why(self._server, error))

    async def close(self) -> None:
        """Release the connections."""
        await self._redis.aclose()

    async def _guarded(self, patients: Sequence[Patient], *, ask_first: bool) -> int:
        if time.monotonic() < self._away_until_s:
            return 0
        written = 0
        try:
            remaining = iter(patients)
            while some := list(islice(remaining, PIPELINE)):
                if ask_first:
                    answers = await self._run(some, with_state=False)
                    some = [p for p, a in zip(some, answers, strict=True) if a == NEEDED]
                if some:
                    answers = await self._run(some, with_state=True)
                    written += sum(answer != FINE for answer in answers)
            metrics.CACHE_UP.set(1)
        except (RedisError, OSError) as error:
            metrics.CACHE_UP.set(0)
            self._away_until_s = time.monotonic() + PAUSE_S
            log.warning(
                "cache not written",
                error=why(self._server, error),
                remedy=REMEDY if is_refusal(error) else WAITS,
            )
        return written

    async def _run(self, patients: Sequence[Patient], *, with_state: bool) -> list[int]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for patient in patients:
                state = patient.to_json() if with_state else b""
                version = patient.version
                sha1 = hashlib.sha1(state, usedforsecurity=False).hexdigest()
                await self._script(
                    keys=[cache_key(self._prefix, patient.patient_id)],
                    args=[
                        version.log,
                        version.results,
                        version.actions,
                        version.ticks,
                        sha1,
                        state,
                    ],
                    client=pipe,
                )
            answers: list[int] = await pipe.execute()
        return answers
