"""How the stream runs, measured from what was said on `results`. Bounded; no clock of its own."""

from collections import Counter, OrderedDict, deque
from uuid import UUID

from monitor.known import Flow, Shadow
from wire.records import NO_ENGINE_USED, Comparison, EngineUsed, Finding

RATE_S = 10.0
DELAYS_S = 300.0
DAY_S = 24 * 3600.0
BUCKET_S = 600.0
MOST_DELAYS = 20_000
"""Of the last five minutes: 66 frames/s."""

MOST_ENGINES = 16
MOST_COMPARISONS = 100_000
"""Remembered, so that a comparison that was said again is not counted again."""


class FlowMeter:
    """Counts findings and comparisons; all times are seconds since 1970. Not thread-safe."""

    def __init__(self) -> None:
        self._said: deque[float] = deque(maxlen=MOST_DELAYS)
        self._delays: deque[tuple[float, float]] = deque(maxlen=MOST_DELAYS)
        self._counts: dict[int, Counter[str]] = {}
        self._engines: OrderedDict[EngineUsed, float] = OrderedDict()
        self._shadows: OrderedDict[tuple[EngineUsed, EngineUsed], list[int]] = OrderedDict()
        self._compared: OrderedDict[UUID, None] = OrderedDict()

    def answered(self, finding: Finding, time_s: float, now_s: float) -> None:
        """Count a finding that was said at `time_s`."""
        if time_s > now_s - DELAYS_S:
            self._said.append(time_s)
            times = finding.times_ms
            if times.queued is not None and times.total is not None:
                self._delays.append((time_s, times.queued + times.total))
        reason = "" if finding.reason is None else finding.reason.value
        self._counts.setdefault(int(time_s // BUCKET_S), Counter())[reason] += 1
        if finding.engine.name != NO_ENGINE_USED.name:
            self._engines[finding.engine] = max(time_s, self._engines.get(finding.engine, 0.0))
            self._engines.move_to_end(finding.engine)
            if len(self._engines) > MOST_ENGINES:
                self._engines.popitem(last=False)

    def compared(self, comparison: Comparison) -> None:
        """Count what a shadow engine said beside the active one."""
        if comparison.id in self._compared:
            return
        self._compared[comparison.id] = None
        if len(self._compared) > MOST_COMPARISONS:
            self._compared.popitem(last=False)
        pair = (comparison.active.engine, comparison.shadow.engine)
        counts = self._shadows.setdefault(pair, [0, 0])
        counts[0] += 1
        counts[1] += comparison.disagree
        if len(self._shadows) > MOST_ENGINES:
            self._shadows.popitem(last=False)

    def flow(self, now_s: float) -> Flow:
        """Return the figures now; what only the broker knows is left empty."""
        for bucket in [b for b in self._counts if (b + 1) * BUCKET_S < now_s - DAY_S]:
            del self._counts[bucket]
        total: Counter[str] = sum(self._counts.values(), Counter())
        delays = sorted(ms for at, ms in self._delays if at > now_s - DELAYS_S)
        return Flow(
            delay_p50_ms=_quantile(delays, 0.5),
            delay_p99_ms=_quantile(delays, 0.99),
            frames_per_s=sum(at > now_s - RATE_S for at in self._said) / RATE_S,
            frames=total.total(),
            not_scored={reason: n for reason, n in sorted(total.items()) if reason},
            engines=tuple(
                engine
                for engine, at in sorted(self._engines.items(), key=lambda i: -i[1])
                if at > now_s - DAY_S
            ),
            shadows=tuple(
                Shadow(active, shadow, compared, disagreed)
                for (active, shadow), (compared, disagreed) in self._shadows.items()
            ),
        )


def _quantile(ordered: list[float], q: float) -> float | None:
    """Return the least value that is at or above a share `q` of them all."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None
