"""Plans of treatment as a site's data."""

from datetime import timedelta

import pytest
from support.folding import told
from support.records import START, act, series
from support.visits import A

from stream.plans import Plan, contraindicated, nameable, not_before, unknown_flags
from stream.policies import PolicyError, choose
from stream.treatment import flags_of, limits_of, treatment_of
from wire.assessment import Treatment
from wire.records import Limits, Recommendation, Therapy

CISPLATIN = Plan(
    code="cisplatin-3w", name="Cisplatin", contraindications=("renal",), minimum_interval_days=21
)
SITE = choose("longitudinal", {"plans": [CISPLATIN.model_dump()]})


def treated(*flags, **started):
    return Treatment(plan=None, start=None, flags=flags, started=started)


def test_flags_speak_against_a_plan():
    assert contraindicated(CISPLATIN, treated("frail", "renal"))
    assert not contraindicated(CISPLATIN, treated("frail"))
    assert not contraindicated(CISPLATIN, None)
    assert contraindicated(CISPLATIN, treated(" Renal")), "however it is written"
    assert unknown_flags(["Renal", "renl"], [CISPLATIN]) == ["renl"]
    assert not nameable("cisplatin-3w", [CISPLATIN], treated("renal"))
    assert nameable("another", [CISPLATIN], treated("renal"))


def test_a_plan_is_not_started_again_too_soon():
    treatment = treated(**{"cisplatin-3w": START})
    assert not_before(CISPLATIN, treatment, START + timedelta(days=20)) == START + timedelta(21)
    assert not_before(CISPLATIN, treatment, START + timedelta(days=21)) is None
    assert not_before(CISPLATIN, treated(other=START), START) is None


def test_a_flag_holds_until_it_is_withdrawn():
    first = act("therapy", number=1, therapy=Therapy(plan="cisplatin-3w", flags=("renal", "frail")))
    second = act("therapy", number=2, therapy=Therapy(plan="carbo"))
    over = act("therapy", number=3, therapy=Therapy(plan="carbo", flags_withdrawn=("RENAL",)))
    assert flags_of(told([second, first])[0].therapies) == {"renal", "frail"}
    assert flags_of(told([over, second, first])[0].therapies) == {"frail"}


def test_a_study_is_treated_with_what_came_before_the_next():
    entered = [
        act("therapy", number=number, therapy=Therapy(plan=plan, start=START + timedelta(days=day)))
        for number, (plan, day) in enumerate(
            [("cisplatin-3w", 1), ("carbo", 50), ("cisplatin-3w", 90)]
        )
    ]
    patient, _ = told(entered)
    assert treatment_of(patient.therapies, START) is None
    assert treatment_of(patient.therapies, START + timedelta(days=42)).plan == "cisplatin-3w"
    now = treatment_of(patient.therapies, None)
    assert now.start == START + timedelta(days=90)
    assert now.started == {"carbo": START + timedelta(days=50), "cisplatin-3w": now.start}


def test_a_recommendation_never_names_a_plan_that_is_contraindicated():
    therapy = act("therapy", therapy=Therapy(plan="cisplatin-3w", start=START))
    events = [therapy, *series({"a": (A, 12.0)})]
    _, said = told(events, policy=SITE)
    assert [r.plan for r in said if isinstance(r, Recommendation)] == ["cisplatin-3w"]
    flagged = act("therapy", number=1, therapy=Therapy(plan="cisplatin-3w", flags=("renal",)))
    _, said = told([flagged, *events], policy=SITE)
    named = [r for r in said if isinstance(r, Recommendation)]
    assert named
    assert not any("cisplatin-3w" in r.to_json().decode() for r in named)


@pytest.mark.parametrize(
    "plans",
    [
        [{"code": "cisplatin-3w"}],
        [{"code": "cisplatin-3w", "name": "Cisplatin", "contraindication": ["renal"]}],
        [CISPLATIN.model_dump(), CISPLATIN.model_dump()],
        [{"code": "cisplatin-3w", "name": "Cisplatin", "minimum_interval_days": -1}],
    ],
)
def test_plans_that_cannot_be_used_are_told(plans):
    with pytest.raises(PolicyError, match="plans"):
        choose("longitudinal", {"plans": plans})


def test_plans_are_part_of_the_policys_version():
    assert SITE.version != choose("longitudinal").version


def test_a_flag_holds_however_many_therapies_come_after_it():
    entered = [act("therapy", therapy=Therapy(flags=("renal",), limits=Limits(sum_mm=30.0)))]
    entered += [
        act("therapy", number=number, therapy=Therapy(plan="carbo")) for number in range(1, 90)
    ]
    patient, _ = told(entered)
    assert len(patient.therapies) == 50
    assert flags_of(patient.therapies) == {"renal"}
    assert limits_of(patient.therapies).sum_mm == 30.0


def test_a_code_is_that_of_a_plan_however_it_is_written():
    assert not nameable(" Cisplatin-3W", [CISPLATIN], treated("renal"))
    started = treated(**{"CISPLATIN-3w": START})
    assert not_before(CISPLATIN, started, START) == START + timedelta(21)
