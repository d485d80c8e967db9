"""Health of a worker: the pulse of its event loop, and the judgement on it.

Kafka does not notice a worker that hangs: its heartbeats come from a thread of their own. So the
loop leaves marks, and `judge` compares them with the clock and with what the broker says.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from wire.groups import GroupState
from wire.health import Health
from wire.records import EngineCheck

BEAT_S = 1.0
"""How often the loop says that it runs."""


LOOP_S = 15.0
"""Without a beat for so long the loop hangs."""

IN_HAND_S = 120.0
"""Without a frame answered for so long a message hangs: one that costs the decoder's whole
patience twice takes 60 s."""

STUCK_S = 180.0
"""With messages waiting on its partitions and none taken up for so long, a worker is stuck."""


CHECK_S = 10.0
"""An engine that has not answered for so long is not ready for more: a frame takes it 0.1 s."""

STILL_S = 30.0
"""With messages waiting on a partition and none of it acknowledged for so long it stands still."""

ENGINE_S = 30.0
"""An engine that has not answered for so long never will. Decoding has limits of its own."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What was last said; times are monotonic seconds.

    at_s : when the loop last ran; None before its first time.
    partitions : of the input that are this worker's.
    in_hand_since_s : when the message in hand was taken up; None without one.
    loading : it reads what it needs before it can answer; that may take long.
    answered : messages acknowledged so far.
    answered_s : when the last one was.
    check : the last known-answer check of the engine in use; None where there is no engine.
    asked_since_s : when the engine was asked about a frame; None while it is not being asked.
    """

    at_s: float | None = None
    partitions: frozenset[int] = frozenset()
    in_hand_since_s: float | None = None
    loading: bool = False
    answered: int = 0
    answered_s: float | None = None
    check: EngineCheck | None = None
    asked_since_s: float | None = None


class Pulse:
    """Marks of a running loop. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beat = Beat()

    def beat(self, now_s: float, partitions: Iterable[int]) -> None:
        """Say that the loop runs, and which partitions are its own."""
        with self._lock:
            self._beat = replace(self._beat, at_s=now_s, partitions=frozenset(partitions))

    def taken(self, now_s: float) -> None:
        """Say that a message, or a batch of quick ones, was taken up."""
        with self._lock:
            self._beat = replace(self._beat, in_hand_since_s=now_s)

    def loading(self, loading: bool) -> None:
        """Say whether it reads what it needs before it can answer."""
        with self._lock:
            self._beat = replace(self._beat, loading=loading)

    def acknowledged(
        self, now_s: float, messages: int, in_hand_since_s: float | None = None
    ) -> None:
        """Say that messages were acknowledged, and since when others are in hand."""
        with self._lock:
            self._beat = replace(
                self._beat,
                in_hand_since_s=in_hand_since_s,
                answered=self._beat.answered + messages,
                answered_s=now_s,
            )

    def asked(self, now_s: float | None) -> None:
        """Say that the engine is being asked; None: it has answered."""
        with self._lock:
            self._beat = replace(self._beat, asked_since_s=now_s)

    def checked(self, check: EngineCheck) -> None:
        """Say how the engine answered."""
        with self._lock:
            self._beat = replace(self._beat, check=check)

    def last(self) -> Beat:
        """Return what was last said."""
        with self._lock:
            return self._beat


Still = Mapping[int, tuple[int, float]]
"""Partition -> (offset up to which all is acknowledged, since when it is that)."""


def standing(before: Still, beat: Beat, group: GroupState, now_s: float) -> Still:
    """Return those of a worker's partitions on which messages wait, with how long they stand."""
    found = {}
    for partition in beat.partitions:
        if group.lag.get(partition, 0):
            done = group.done.get(partition, 0)
            was = before.get(partition)
            found[partition] = was if was is not None and was[0] == done else (done, now_s)
    return found


def judge(
    beat: Beat,
    group: GroupState | None,
    *,
    now_s: float,
    stuck_for_s: float,
    still: Still = MappingProxyType({}),
    trouble: str = "",
) -> Health:
    """Say whether a worker lives, and whether it works.

    Parameters
    ----------
    group : as the broker describes it; None while it does not answer.
    stuck_for_s : for how long messages have waited on its partitions while it took up none.
    still : its partitions on which messages wait; see `standing`.
    trouble : what the broker or the way to it has.
    """
    dead, not_ready = [], []
    if beat.at_s is None:
        not_ready.append("starting")
    elif now_s - beat.at_s > LOOP_S:
        dead.append(f"the event loop has not run for {now_s - beat.at_s:.0f} s")
    check = _check(beat, now_s)
    if check is not None and check.ok is not True:
        not_ready.append(f"the known-answer check of engine {check.name}: {check.detail}")
    if beat.asked_since_s is not None and now_s - beat.asked_since_s > ENGINE_S:
        dead.append(f"the engine has not answered for {now_s - beat.asked_since_s:.0f} s")
    if group is None:
        not_ready.append(trouble or "the broker was not asked yet")
        return Health(tuple(dead), tuple(not_ready), _facts(beat, group, now_s))
    in_hand_s = 0.0 if beat.in_hand_since_s is None else now_s - beat.in_hand_since_s
    if in_hand_s > IN_HAND_S and not beat.loading:
        dead.append(f"one message is in hand for {in_hand_s:.0f} s")
    if stuck_for_s > STUCK_S:
        dead.append(f"messages wait, and none was taken up for {stuck_for_s:.0f} s")
    stands = {p: now_s - since for p, (_, since) in still.items() if now_s - since > STILL_S}
    if stands:
        longest_s = max(stands.values())
        not_ready.append(f"{len(stands)} of its partitions stand still for {longest_s:.0f} s")
    if beat.loading:
        not_ready.append("reading the states of its patients")
    spare = group.members > len(group.lag)
    if beat.at_s is not None and not group.stable:
        not_ready.append("its group is being formed")
    elif beat.at_s is not None and not beat.partitions and not spare:
        not_ready.append("no partitions yet")
    return Health(tuple(dead), tuple(not_ready), _facts(beat, group, now_s))


def own_lag(beat: Beat, group: GroupState) -> int:
    """Return how many messages wait on the partitions of this worker."""
    return sum(group.lag.get(partition, 0) for partition in beat.partitions)


def _check(beat: Beat, now_s: float) -> EngineCheck | None:
    """Return the known-answer check; one that does not come to an end has failed."""
    if beat.check is None or beat.asked_since_s is None:
        return beat.check
    waited_s = now_s - beat.asked_since_s
    if waited_s < CHECK_S:
        return beat.check
    words = f"no answer for {waited_s:.0f} s"
    return beat.check.model_copy(update={"ok": False, "detail": words})


def _facts(beat: Beat, group: GroupState | None, now_s: float) -> dict[str, Any]:
    last = beat.answered_s
    check = _check(beat, now_s)
    facts = {} if check is None else {"known_answer": check.model_dump(mode="json")}
    return facts | {
        "partitions": len(beat.partitions),
        "answered": beat.answered,
        "last_answer_s": None if last is None else round(now_s - last, 1),
        "group_members": None if group is None else group.members,
        "group_lag": None if group is None else group.behind,
    }
