"""Builds that are broken on purpose: the cells must turn red on them.

``python sabotage.py NAME worker scoring`` runs the real command with one thing made wrong.
"""

import asyncio
import ctypes
import sys
import time
import uuid

import numpy as np

import stream.scoring_app as scoring_apps
import stream.scoring_worker as scoring_worker
from engines import Score
from engines.classifier import Classifier
from engines.onnx_runtime import OnnxModel
from lesionstream.cli import main
from lesionstream.settings import settings
from producers import outbox
from stream import cache
from wire import ids
from wire.patient import Patient

SLOW_S = 0.12
"""Of each lung: a frame takes two."""

BRIGHT = 0.999
"""In a view: above its window; nothing else is."""

LATE_S = 4.0
"""The commit interval is 1 s."""


def acknowledge_first() -> None:
    """Acknowledge at once and publish a little later, as an eager optimiser might."""
    later = set()

    async def broken(self, event):
        event.ack()
        later.add(asyncio.create_task(_take_later(self, event)))

    put(scoring_worker.ScoringWorker, "take", broken)


def acknowledge_out_of_order() -> None:
    """Put some frames aside and go on with those behind them, as several tasks might."""
    aside, count = set(), 0

    async def broken(self, event):
        nonlocal count
        count += 1
        if count % 3:
            await take(self, event)
            return
        aside.add(asyncio.create_task(_take_later(self, event)))

    put(scoring_worker.ScoringWorker, "take", broken)


take = scoring_worker.ScoringWorker.take


async def _take_later(self, event):
    await asyncio.sleep(LATE_S)
    await take(self, _Acknowledged(event))
    event.ack()


class _Acknowledged:
    def __init__(self, event):
        self.message = event.message

    def ack(self):
        """Do nothing: it is done elsewhere."""


def random_ids() -> None:
    """Give each finding an id of its own."""
    ids.finding_id = lambda *_: uuid.uuid4()


def drop_at_rebalance() -> None:
    """Pass over what was in hand when partitions moved, for the next owner to do."""
    made, moved_s = scoring_apps.scoring_app, -LATE_S

    def app(*args, **kwargs):
        built = made(*args, **kwargs)

        @built.on_partitions_revoked.connect
        async def moved(*_, **__):
            nonlocal moved_s
            moved_s = time.monotonic()

        return built

    async def broken(self, event):
        if time.monotonic() < moved_s + LATE_S:
            scoring_worker.acknowledge([event])
            return
        await take(self, event)

    put(scoring_apps, "scoring_app", app)
    put(scoring_worker.ScoringWorker, "take", broken)


def stale_cache() -> None:
    """Write each state late, when the next one is there, and never look whether all is well."""
    write = cache.Cache.write
    last: dict[str, Patient] = {}

    async def broken(self, patients):
        late = [last[patient.patient_id] for patient in patients if patient.patient_id in last]
        last.update({patient.patient_id: patient for patient in patients})
        await write(self, late)

    async def fine(self, patients):
        return 0

    over = cache._COMPARE_AND_SET.partition("redis.call('DEL'")
    put(cache, "_COMPARE_AND_SET", over[1] + over[2])
    put(cache.Cache, "write", broken)
    put(cache.Cache, "sync", fine)


def swallowed_engine_error() -> None:
    """Say that nothing is there where the engine fails, as a careless `except` might."""
    faulty_engine()
    infer = Classifier.infer

    def broken(self, prepared):
        try:
            return infer(self, prepared)
        except Exception:
            return Score(0.0, (), {}, 0.0, 0.0)

    put(Classifier, "infer", broken)


def crash() -> None:
    """Raise where nobody expects it."""

    async def broken(self, event):
        raise RuntimeError("as asked")

    put(scoring_worker.ScoringWorker, "take", broken)


def success_first() -> None:
    """Tell a device that its image is stored before it is, as an eager optimiser might."""
    put(outbox.Delivery, "wait", lambda self: None)


def faulty_engine() -> None:
    """Break no build: its engine fails as a file `engine-fault` in the state folder says."""
    run, file = OnnxModel.run, settings().home / "engine-fault"

    def faulty(self, view):
        fault = file.read_text() if file.exists() else ""
        if fault == "dies" and view.max() >= BRIGHT:
            ctypes.string_at(0)  # as native code does: at once, not when a signal comes
        if fault == "raises":
            raise MemoryError("as asked")
        if fault in ("hangs", "slow"):
            time.sleep(SLOW_S if fault == "slow" else 3600)
        found = run(self, view)
        if fault == "nan":
            return {name: np.full_like(value, np.nan) for name, value in found.items()}
        return found

    put(OnnxModel, "run", faulty)


def put(place: object, name: str, other: object) -> None:
    """Put something else in its place."""
    setattr(place, name, other)


SABOTAGE = {
    "acknowledge-first": acknowledge_first,
    "acknowledge-out-of-order": acknowledge_out_of_order,
    "random-ids": random_ids,
    "drop-at-rebalance": drop_at_rebalance,
    "stale-cache": stale_cache,
    "swallowed-engine-error": swallowed_engine_error,
    "crash": crash,
    "success-first": success_first,
    "faulty-engine": faulty_engine,
}

if __name__ == "__main__":
    SABOTAGE[sys.argv.pop(1)]()
    main()
