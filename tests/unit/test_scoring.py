"""Exactly one finding for each message, a reason where there is no score, a letter with it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from support.phantoms import chest_hu, dataset, part10

from engines import Accepted, Candidate, EngineFailed, NotScorable, Preparation, Score
from producers.prepare import prepare
from stream.looking import look
from stream.retrying import Retry
from stream.scoring import Message, Scorer
from wire import ids
from wire.envelope import Envelope
from wire.errors import FrameError, Reason
from wire.frame import decode_frame
from wire.records import FrameAddress

TAKEN = datetime(2026, 1, 1, tzinfo=UTC)
WHERE = FrameAddress(topic="frames", partition=2, offset=7)

pytestmark = pytest.mark.filterwarnings("ignore")


class FakeEngine:
    """An engine whose answers are prescribed: what is tested here is what becomes of them."""

    backend, precision = "fake", "fp32"
    preparation = Preparation("field", (-1000.0, 400.0))

    def __init__(self, *answers, modalities=("CT",)):
        self._answers = list(answers)
        self.card = SimpleNamespace(
            name="fake",
            version="1",
            sha256="ab",
            operating_points=SimpleNamespace(screen=0.5, alarm=0.8),
            accepted=Accepted(modalities=modalities, sop_class_uids=(), body_parts=()),
        )

    def infer(self, prepared):
        assert prepared.views[0].dtype == np.float32
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def score(p, lesions=()):
    return Score(p, tuple(lesions), {"lung_cm2": 100.0}, 1.0, 2.0)


def message(ds=None, *, value=None, received=TAKEN - timedelta(seconds=2)):
    if ds is not None:
        value = next(iter(prepare(part10(ds), b"k" * 32))).payload
    return Message(value, Envelope("frame", "foreign", "/x", time=received), WHERE)


def retry(sleep=lambda pause_s: None):
    return Retry(chance=lambda: 0.5, sleep=sleep)


def ask(engine, asked, look=look, **kwargs):
    scorer = Scorer(engine, look=look, now_ms=iter(range(1000)).__next__, **kwargs)
    return scorer.answer(asked, TAKEN)


def ct(**attributes):
    wide = {"SOPInstanceUID": "1.2.3", "PixelSpacing": [5, 5]}
    return dataset(chest_hu(1, size=64), **wide | attributes)


def test_a_scored_frame():
    asked = message(ct(InstanceNumber=4))
    outcome = ask(FakeEngine(score(0.7)), asked)
    finding = outcome.finding
    assert finding.status == "scored"
    assert finding.lesion_probability == 0.7
    assert finding.frame_id == decode_frame(asked.value).frame_id, "a foreign ce_id loses"
    assert finding.id == ids.finding_id(finding.frame_id, "fake", "1", "ab")
    assert (finding.sop_instance_uid, finding.frame_number, finding.instance_number) == (
        "1.2.3", 1, 4,
    )  # fmt: skip
    assert finding.frame == WHERE
    assert finding.times_ms.queued == 2000
    assert outcome.key == finding.patient_id
    assert outcome.dead_letter is None


@pytest.mark.parametrize(
    ("engine", "attributes", "reason", "engine_name"),
    [
        (FakeEngine(score(0.5)), {"Modality": "MR"}, Reason.MODALITY_NOT_SUPPORTED, "none"),
        (FakeEngine(NotScorable("no-lungs", "none seen")), {}, Reason.NO_LUNGS, "fake"),
        (FakeEngine(NotScorable("quality", "bad")), {}, Reason.QUALITY, "fake"),
        (FakeEngine(score(0.5)), {"PixelSpacing": None}, Reason.QUALITY, "fake"),
        (FakeEngine(score(0.5)), {"RescaleSlope": None}, Reason.QUALITY, "fake"),
        (FakeEngine(score(0.5)), {"RescaleType": "US_OTHER"}, Reason.QUALITY, "fake"),
        (FakeEngine(EngineFailed("boom")), {}, Reason.ENGINE_FAILED, "fake"),
        (FakeEngine(ZeroDivisionError()), {}, Reason.ENGINE_FAILED, "fake"),
    ],
)
def test_frames_that_are_not_scored(engine, attributes, reason, engine_name):
    asked = message(ct(**attributes))
    outcome = ask(engine, asked)
    assert (outcome.finding.status, outcome.finding.reason) == ("not-scored", reason)
    assert outcome.finding.engine.name == engine_name
    assert outcome.finding.lesion_probability is None
    assert outcome.finding.detail
    assert outcome.finding.patient_id.startswith("p-"), "the patient's state is to know"
    assert outcome.dead_letter.value == asked.value, "de-identified: the payload is kept"
    assert outcome.dead_letter.reason == reason.value
    assert outcome.dead_letter.where == WHERE


@pytest.mark.parametrize("value", [None, b"", b"hello", b"\0" * 200])
def test_foreign_messages(value):
    outcome = ask(FakeEngine(score(0.5)), message(value=value))
    assert outcome.finding.reason is Reason.UNDECODABLE
    assert outcome.finding.frame_id == ids.payload_id(value)
    assert outcome.dead_letter.value is None, "nobody knows whether it is de-identified"
    assert outcome.key == f"frame-{outcome.finding.frame_id}"


def test_what_is_not_deidentified_leaves_no_trace():
    named = part10(ct(PatientID="SECRET", PatientName="SECRET^NAME"))
    outcome = ask(FakeEngine(score(0.5)), message(value=named))
    assert outcome.finding.reason is Reason.NOT_DEIDENTIFIED
    assert outcome.dead_letter.value is None
    assert b"SECRET" not in outcome.finding.to_json()


def test_a_broken_deidentified_frame_keeps_its_patient_and_payload():
    value = message(ct()).value
    cut = value[:-100]
    outcome = ask(FakeEngine(score(0.5)), message(value=cut))
    assert outcome.finding.reason is Reason.UNDECODABLE
    assert outcome.finding.patient_id.startswith("p-")
    assert outcome.dead_letter.value == cut


def test_an_engine_that_fails_once_is_asked_again():
    outcome = ask(FakeEngine(EngineFailed("hiccup"), score(0.6)), message(ct()), retry=retry())
    assert outcome.finding.lesion_probability == 0.6


def test_attempts_are_those_that_were_made():
    letters = [ask(FakeEngine(EngineFailed("boom")), message(ct()), retry=r).dead_letter
               for r in (None, retry())]  # fmt: skip
    assert [letter.attempts for letter in letters] == [1, 4]


@pytest.mark.parametrize(
    "reason", [NotScorable("no-lungs", "none seen"), NotScorable("quality", "bad")]
)
def test_what_cannot_pass_is_asked_once(reason):
    slept = []
    outcome = ask(FakeEngine(reason), message(ct()), retry=retry(slept.append))
    assert (outcome.dead_letter.attempts, slept) == (1, [])


def test_a_letter_says_which_engine_failed_and_how_but_quotes_nothing():
    error = EngineFailed("SECRET")
    error.__cause__ = ValueError("SECRET")
    letter = ask(FakeEngine(error), message(ct())).dead_letter
    assert letter.detail == "engine fake 1 failed: it raised EngineFailed because of ValueError"
    assert letter.engine == "fake 1"


OUTSIDE = Candidate(0.9, x_px=64, y_px=1, diameter_mm=8.0, box=(60, 0, 8, 8))
NAMELESS = Candidate(float("nan"), x_px=1, y_px=1, diameter_mm=8.0, box=(0, 0, 2, 2))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (score(float("nan")), "lesion_probability is nan"),
        (score(float("inf")), "lesion_probability is inf"),
        (score(1.5), "lesion_probability is 1.5"),
        (score(-0.5), "lesion_probability is -0.5"),
        (score(0.9, [OUTSIDE]), "lesion 1: it lies outside the frame (64, 1)"),
        (score(0.9, [NAMELESS]), "lesion 1: probability is nan"),
        (None, "it answered with a NoneType"),
    ],
)
def test_an_answer_that_is_no_score_is_a_failure_of_the_engine(answer, words):
    outcome = Scorer(
        FakeEngine(answer), look=look, now_ms=iter(range(1000)).__next__, retry=retry()
    ).answer(message(ct()), TAKEN)
    assert (outcome.finding.status, outcome.finding.reason) == ("not-scored", Reason.ENGINE_FAILED)
    assert outcome.finding.engine.name == "fake", "a score that comes later has the same id"
    assert outcome.finding.detail == f"engine fake 1 failed: {words}"
    assert outcome.dead_letter.attempts == 4


def test_an_answer_that_is_no_score_may_be_one_the_next_time():
    outcome = ask(FakeEngine(score(float("nan")), score(0.6)), message(ct()), retry=retry())
    assert outcome.finding.lesion_probability == 0.6


def test_candidates_get_their_place_in_the_patient():
    lesion = Candidate(0.9, x_px=2, y_px=1, diameter_mm=8.0, box=(1, 0, 2, 2))
    ds = ct(ImagePositionPatient=[0, 0, 50], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    (found,) = ask(FakeEngine(score(0.9, [lesion] * 1)), message(ds)).finding.lesions
    assert (found.x_mm, found.y_mm, found.z_mm) == (10.0, 5.0, 50.0)
    assert (found.x_px, found.y_px, found.box) == (2, 1, (1, 0, 2, 2))


def test_at_most_32_candidates():
    lesion = Candidate(0.9, x_px=2, y_px=1, diameter_mm=8.0, box=(1, 0, 2, 2))
    assert len(ask(FakeEngine(score(0.9, [lesion] * 40)), message(ct())).finding.lesions) == 32


def test_without_a_position_places_in_mm_are_unknown():
    lesion = Candidate(0.9, x_px=2, y_px=1, diameter_mm=None, box=(1, 0, 2, 2))
    (found,) = ask(FakeEngine(score(0.9, [lesion])), message(ct())).finding.lesions
    assert (found.x_mm, found.y_mm, found.z_mm) == (None, None, None)


def test_event_time_falls_back_to_when_the_frame_was_received():
    ds = ct()
    del ds.AcquisitionDate
    asked = message(ds)
    assert ask(FakeEngine(score(0.5)), asked).finding.event_time == asked.envelope.time


def test_a_producer_whose_clock_runs_ahead_gives_no_negative_time():
    asked = message(ct(), received=TAKEN + timedelta(hours=1))
    assert ask(FakeEngine(score(0.5)), asked).finding.times_ms.queued == 0


def test_a_decoder_that_dies_is_an_answer_too():
    def dying(payload, frame_number, wanted):
        raise FrameError(Reason.UNDECODABLE, "the decoder process died")

    outcome = ask(FakeEngine(score(0.5)), message(ct()), look=dying)
    assert outcome.finding.reason is Reason.UNDECODABLE
