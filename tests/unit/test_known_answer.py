"""An engine that answers wrongly is noticed, by the worker that uses it."""

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from engines import EngineFailed, list_engines, load_engine, prepare
from engines.known_answer import ELSEWHERE, HERE, ask, known_frames, wrong
from stream.health import CHECK_S, ENGINE_S, Pulse, judge
from stream.scoring_worker import ScoringWorker
from wire.groups import GroupState

QUICK = "textbook-256"
GROUP = GroupState(lag={0: 0}, members=1, stable=True)


@pytest.fixture(scope="module")
def engine():
    engine = load_engine(QUICK, device="cpu")
    yield engine
    engine.close()


class Sabotaged:
    """A real engine whose answers are spoilt by `spoil` from the n-th on."""

    def __init__(self, engine, spoil, after=0):
        self._engine = engine
        self._spoil = spoil
        self._left = after
        self.card, self.backend, self.precision = engine.card, engine.backend, engine.precision
        self.preparation = engine.preparation

    def score(self, ct):
        return self.infer(prepare(ct, self.preparation))

    def infer(self, prepared):
        score = self._engine.infer(prepared)
        self._left -= 1
        if self._left >= 0:
            return score
        return replace(score, lesion_probability=self._spoil(score.lesion_probability))

    def close(self):
        pass


def raising(p):
    raise EngineFailed("gone")


def worker(engine):
    pulse = Pulse()
    made = ScoringWorker(engine, pulse=pulse, look=None, results=None, dead_letters=None)
    pulse.beat(time.monotonic(), [0])
    return made, pulse


def judged(pulse, later_s=0.0):
    now = time.monotonic()
    pulse.beat(now + later_s, [0])
    return judge(pulse.last(), GROUP, now_s=now + later_s, stuck_for_s=0)


SCORING = [card for card in list_engines() if card.task in ("detect", "classify")]


@pytest.mark.parametrize("card", SCORING, ids=lambda card: card.name)
def test_shipped_engines_answer_as_their_cards_say(card):
    """Red for a new model: `python -m engines.known_answer engines/catalogue/NAME` notes it."""
    wanted = {"fp32", *(variant.precision for variant in card.variants)}
    assert set(card.known_answers) == wanted
    for precision in wanted:
        engine = load_engine(card.name, device="cpu", precision=precision)
        now = ask(engine)
        engine.close()
        assert wrong(card, precision, now, now) == ""
        clear, nodule = card.known_answers[precision]
        assert nodule - clear > 4 * ELSEWHERE, "who says the same of both is found out"


def test_the_known_frames_are_the_same_on_every_machine():
    clear, nodule = known_frames()
    assert clear.hu.dtype == np.float32
    assert float(clear.hu.sum(dtype=np.float64)) == pytest.approx(-33_734_280.0, abs=1.0)
    differs = np.argwhere(clear.hu != nodule.hu)
    assert 0 < len(differs) < 30


def test_an_engine_that_is_well(engine):
    made, pulse = worker(engine)
    assert judged(pulse).not_ready == (
        "the known-answer check of engine textbook-256: not asked yet",
    )
    asyncio.run(made.check())
    found = judged(pulse)
    assert found.ready
    said = found.facts["known_answer"]
    assert (said["name"], said["version"], said["ok"]) == (QUICK, engine.card.version, True)
    assert said["checked"] is not None
    asyncio.run(made.check())
    assert judged(pulse).ready


@pytest.mark.parametrize(
    ("spoil", "after", "word"),
    [
        (lambda p: 0.99, 0, "its card says"),
        (lambda p: 0.0, 0, "its card says"),
        (lambda p: p + 10 * HERE, 2, "its start says"),
        (lambda p: float("nan"), 0, "answers nan"),
        (raising, 0, "raised EngineFailed"),
        (raising, 3, "raised EngineFailed"),
    ],
    ids=["all are ill", "none is ill", "later otherwise", "not a number", "raises", "later raises"],
)
def test_an_engine_that_answers_wrongly(engine, spoil, after, word):
    made, pulse = worker(Sabotaged(engine, spoil, after))
    asyncio.run(made.check())
    if after > 1:
        assert judged(pulse).ready
        asyncio.run(made.check())
    found = judged(pulse)
    assert found.live
    assert not found.ready
    assert word in found.not_ready[0]
    assert found.facts["known_answer"]["ok"] is False


def test_an_engine_that_has_no_known_answers_is_held_to_its_first(engine):
    card = engine.card.model_copy(update={"known_answers": {}})
    assert wrong(card, "fp32", (0.9, 0.9), (0.9, 0.9)) == ""
    assert "its start" in wrong(card, "fp32", (0.9, 0.9), (0.9, 0.91))


def test_an_engine_that_hangs(engine):
    """Not ready after `CHECK_S`; dead, and so started again, after `ENGINE_S`."""
    told = threading.Event()
    made, pulse = worker(Sabotaged(engine, lambda p: told.wait() and p))

    async def scene():
        check = asyncio.ensure_future(made.check())
        while pulse.last().asked_since_s is None:
            await asyncio.sleep(0.01)
        soon, late = judged(pulse, CHECK_S + 1), judged(pulse, ENGINE_S + 1)
        told.set()
        await check
        return soon, late

    soon, late = asyncio.run(scene())
    assert soon.live
    assert "no answer for 1" in soon.not_ready[-1]
    assert soon.facts["known_answer"]["ok"] is False
    assert not late.live


def test_a_promoted_engine_is_asked_at_once(engine):
    made, pulse = worker(Sabotaged(engine, raising))
    asyncio.run(made.check())
    assert not judged(pulse).ready
    asyncio.run(made.follow(lambda: engine))
    assert judged(pulse).ready
