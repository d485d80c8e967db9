"""From what is known to what is shown: a patient, and to whom."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.pretend_ward import NOW
from support.views import changed, sheet, tile, tiles, ward

from monitor import views
from wire.patient import Patient
from wire.records import Limits, Therapy

# -- who may see what -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_names_and_beds_are_for_nurses_and_clinicians(role):
    known = ward()
    everything = "".join(
        made.model_dump_json()
        for made in (
            views.ward(known, role, NOW),
            views.alarms(known, role, NOW),
            views.system(known, role, NOW),
            sheet(tiles()[0], role),
        )
    )
    for called in known.called.values():
        assert called.name not in everything
    assert all(t.who.bed is None and role in t.who.why for t in tiles(role))
    assert all(t.who.name for t in tiles("nurse") if t.who.patient_id in known.called)


def test_where_there_is_no_vault_it_is_said():
    bare = replace(ward(), called={}, names_from=None, beds_from=None)
    made = views.ward(bare, "nurse", NOW)
    assert "No vault of names" in made.names
    assert made.tiles[0].who.why == "no vault of names here"
    assert any(t.who.why == "not in the vault of names" for t in tiles())


@pytest.mark.parametrize(
    ("role", "clinical", "technical", "signs"),
    [
        ("viewer", False, False, False),
        ("nurse", True, True, False),
        ("clinician", True, True, True),
        ("operator", False, True, False),
    ],
)
def test_what_a_role_may_do(role, clinical, technical, signs):
    lines = views.alarms(ward(), role, NOW).alarms
    assert None in {line.who for line in lines}
    fresh = [line for line in lines if line.inactivation == "none"]
    for line in fresh:
        may = clinical if line.category == "clinical" else technical
        assert (line.may_acknowledge, line.may_silence) == (may, may)
    assert {line.category for line in fresh} == {"clinical", "technical"}
    assert all(said.may_sign is signs for said in sheet(tiles()[0], role).advice)


def test_what_is_acknowledged_is_not_to_be_acknowledged_again():
    lines = views.alarms(ward(), "nurse", NOW).alarms
    done = [line for line in lines if line.inactivation == "acknowledged"]
    assert done
    assert not any(line.may_acknowledge or line.may_silence for line in done)
    assert {line.by for line in done} == {"nurse 2"}


# -- the patient ----------------------------------------------------------------------------------


def test_baseline_beside_now():
    made = sheet(tile("progressive-disease", inactivation="none"))
    assert made.baseline.series_instance_uid == "1.1"
    assert made.now.series_instance_uid == "1.4"
    assert [s.series_instance_uid for s in made.studies] == ["1.1", "1.2", "1.3", "1.4"]
    assert made.studies[-1].sum_mm == made.now.sum_mm
    assert made.therapies[0].plan == "carboplatin, pemetrexed"


def test_slices_go_from_the_feet_to_the_head_and_the_likeliest_is_shown():
    now = sheet(tiles()[0]).now
    places = [one.location_mm for one in now.slices]
    assert places == sorted(places)
    assert now.slices[now.shown].probability == max(one.probability for one in now.slices)


def test_outlines_are_the_candidates_at_the_screen():
    outlined = [seen for seen in sheet(tiles()[0]).now.slices if seen.outlines]
    assert outlined
    for seen in outlined:
        known = ward().frames[seen.finding_id].outlines
        assert seen.outlines == tuple(o for o in known if o.probability >= 0.5)
        assert seen.heat


def test_faint_candidates_are_not_outlined():
    frames = {
        i: replace(
            ref,
            outlines=tuple(o.model_copy(update={"probability": 0.49}) for o in ref.outlines),
        )
        for i, ref in ward().frames.items()
    }
    made = sheet(tiles()[0], known=replace(ward(), frames=frames))
    assert not any(seen.outlines for seen in made.now.slices)


def test_expired_images_have_no_address():
    made = sheet(tiles()[0], known=replace(ward(), frames={}))
    assert made.now.slices
    assert not any(seen.image or seen.heat or seen.outlines for seen in made.now.slices)


@pytest.mark.parametrize("level", ["possible", "yes"])
@pytest.mark.parametrize("role", ["viewer", "operator", "nurse", "clinician"])
def test_who_may_not_see_names_sees_no_name_in_pixels(role, level):
    frames = {i: replace(ref, burned_in=level) for i, ref in ward().frames.items()}
    slices = sheet(tiles()[0], role, replace(ward(), frames=frames)).now.slices
    sees = role in ("nurse", "clinician")
    assert {seen.image is not None for seen in slices} == {sees}
    words = "shows a name" if level == "yes" else "may show a name"
    assert all(words in seen.note for seen in slices)
    assert all((f"not shown to the role {role}" in seen.note) != sees for seen in slices)
    clean = sheet(tiles()[0], role).now.slices
    assert all(seen.image and seen.note is None for seen in clean)


def test_an_address_is_safe_whatever_the_uid_is():
    frames = {i: replace(r, sop_instance_uid="../a b?") for i, r in ward().frames.items()}
    first = sheet(tiles()[0], known=replace(ward(), frames=frames)).now.slices[0]
    assert first.image == f"/api/frames/..%2Fa%20b%3F/1.png?finding={first.finding_id}"


def test_advice_of_the_newest_series_comes_first():
    made = sheet(tile("new-lesion"))
    assert made.advice[0].series_instance_uid == made.now.series_instance_uid
    assert [said.rule for said in made.advice[:2]] == ["held-back", "new-lesion"]
    assert not any(said.withdrawn for said in made.advice)


def test_what_was_decided_is_said_with_who_and_why():
    shown = tile("new-lesion")
    question = next(x for x in sheet(shown).advice if x.rule == "new-lesion")
    patient = ward().patients[shown.who.patient_id]
    given = {
        "action_id": question.recommendation_id,
        "actor": "dr x",
        "event_time": NOW,
        "sign_off": "rejected",
        "reason": "a vessel",
    }
    whole = Patient.model_validate(
        patient.model_dump(by_alias=True) | {"decisions": {question.recommendation_id: given}}
    )
    known = replace(ward(), patients={**ward().patients, patient.patient_id: whole})
    said = next(x for x in sheet(shown, known=known).advice if x.rule == "new-lesion")
    assert (said.decided_by, said.reason, said.decided) == ("dr x", "a vessel", NOW)


def test_other_modalities_are_no_studies_of_this_one():
    shown = tile("progressive-disease", inactivation="none")
    patient = ward().patients[shown.who.patient_id]
    other = patient.series["1.2"].model_copy(update={"modality": "MR"})
    known = changed(shown, series={**patient.series, "1.2": other})
    uids = [s.series_instance_uid for s in sheet(shown, known=known).studies]
    assert uids == ["1.1", "1.3", "1.4"]


def test_a_localizer_hides_no_study():
    shown = tile("progressive-disease", inactivation="none")
    patient = ward().patients[shown.who.patient_id]
    last = patient.series["1.4"]
    slices = {
        i: seen._replace(probability=None, marks=()) for i, seen in list(last.slices.items())[:2]
    }
    localizer = last.model_copy(
        update={
            "slices": slices,
            "assessment": None,
            "first_time": last.first_time + timedelta(minutes=1),
        }
    )
    known = changed(shown, series={**patient.series, "1.9": localizer})
    assert sheet(shown, known=known).now.series_instance_uid == "1.4"
    assert sheet(shown, known=known).tile.quality == ()


def test_therapy_without_a_start_is_still_listed():
    shown = tiles()[0]
    given = Therapy(plan="plan", flags=("frail",), limits=Limits())
    patient = ward().patients[shown.who.patient_id]
    mark = patient.therapies[0].model_copy(update={"therapy": given})
    made = sheet(shown, known=changed(shown, therapies=(mark,)))
    assert made.therapies[0].start is None
    assert made.therapies[0].flags == ("frail",)
