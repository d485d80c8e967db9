"""Plans compared: the engine's answer, a lesion's picture, and what is named to whom."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
from support.folding import final, kinds, told
from support.phantoms import chest_hu, dataset, part10
from support.records import START, act, series
from support.visits import A, visits

from engines.card import Accepted, EffectSpec, InputSpec
from engines.effects import SIDE, PlanEffects, lesion_view
from engines.errors import EngineFailed, NotForecastable
from engines.loading import load_effects, load_forecaster
from stream.comparing import PlanAdviser
from stream.consult import consult
from stream.forecasting import ForecastAdviser
from stream.lesion_pixels import cut
from stream.plans import Plan
from stream.policies import choose
from training.luna import read_hu, read_slices
from wire.errors import FrameError
from wire.frame import attributes_of
from wire.part10 import parse
from wire.records import Recommendation, Therapy

SPEC = EffectSpec(
    plans=("a", "b", "c"),
    days=84.0,
    low=(-0.2, -0.3, -0.1),
    high=(0.2, 0.3, 0.1),
    noise=0.09,
    strangest=2.0,
)
CARD = load_forecaster("response").card.model_copy(
    update={
        "name": "effect",
        "task": "effect",
        "simulated": True,
        "forecast": None,
        "effect": SPEC,
        "accepted": Accepted(modalities=("CT",), sop_class_uids=(), body_parts=()),
        "input": InputSpec(
            shape=(-1, SIDE, SIDE, 1), axes="NHWC", spacing_mm=1.0, hu_window=(-1000.0, 400.0)
        ),
    }
)
VIEW = np.zeros((SIDE, SIDE), dtype=np.float32)


@dataclass
class Network:
    """A model that answers what it is told to."""

    effect: tuple[float, ...] = (-0.1, -0.3, 0.1)
    strangeness: float = 1.0
    input_shape: tuple[int, ...] = (-1, SIDE, SIDE, 1)
    asked: list[object] = field(default_factory=list)

    def run(self, views):
        self.asked.append(views)
        return {
            "effect": np.asarray([self.effect], dtype=np.float32),
            "strangeness": np.asarray([self.strangeness], dtype=np.float32),
        }

    def close(self):
        pass


def adviser(*effect, plans=(), strangeness=1.0, view=None):
    network = Network(effect or (-0.1, -0.3, 0.1), strangeness)
    engine = PlanEffects(CARD, network)
    return PlanAdviser(engine, plans, view or (lambda lesion, sheet: VIEW))


def plan(code, **more):
    return Plan(code=code, name=f"Plan {code.upper()}", **more)


# -- the engine ---------------------------------------------------------------------------------


def test_the_best_plan_comes_first_with_its_interval():
    best, *others = PlanEffects(CARD, Network()).effects(VIEW)
    assert (best.plan, [one.plan for one in others]) == ("b", ["a", "c"])
    assert (best.change, best.low, best.high) == pytest.approx((-0.3, -0.6, 0.0), abs=1e-6)


def test_no_lesion_shrinks_by_more_than_all_of_it():
    best, *_ = PlanEffects(CARD, Network((-0.1, -0.9, 0.1))).effects(VIEW)
    assert best.low == -1.0


def test_a_strange_picture_is_not_answered():
    with pytest.raises(NotForecastable, match="unlike"):
        PlanEffects(CARD, Network(strangeness=2.1)).effects(VIEW)


@pytest.mark.parametrize("effect", [(0.1, 0.2), (0.1, 0.2, float("nan"))])
def test_an_answer_that_is_none_is_the_engines_failure(effect):
    with pytest.raises(EngineFailed):
        PlanEffects(CARD, Network(effect)).effects(VIEW)


def test_card_and_network_must_fit():
    with pytest.raises(EngineFailed):
        PlanEffects(CARD, Network(input_shape=(-1, 16, 16, 1)))
    with pytest.raises(EngineFailed):
        PlanEffects(CARD.model_copy(update={"effect": None}), Network())
    with pytest.raises(ValueError, match="one number for each plan"):
        EffectSpec(**(SPEC.model_dump() | {"low": (0.1,)}))


# -- the picture --------------------------------------------------------------------------------


def test_a_lesion_stands_in_the_middle_of_its_picture_in_millimetres():
    hu = np.full((200, 300), -1000.0, dtype=np.float32)
    hu[90:100, 140:160] = 400.0  # 10 rows of 0.5 mm, 20 columns of 0.8 mm
    view = lesion_view(hu, (0.5, 0.8), 149.5, 94.5, (-1000.0, 400.0))
    assert view.shape == (SIDE, SIDE)
    assert view.sum() == pytest.approx(5 * 16, rel=0.02)
    rows, columns = np.nonzero(view > 0.5)
    assert np.mean(rows) == pytest.approx(15.5)
    assert np.mean(columns) == pytest.approx(15.5)


def test_what_lies_outside_the_slice_is_air():
    view = lesion_view(np.zeros((10, 10), np.float32), (1.0, 1.0), 0.0, 0.0, (-1000.0, 400.0))
    assert view[:14, :14].max() == 0.0
    assert view[20, 20] == pytest.approx(1000 / 1400)


def test_a_place_in_the_patient_is_found_again_in_the_frame():
    about = attributes_of(
        parse(
            part10(
                dataset(
                    chest_hu(3),
                    ImagePositionPatient=[-120.0, -80.0, 33.0],
                    ImageOrientationPatient=[0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
                    PixelSpacing=[0.7, 0.6],
                )
            )
        )
    )
    assert about.to_px(*about.to_mm(41.0, 17.5)) == pytest.approx((41.0, 17.5))


def test_a_picture_is_cut_out_of_a_message():
    hu = chest_hu(3, size=128)
    placed = {
        "ImagePositionPatient": [0.0, 0.0, 5.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    more = {"PatientIdentityRemoved": "YES", "PixelSpacing": [2.0, 2.0]}
    message = part10(dataset(hu, **more, **placed))
    about = attributes_of(parse(message))
    (found,) = cut(message, None, about.to_mm(60.0, 50.0), (-1000.0, 400.0))
    assert found.series_instance_uid == about.series_instance_uid
    wanted = lesion_view(hu.astype(np.float32), (2.0, 2.0), 60.0, 50.0, (-1000.0, 400.0))
    np.testing.assert_allclose(found.view, wanted, atol=1e-3)
    nowhere = part10(dataset(hu, **more))
    with pytest.raises(FrameError, match="where it lies"):
        list(cut(nowhere, None, (0.0, 0.0, 0.0), (-1000.0, 400.0)))


# -- who is told what ---------------------------------------------------------------------------


def test_the_largest_target_is_looked_at_and_every_plan_compared():
    patient, _ = visits(20.0, 16.0)
    looked = []
    one = adviser(view=lambda lesion, sheet: looked.append((lesion, sheet)) or VIEW)
    said = consult(final(patient, 2), one)
    ((lesion, sheet),) = looked
    assert (lesion.label, sheet) == ("L1", final(patient, 2))
    assert said.status == "answered"
    assert [p.code for p in said.plans] == ["b", "a", "c"]
    assert (said.simulated, said.leans) == (True, "none")
    assert said.findings == lesion.findings[:1]
    assert said.text == (
        "SIMULATED. L1 (16.0 mm), its diameter in 84 days; best b: -30% (80 %: -60% to 0%); "
        "next best a: -10% (80 %: -30% to +10%)"
    )


def test_a_plan_that_flags_speak_against_is_never_named():
    therapy = act("therapy", therapy=Therapy(plan="b", start=START, flags=("renal",)))
    patient, _ = told([therapy, *series({"a": (A, 20.0)})])
    plans = [plan("a"), plan("b", contraindications=("renal",)), plan("c")]
    said = consult(final(patient, 1), adviser(plans=plans))
    assert [p.code for p in said.plans] == ["a", "c"]
    assert "Plan B" not in said.to_json().decode()
    nothing = consult(final(patient, 1), adviser(plans=plans[1:2]))
    assert nothing.text.startswith("SIMULATED. no recommendation, because no plan")
    assert nothing.plans == ()


def test_what_was_said_before_the_site_knew_better_is_not_heard():
    therapy = act("therapy", therapy=Therapy(plan="a", start=START, flags=("renal",)))
    events = [therapy, *series({"a": (A, 20.0)})]
    patient, _ = told(events)
    old = consult(final(patient, 1), adviser())
    careful = choose(
        "longitudinal", {"plans": [plan("b", contraindications=("renal",)).model_dump()]}
    )
    patient, _ = told([*events, old], policy=careful)
    assert not any(r.models for r in patient.recommendations.values())
    patient, _ = told([*events, old])
    assert any(r.models for r in patient.recommendations.values())


def test_what_a_site_sets_makes_another_answer():
    patient, _ = visits(20.0)
    sheet, engine = final(patient, 1), load_forecaster("response")
    said = {consult(sheet, ForecastAdviser(engine, days)).id for days in (42.0, 42.0, 84.0)}
    assert len(said) == 2
    said = {consult(sheet, adviser(plans=plans)).id for plans in ([], [plan("a")])}
    assert len(said) == 2


def test_a_plan_that_may_not_be_started_yet_is_not_the_best():
    therapy = act("therapy", therapy=Therapy(plan="b", start=START - timedelta(days=5)))
    patient, _ = told([therapy, *series({"a": (A, 20.0)})])
    plans = [plan("a"), plan("b", minimum_interval_days=21)]
    said = consult(final(patient, 1), adviser(plans=plans))
    assert "best Plan A: -10%" in said.text
    assert "Plan B: -30% (80 %: -60% to 0%), not before 2026-01-17" in said.text
    assert said.text.endswith("under the plan recorded, Plan B: -30% (80 %: -60% to 0%)")


def test_plans_that_are_as_good_as_each_other_are_called_so():
    patient, _ = visits(20.0)
    assert (
        "differ by less than the noise"
        in consult(final(patient, 1), adviser(-0.3, -0.25, 0.0)).text
    )
    assert "noise" not in consult(final(patient, 1), adviser()).text


def test_where_there_is_no_answer_there_is_a_reason():
    patient, _ = visits(20.0)

    def gone(lesion, sheet):
        raise NotForecastable("the picture of L1 has expired")

    for one, why in (
        (adviser(strangeness=9.0), "unlike the lesions"),
        (adviser(view=gone), "has expired"),
        (adviser(plans=[plan("z")]), "no plan that it knows"),
    ):
        said = consult(final(patient, 1), one)
        assert said.status == "abstained"
        assert why in said.text
        assert said.text.startswith("SIMULATED. no recommendation, because ")
    other = final(patient, 1).model_copy(update={"modality": "MR"})
    assert "not made for modality MR" in consult(other, adviser()).reason
    large, _ = visits(40.0)
    assert "larger than the 32 mm" in consult(final(large, 1), adviser()).reason
    none, _ = visits(None)
    assert "no target lesion" in consult(final(none, 1), adviser()).reason


def test_a_simulated_comparison_stands_beside_the_rule_and_changes_no_word():
    patient, _ = visits(20.0, 12.0)
    before = {r.about: (r.action, r.text, r.rationale) for r in patient.recommendations.values()}
    patient, words = told([consult(final(patient, 2), adviser())], patient, first_offset=9000)
    (update,) = kinds(words, Recommendation)
    assert update.models[0].simulated
    after = {r.about: (r.action, r.text, r.rationale) for r in patient.recommendations.values()}
    assert after == before
    forecast = consult(final(patient, 2), ForecastAdviser(load_forecaster("response"), 42.0))
    _, words = told([forecast], patient, first_offset=9001)
    (update,) = kinds(words, Recommendation)
    assert [view.simulated for view in update.models] == [False, True], "the simulation comes last"


# -- the shipped engine ---------------------------------------------------------------------------


def test_the_shipped_engine_answers_for_lesions_and_not_for_what_is_none(data):
    engine = load_effects("effect")
    assert engine.card.simulated
    folder = data / "luna16-slices"
    answered = []
    for source in read_slices(folder)[:60]:
        hu = read_hu(folder, source.image)
        for nodule in source.nodules:
            view = lesion_view(hu, (1.0, 1.0), nodule.x, nodule.y, engine.card.input.window())
            answered.append(answers(engine, view))
            assert not answers(engine, 1 - view), "inverted"
    assert np.mean(answered) > 0.95
    noise = np.random.default_rng(0).uniform(0, 1, (10, SIDE, SIDE)).astype(np.float32)
    for strange in (*noise, np.zeros_like(VIEW), np.ones_like(VIEW)):
        assert not answers(engine, strange)


def answers(engine, view):
    try:
        best, *_ = engine.effects(view)
    except NotForecastable:
        return False
    assert best.low <= best.change <= best.high
    return True
