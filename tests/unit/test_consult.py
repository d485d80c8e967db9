"""What treatment models say of a final series, and what becomes of it beside a rule."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.folding import facts, final, kinds, told
from support.records import START, act, series
from support.visits import A, B, visits

from engines.errors import EngineFailed, NotForecastable
from engines.forecaster import Forecast
from engines.loading import load_forecaster
from stream.beside import HELD_BACK
from stream.consult import consult as asked_of
from stream.forecasting import ForecastAdviser, course_of
from stream.policies import choose
from wire.assessment import Assessment
from wire.evidence import question_id
from wire.records import Alert, Recommendation, Therapy

RESPONSE = load_forecaster("response")


class Says:
    """An engine that says what it is told to, and keeps what it was asked."""

    def __init__(self, answer, **card):
        self.card = RESPONSE.card.model_copy(update=card)
        self.answer, self.asked = answer, None

    def forecast(self, course, next_day):
        self.asked = (course, next_day)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Forecast(20.0, 15.0, 25.0, self.answer)


def consult(sheet, engine, days):
    """Ask an engine about the study so many days on."""
    return asked_of(sheet, ForecastAdviser(engine, days))


def beside(patient, study, engine, *, offset=9000, policy=None):
    """Ask an engine about a study, and fold in what it answers."""
    more = {} if policy is None else {"policy": policy}
    evidence = consult(final(patient, study), engine, 42.0)
    return told([evidence], patient, first_offset=offset, **more)


def test_a_course_is_the_sum_of_the_targets_from_the_baseline_on():
    patient, _ = visits(20.0, 16.0, 15.0, b=(B, 12.0))
    course = course_of(final(patient, 3))
    np.testing.assert_allclose(course.days, [0, 42, 84])
    np.testing.assert_allclose(course.diameters_mm, [32.0, 28.0, 27.0])
    assert course.arm == ""


def test_day_0_is_the_start_of_the_treatment():
    patient, _ = visits(30.0, 20.0, 25.0)
    start = START + timedelta(weeks=7)
    patient, _ = told([act("therapy", therapy=Therapy(plan="x", start=start))], patient)
    course = course_of(final(patient, 3))
    np.testing.assert_allclose(course.days, [-7, 35])
    assert course.arm == "x"
    assert course_of(final(patient, 1)).arm == "", "the first study was before it"


def test_what_is_forecast_is_said_in_words_and_numbers():
    patient, _ = visits(20.0, 24.0)
    said = consult(final(patient, 2), Says(0.5), 42.0)
    assert (said.status, said.leans, said.simulated) == ("answered", "intensify", False)
    assert said.forecast.model_dump() == {
        "days": 42.0,
        "sum_mm": 24.0,
        "next_sum_mm": 20.0,
        "q10_mm": 15.0,
        "q90_mm": 25.0,
        "progression_probability": 0.5,
    }
    assert "20.0 mm together (80 %: 15.0 to 25.0; now 24.0); progression then: 50%" in said.text
    assert "no treatment is recorded" in said.text


def test_the_shipped_engine_is_asked_about_the_plan_it_knows():
    arm = RESPONSE.card.forecast.arms[0]
    entered = act("therapy", therapy=Therapy(plan=arm, start=START))
    patient, _ = told([entered, *series({"a": (A, 20.0)})])
    said = consult(final(patient, 1), RESPONSE, 42.0)
    assert said.notes == ()
    assert said.forecast.q10_mm <= said.forecast.next_sum_mm <= said.forecast.q90_mm
    other = act("therapy", therapy=Therapy(plan="elsewhere", start=START))
    patient, _ = told([other, *series({"a": (A, 20.0)})])
    said = consult(final(patient, 1), RESPONSE, 42.0)
    assert said.notes == ("the plan was not in training: forecast as the average of all arms",)


@pytest.mark.parametrize(
    ("points", "leans"), [(0.05, "maintain-or-reduce"), (0.2, "none"), (0.4, "intensify")]
)
def test_it_points_where_its_operating_points_say(points, leans):
    patient, _ = visits(20.0)
    assert consult(final(patient, 1), Says(points), 42.0).leans == leans


@pytest.mark.parametrize("answer", [NotForecastable("too strange"), EngineFailed("out of memory")])
def test_an_engine_that_gives_no_answer_abstains_with_the_reason(answer):
    patient, _ = visits(20.0)
    said = consult(final(patient, 1), Says(answer), 42.0)
    assert (said.status, said.leans, said.forecast) == ("abstained", "none", None)
    assert str(answer) in said.reason
    patient, words = beside(patient, 1, Says(answer))
    (update,) = kinds(words, Recommendation)
    assert update.models[0].text.startswith("no forecast, because ")


def test_what_it_was_not_made_for_it_abstains_from():
    patient, _ = visits(190.0, b=(B, 60.0))
    assert "the greatest in training" in consult(final(patient, 1), RESPONSE, 42.0).reason
    patient, _ = visits(20.0)
    assert "days to the next visit" in consult(final(patient, 1), RESPONSE, 4200.0).reason
    patient, _ = visits(None)
    assert "no target lesion" in consult(final(patient, 1), RESPONSE, 42.0).reason
    undated = final(visits(20.0)[0], 1)
    undated = undated.model_copy(
        update={"course": (undated.course[0].model_copy(update={"event_time": None}),)}
    )
    assert "date" in consult(undated, RESPONSE, 42.0).reason


def test_the_same_question_gets_the_same_answer_and_a_therapy_makes_another():
    patient, _ = visits(20.0)
    sheet = final(patient, 1)
    one, other = (consult(sheet, RESPONSE, 42.0) for _ in range(2))
    assert one == other
    again = Assessment.model_validate_json(sheet.to_json())
    assert question_id(again) == question_id(sheet), "as the worker reads it, and the fold has it"
    patient, _ = told([act("therapy", therapy=Therapy(plan="x", start=START))], patient)
    assert final(patient, 1).id == sheet.id
    assert consult(final(patient, 1), RESPONSE, 42.0).id != one.id


def test_one_recommendation_of_a_series_gets_the_evidence():
    patient, said = visits(20.0, 24.5)
    (rule,) = [
        r for r in kinds(said[1], Recommendation) if r.rule not in ("new-lesion", "lesion-gone")
    ]
    patient, words = beside(patient, 2, Says(0.5))
    (update,) = kinds(words, Recommendation)
    assert (update.recommendation_id, update.phase) == (rule.recommendation_id, "update")
    assert (update.action, update.text) == (rule.action, rule.text), "the rule stays in force"
    (view,) = update.models
    assert view.evidence_id in update.evidence
    assert told([consult(final(patient, 2), Says(0.5), 42.0)], patient, first_offset=9900)[1] == []


def test_a_disagreement_is_told_and_the_rule_stays_in_force():
    patient, _ = visits(20.0, 12.0)
    patient, words = beside(patient, 2, Says(0.6))
    (update,) = kinds(words, Recommendation)
    assert update.action == "maintain-or-reduce"
    assert update.models[0].agrees is False
    assert "response 0.1.0 sees it otherwise" in update.rationale
    assert kinds(words, Alert) == []
    patient, _ = visits(20.0, 12.0)
    _, words = beside(patient, 2, Says(0.01))
    assert kinds(words, Recommendation)[0].models[0].agrees is True


def test_a_policy_may_hold_back_what_a_model_speaks_against():
    careful = choose("longitudinal", {"disagreement": "hold-back"})
    events = series({"a": (A, 20.0)}) + series({"a": (A, 12.0)}, study=2)
    patient, _ = told(events, policy=careful)
    _, words = beside(patient, 2, Says(0.6), policy=careful)
    (update,) = kinds(words, Recommendation)
    assert (update.action, update.text) == ("none", HELD_BACK)
    assert "the rule says: maintain or reduce treatment" in update.rationale


def test_a_simulated_engine_changes_no_word():
    careful = choose("longitudinal", {"disagreement": "hold-back"})
    patient, _ = told(series({"a": (A, 20.0)}) + series({"a": (A, 12.0)}, study=2), policy=careful)
    before = {r.about: (r.action, r.text, r.rationale) for r in patient.recommendations.values()}
    patient, words = beside(patient, 2, Says(0.9, simulated=True), policy=careful)
    (update,) = kinds(words, Recommendation)
    assert update.models[0].simulated
    assert update.models[0].agrees is None
    after = {r.about: (r.action, r.text, r.rationale) for r in patient.recommendations.values()}
    assert after == before


def test_of_two_engines_of_one_task_the_later_is_heard():
    patient, _ = visits(20.0, 12.0)
    later = Says(0.01, version="0.10.0", sha256="0" * 64)
    patient, _ = beside(patient, 2, later)
    patient, _ = beside(patient, 2, Says(0.6), offset=9001)
    (heard,) = [r.models for r in patient.recommendations.values() if r.models]
    assert [view.engine for view in heard] == ["response 0.10.0"]


def test_evidence_about_what_is_not_known_any_more_is_passed_over():
    patient, _ = visits(20.0, 12.0)
    old = consult(final(patient, 2), Says(0.6), 42.0)
    start = START + timedelta(weeks=7)
    patient, words = told([act("therapy", therapy=Therapy(plan="x", start=start))], patient)
    patient, words = told([old], patient, first_offset=9000)
    assert words == [], "it answers a question of before"
    elsewhere = old.model_copy(update={"series_instance_uid": "1.99"})
    patient, words = told([elsewhere], patient, first_offset=9001)
    assert words == []
    assert "1.99" not in patient.series


@given(st.randoms(use_true_random=False), st.floats(0, 1))
def test_order_and_repetition_of_evidence_leave_no_trace(random, p):
    events = series({"a": (A, 20.0)}, images=8) + series({"a": (A, 12.0)}, study=2, images=8)
    therapy = act("therapy", therapy=Therapy(plan="x", start=START + timedelta(days=3)))
    bare, _ = told(events)
    entered, _ = told([*events, therapy])
    asked = [
        consult(final(state, study), engine, 42.0)
        for state in (bare, entered)
        for study in (1, 2)
        for engine in (Says(p), Says(1 - p, version="0.2.0"))
    ]
    after = [*asked, *asked, therapy]
    random.shuffle(after)
    one, _ = told([*events, *after])
    other, _ = told([*events, therapy, *asked])
    assert facts(one) == facts(other)


def test_what_is_held_back_is_given_back_once_a_clinician_has_decided():
    careful = choose("longitudinal", {"disagreement": "hold-back"})
    events = series({"a": (A, 20.0)}) + series({"a": (A, 12.0)}, study=2)
    patient, _ = told(events, policy=careful)
    patient, words = beside(patient, 2, Says(0.6), policy=careful)
    (held,) = kinds(words, Recommendation)
    signed = act("sign-off", held.recommendation_id, number=3)
    patient, words = told([signed], patient, first_offset=1, policy=careful)
    (said,) = kinds(words, Recommendation)
    assert (said.action, said.sign_off) == ("maintain-or-reduce", "signed-off")
    _, words = beside(patient, 2, Says(0.7, version="0.2.0"), policy=careful, offset=9500)
    (later,) = kinds(words, Recommendation)
    assert later.action == "maintain-or-reduce", "what was signed stays what was signed"
    assert later.rationale.startswith("signed-off by nurse 3; ")


def test_an_answer_replaces_an_abstention_and_not_the_other_way_round():
    patient, _ = visits(20.0, 12.0)
    patient, _ = beside(patient, 2, Says(EngineFailed("out of memory")))
    patient, words = beside(patient, 2, Says(0.2), offset=9001)
    assert "target lesions measure" in kinds(words, Recommendation)[0].models[0].text
    _, words = beside(patient, 2, Says(EngineFailed("out of memory")), offset=9002)
    assert words == []


def test_of_one_version_the_last_answer_is_heard():
    patient, _ = visits(20.0, 12.0)
    for number, days in enumerate((42.0, 84.0, 63.0)):
        evidence = consult(final(patient, 2), Says(0.2), days)
        patient, _ = told([evidence], patient, first_offset=9000 + number)
        (heard,) = [r.models for r in patient.recommendations.values() if r.models]
        assert f"in {days:.0f} days" in heard[0].text


def test_however_many_questions_there_were_the_last_one_is_answered():
    """A rebuild folds all evidence before the actions that led to it."""
    events = series({"a": (A, 20.0)}, images=8)
    entered = [
        act("therapy", number=n, therapy=Therapy(plan=f"p{n}", start=START + timedelta(days=n)))
        for n in range(24)
    ]
    patient, asked = told(events)[0], []
    for number, therapy in enumerate(entered):
        patient, _ = told([therapy], patient, first_offset=number)
        asked.append(consult(final(patient, 1), Says(0.2), 42.0))
    rebuilt, _ = told([*events, *asked])
    rebuilt, _ = told(entered, rebuilt)
    (heard,) = [r.models for r in rebuilt.recommendations.values() if r.models]
    assert heard[0].evidence_id == asked[-1].id
