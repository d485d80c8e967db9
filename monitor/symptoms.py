"""What is wrong at one moment: from what the probes saw to symptoms. Pure.

A cause of `monitor.causes` is there, or is not there, or cannot be known now: then it is left out,
and what was said of it before goes on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from monitor.causes import (
    CATCH_UP_S,
    FEW_MESSAGES,
    LETTERS_S,
    MANY_LETTERS,
    MEASURED_S,
    OLD_S,
    STILL_S,
)
from monitor.known import ProbeState
from wire.groups import GroupState, wanted
from wire.records import EngineCheck
from wire.topics import INPUT, UNASKED

WORKERS = tuple(worker for worker in INPUT if worker not in UNASKED)
"""Those that every stack needs."""

_BLIND = timedelta(seconds=10)
"""After a group could not be asked for so long, its partitions are watched anew."""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """What one process said of itself.

    name : as it said it in the state folder, or its address.
    ready : None where it does not answer.
    check : of its engine; None where it has none, or does not answer.
    """

    name: str
    ready: bool | None
    why: str = ""
    check: EngineCheck | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the probes saw, each within its limit; what is not known is None or left out.

    groups : by worker; only those that could be asked a moment ago.
    newest_frame : when it was handed to Kafka.
    letters : dead letters of the last `LETTERS_S`.
    quiet_s : without a frame for so long, frames are said to have stopped; None: never.
    """

    now: datetime
    broker: ProbeState = "unknown"
    cache: ProbeState = "unknown"
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    workers: tuple[WorkerSeen, ...] | None = None
    newest_frame: datetime | None = None
    letters: int | None = None
    quiet_s: float | None = None


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is wrong, in words.

    about : whom it concerns, if it names somebody.
    remedy : what to do, where it is not what the cause says.
    """

    words: str
    about: frozenset[str] = frozenset()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """How a group has moved.

    at : of the last look.
    still : partition -> (offset done, since when it is that, or nothing waits).
    speed : (when, messages that wait, messages done) of the last looks, oldest first.
    """

    at: datetime
    still: Mapping[int, tuple[int, datetime]]
    speed: tuple[tuple[datetime, int, int], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """What has to be remembered from look to look.

    checks : the last check that each worker told; what they become while it does not answer.
    """

    tracks: Mapping[str, Track] = field(default_factory=dict)
    checks: Mapping[str, EngineCheck] = field(default_factory=dict)


def remember(memory: Memory, seen: Seen) -> Memory:
    """Return the memory with one more look."""
    tracks = dict(memory.tracks)
    for worker, group in seen.groups.items():
        if not wanted(worker, group):
            continue
        tracks[worker] = _moved(tracks.get(worker), group, seen.now)
    if seen.workers is None:
        return Memory(tracks, memory.checks)
    checks = {w.name: c for w in seen.workers if (c := w.check or memory.checks.get(w.name))}
    return Memory(tracks, checks)


def engines(memory: Memory, seen: Seen) -> tuple[EngineCheck, ...]:
    """Return the known-answer check of each engine; of several workers the one that is worst off.

    A worker that does not answer says nothing of its engine: `ok` is None.
    """
    answering = {worker.name for worker in seen.workers or () if worker.check is not None}
    worst: dict[tuple[str, str], EngineCheck] = {}
    for name, check in sorted(memory.checks.items()):
        if name not in answering:
            words = f"{name} does not answer"
            check = check.model_copy(update={"ok": None, "detail": words})
        engine = (check.name, check.version)
        if engine not in worst or _rank(check) < _rank(worst[engine]):
            worst[engine] = check
    return tuple(worst.values())


def symptoms(memory: Memory, seen: Seen) -> dict[str, Symptom | None]:
    """Return each cause that can be judged now; None: it is not there.

    Parameters
    ----------
    memory : with this look already in it.
    """
    found = dict(_servers(seen))
    for worker, group in seen.groups.items():
        if worker in memory.tracks:
            found |= dict(_group(worker, group, memory.tracks[worker], seen.now))
        else:
            found |= {f"{worker}-{what}": None for what in ("nobody", "still", "behind")}
    if seen.workers is not None:
        found |= _processes(seen.workers, seen.groups)
    if seen.broker != "ok":
        found.pop("worker-not-ready", None)  # without a broker nobody is, and that is said
    return found | dict(_flow(seen))


def _servers(seen: Seen) -> Iterator[tuple[str, Symptom | None]]:
    if seen.broker != "unknown":
        away = Symptom("Kafka takes nothing: no frame is looked at, no alarm arrives.")
        yield "broker-away", away if seen.broker == "away" else None
    if seen.cache != "unknown":
        away = Symptom("Redis does not answer: who reads patients there sees old states.")
        yield "cache-away", away if seen.cache == "away" else None


ENGINES = ("scoring", "scoring-stat")
"""Workers that run a known-answer check."""

_NOBODY = {
    "scoring": "No scoring worker runs: nobody looks at frames.",
    "scoring-stat": "No worker for urgent series runs: nobody looks at them.",
    "patients": "No patients worker runs: nobody turns findings into alarms.",
    "models": "No models worker runs: recommendations come without what models say.",
}
_NO_MORE = (
    "There are as many workers as partitions, and more would have nothing to do: take a faster "
    "machine or engine, and send what cannot wait as urgent series."
)


def _group(
    worker: str, group: GroupState, track: Track, now: datetime
) -> Iterator[tuple[str, Symptom | None]]:
    missed = not group.members and (worker in WORKERS or group.behind > 0)
    yield f"{worker}-nobody", Symptom(_NOBODY[worker]) if missed else None
    if not group.members:
        if not missed and worker not in WORKERS:
            yield f"{worker}-still", None
            yield f"{worker}-behind", None
        return  # else that says it all
    stuck = [
        partition
        for partition, (_, since) in track.still.items()
        if (now - since).total_seconds() >= STILL_S
    ]
    waiting = sum(group.lag[partition] for partition in stuck)
    words = (
        f"{waiting} messages on {len(stuck)} of {len(group.lag)} partitions have waited "
        f"for {STILL_S:.0f} s, and no {worker} worker took one up."
    )
    yield f"{worker}-still", Symptom(words) if stuck else None
    yield from _behind(worker, group, track, now)


def _behind(
    worker: str, group: GroupState, track: Track, now: datetime
) -> Iterator[tuple[str, Symptom | None]]:
    """Judge whether more comes than is done; idle time before a burst says nothing of speed."""
    _, waits, done_now = track.speed[-1]
    if waits <= FEW_MESSAGES:
        yield f"{worker}-behind", None
        return
    busy = tuple(takewhile(lambda one: one[1] > FEW_MESSAGES, reversed(track.speed)))
    began, waited, done = busy[-1]
    measured_s = (now - began).total_seconds()
    if measured_s < MEASURED_S:
        return
    speed = (done_now - done) / measured_s
    old = (age_s(group, now) or 0.0) > OLD_S
    late = (waits >= waited or old) and 0 < speed * CATCH_UP_S < waits
    since = f"; the first of them for {age_s(group, now):.0f} s" if group.oldest else ""
    words = f"{waits} messages wait for {worker} workers, who do {speed:.1f} a second{since}."
    remedy = _NO_MORE if group.members >= len(group.lag) else ""
    yield f"{worker}-behind", Symptom(words, remedy=remedy) if late else None


def age_s(group: GroupState, now: datetime) -> float | None:
    """Return for how long the oldest message has waited; 0: none waits; None: not known."""
    if group.oldest is None:
        return None if group.behind else 0.0
    return max(0.0, (now - group.oldest).total_seconds())


def _processes(
    workers: tuple[WorkerSeen, ...], groups: Mapping[str, GroupState]
) -> dict[str, Symptom | None]:
    checked = [(worker, worker.check) for worker in workers if worker.check is not None]
    wrong = {
        worker.name: f"engine {check.name} {check.version} of {worker.name}: {check.detail}"
        for worker, check in checked
        if check.ok is False
    }
    bad = {w.name: f"{w.name}: {w.why}" for w in workers if not w.ready and w.name not in wrong}
    found = {
        "engine-wrong": _named("Known-answer check failed: ", wrong),
        "worker-not-ready": _named("Does not work: ", bad),
    }
    if "scoring" in groups:
        words = "Scoring workers run, and none can be asked for its known-answer check."
        unseen = not checked and any(groups[w].members for w in groups if w in ENGINES)
        found["engine-unseen"] = Symptom(words) if unseen else None
    return found


def _named(words: str, whom: Mapping[str, str]) -> Symptom | None:
    return Symptom(f"{words}{'; '.join(whom.values())}.", frozenset(whom)) if whom else None


def _flow(seen: Seen) -> Iterator[tuple[str, Symptom | None]]:
    if seen.quiet_s is None:
        yield "frames-stopped", None
    elif seen.newest_frame is not None:
        quiet_s = (seen.now - seen.newest_frame).total_seconds()
        words = f"No frame has come since {seen.newest_frame:%H:%M:%S} UTC."
        yield "frames-stopped", Symptom(words) if quiet_s > seen.quiet_s else None
    if seen.letters is not None:
        words = f"{seen.letters} messages were set aside within {LETTERS_S / 60:.0f} minutes."
        yield "dead-letters", Symptom(words) if seen.letters > MANY_LETTERS else None


def _moved(before: Track | None, group: GroupState, now: datetime) -> Track:
    """Return a track with one more look; one that was broken off, or has no past, begins anew."""
    done = sum(group.done.values())
    if before is not None:
        broken_off = not timedelta(0) <= now - before.at <= _BLIND  # or the clock was set
        made_anew = done < before.speed[-1][2]
        before = None if broken_off or made_anew else before
    still = {}
    for partition, offset in group.done.items():
        known, since = before.still.get(partition, (None, now)) if before else (None, now)
        waits = group.lag.get(partition, 0) > 0
        still[partition] = (offset, since if waits and known == offset else now)
    oldest = now - timedelta(seconds=2 * MEASURED_S)
    speed = tuple(look for look in before.speed if look[0] >= oldest) if before else ()
    return Track(now, still, (*speed, (now, group.behind, done)))


def _rank(check: EngineCheck) -> int:
    """Order checks: failed, not known, passed."""
    return (False, None, True).index(check.ok)
