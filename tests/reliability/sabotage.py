"""Builds that are broken on purpose: the reliability tests must turn red on them.

``python sabotage.py NAME worker scoring`` runs the real command with one thing made wrong.
"""

import asyncio
import sys
import uuid

import stream.scoring_worker as scoring_worker
from lesionstream.cli import main
from producers import outbox
from wire import ids


def acknowledge_first() -> None:
    """Acknowledge at once and publish a little later, as an eager optimiser might."""
    answer = scoring_worker.ScoringWorker.answer
    later = set()

    async def publish(self, events):
        await asyncio.sleep(4)  # the commit interval is 1 s
        await answer(self, [_Acknowledged(event) for event in events])

    async def broken(self, events):
        for event in events:
            event.ack()
        later.add(asyncio.create_task(publish(self, events)))

    setattr(scoring_worker.ScoringWorker, "answer", broken)  # noqa: B010 - a method, to mypy


class _Acknowledged:
    def __init__(self, event):
        self.message = event.message

    def ack(self):
        """Do nothing: that was done too early."""


def random_ids() -> None:
    """Give each finding an id of its own."""
    ids.finding_id = lambda *_: uuid.uuid4()


def crash() -> None:
    """Raise where nobody expects it."""

    async def broken(self, events):
        raise RuntimeError("as asked")

    setattr(scoring_worker.ScoringWorker, "answer", broken)  # noqa: B010 - a method, to mypy


def success_first() -> None:
    """Tell a device that its image is stored before it is, as an eager optimiser might."""
    setattr(outbox.Delivery, "wait", lambda self: None)  # noqa: B010 - a method, to mypy


SABOTAGE = {
    "acknowledge-first": acknowledge_first,
    "random-ids": random_ids,
    "crash": crash,
    "success-first": success_first,
}

if __name__ == "__main__":
    SABOTAGE[sys.argv.pop(1)]()
    main()
