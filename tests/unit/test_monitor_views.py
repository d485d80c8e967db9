"""From what is known to what is shown."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from support.pretend_ward import NOW, pretend_ward

from monitor import views
from monitor.known import Known
from monitor.memo import Memo
from monitor.tiles import need
from wire.patient import Patient
from wire.records import Limits, Therapy

BOTH = {"high", "low"}
SEEN = {"high": "acknowledged", "medium": "acknowledged", "low": "none"}


@cache
def ward():
    return pretend_ward(28)


def tiles(role="nurse", known=None):
    return views.ward(known or ward(), role, NOW).tiles


def tile(cause, known=None, **wanted):
    """Return the first tile with such an alarm and such values."""
    return next(
        t
        for t in tiles(known=known)
        if t.cause == cause and all(getattr(t, k) == v for k, v in wanted.items())
    )


def sheet(shown, role="clinician", known=None):
    known = known or ward()
    pid = shown.who.patient_id
    found = views.patient(known, pid, role, NOW)
    assert found is not None
    return found


def changed(shown, **update):
    """Return what is known with one patient changed."""
    pid = shown.who.patient_id
    patient = ward().patients[pid].model_copy(update=update)
    return replace(ward(), patients={**ward().patients, pid: patient})


# -- the ward -------------------------------------------------------------------------------------


def test_tiles_are_sorted_by_need():
    rank = {None: 0, "low": 1, "medium": 2, "high": 3}
    shown = tiles()
    keys = [
        (
            2 if t.priority is None else int(t.inactivation == "acknowledged"),
            -rank[t.priority],
            not t.questions,
            -(t.probability or 0),
        )
        for t in shown
    ]
    assert keys == sorted(keys)
    assert shown[0].priority == "high"
    assert shown[0].inactivation != "acknowledged"
    assert shown[-1].priority is None


def test_order_stays_when_nothing_changes():
    again = replace(ward(), patients=dict(reversed(ward().patients.items())))
    assert [t.who for t in tiles()] == [t.who for t in tiles(known=again)]


def test_a_tile_shows_what_the_newest_study_says():
    shown = tile("progressive-disease", inactivation="none")
    patient = ward().patients[shown.who.patient_id]
    last = max(patient.series.values(), key=lambda state: state.first_time).assessment
    assert (shown.response, shown.sum_mm, shown.change_percent) == (
        "PD", last.sum_mm, last.change_percent,
    )  # fmt: skip
    assert shown.probability == last.lesion_probability
    assert shown.recommendation == "intensify treatment"
    assert shown.sign_off == "needs-sign-off"
    assert shown.last_frame == ward().newest[shown.who.patient_id].received_time
    assert len(shown.trend) == len(ward().newest[shown.who.patient_id].trend)


def test_without_a_baseline_nothing_is_compared():
    first = next(t for t in tiles() if len(ward().patients[t.who.patient_id].series) == 1)
    assert first.response == "no comparison yet"
    assert first.change_percent is None
    assert sheet(first).baseline is None


def test_while_a_study_comes_in_the_one_before_is_named_so():
    coming = next(t for t in tiles() if t.stage != "final")
    assert coming.recommendation.startswith("of the study before: ")
    assert sheet(coming).now.stage != "final"


def test_a_study_that_nobody_could_look_at_is_told():
    shown = tile("slices-not-scored")
    assert shown.quality[0] == "newest study: not scored"


def test_questions_are_counted():
    assert tile("new-lesion").questions == 1


def test_a_patient_of_whom_nothing_is_known_has_an_honest_tile():
    known = Known(patients={"p-x": Patient(patient_id="p-x")})
    (shown,) = views.ward(known, "nurse", NOW).tiles
    assert (shown.probability, shown.response, shown.last_frame) == (None, None, None)
    assert shown.recommendation == ""
    assert views.patient(known, "p-x", "nurse", NOW).now is None


def test_a_patient_that_is_not_known_has_no_page():
    assert views.patient(ward(), "p-nobody", "nurse", NOW) is None


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


# -- alarms ---------------------------------------------------------------------------------------


def test_every_alarm_that_stands_is_listed_once():
    expected = {
        alarm
        for patient in ward().patients.values()
        for alarm, state in patient.alarms.items()
        if state.state != "inactive"
    } | set(ward().technical)
    listed = [line.alarm_id for line in views.alarms(ward(), "nurse", NOW).alarms]
    assert len(listed) == len(expected)
    assert set(listed) == expected


def test_acknowledged_comes_after_everything_nobody_attends_to():
    states = [
        line.inactivation == "acknowledged" for line in views.alarms(ward(), "nurse", NOW).alarms
    ]
    assert states == sorted(states)


def test_a_tile_shows_the_highest_alarm_though_it_is_acknowledged():
    """Beside it an alarm waits that nobody has seen: the patient comes before all attended to."""
    known = ward()
    name, patient = next(
        (n, p) for n, p in known.patients.items() if {a.priority for a in p.alarms.values()} >= BOTH
    )
    alarms = {
        alarm_id: alarm.model_copy(
            update={"state": "active", "inactivation": SEEN[alarm.priority], "paused_until": None}
        )
        for alarm_id, alarm in patient.alarms.items()
    }
    changed = patient.model_copy(update={"alarms": alarms})
    shown = views.ward(replace(known, patients={name: changed}), "nurse", NOW).tiles[0]
    assert (shown.priority, shown.inactivation) == ("high", "acknowledged")
    assert shown.unattended == sum(alarm.priority == "low" for alarm in alarms.values()) > 0
    assert need(shown) < need(shown.model_copy(update={"unattended": 0}))


def test_the_oldest_of_a_priority_comes_first():
    lines = views.alarms(ward(), "nurse", NOW).alarms
    high = [x.since for x in lines if x.priority == "high" and x.inactivation == "none"]
    assert len(high) > 1
    assert high == sorted(high)


def test_a_pause_that_is_over_is_over_though_nobody_says_so():
    """The worker that ends pauses may stand still: the page sounds all the same."""
    paused = [
        x for x in views.alarms(ward(), "nurse", NOW).alarms if x.inactivation == "audio-paused"
    ]
    until = max(x.paused_until for x in paused)
    later = views.alarms(ward(), "nurse", until)
    assert not [x for x in later.alarms if x.inactivation == "audio-paused"]
    assert later.bar.paused == ()


def test_the_bar_counts_what_nobody_acknowledged():
    made = views.alarms(ward(), "nurse", NOW)
    fresh = [x for x in made.alarms if x.inactivation != "acknowledged"]
    assert (made.bar.high, made.bar.medium, made.bar.low) == tuple(
        sum(x.priority == name for x in fresh) for name in ("high", "medium", "low")
    )
    assert made.bar.acknowledged == len(made.alarms) - len(fresh)
    assert made.bar.foremost == made.alarms[0]
    assert made.bar.loud == "high"


def test_paused_and_acknowledged_alarms_make_no_sound():
    quiet = {
        pid: patient
        for pid, patient in ward().patients.items()
        if patient.alarms
        and all(a.inactivation != "none" for a in patient.alarms.values() if a.state != "inactive")
    }
    bar = views.ward(replace(ward(), patients=quiet, technical={}), "nurse", NOW).bar
    assert quiet
    assert bar.loud is None
    assert {pause.priority for pause in bar.paused} == {"high", "low"}


def test_all_views_say_the_same_of_all_alarms():
    known = ward()
    bars = {
        views.ward(known, "nurse", NOW).bar,
        views.alarms(known, "nurse", NOW).bar,
        views.system(known, "nurse", NOW).bar,
        sheet(tiles()[0], "nurse").bar,
    }
    assert len(bars) == 1
    assert bars.pop().blind == tuple(alert.text for alert in known.technical.values())


def test_history_is_the_newest_first_and_bounded():
    said = views.alarms(ward(), "nurse", NOW).history
    assert [x.offset for x in said] == sorted((x.offset for x in said), reverse=True)
    many = replace(ward(), history=ward().history * 40)
    assert len(views.alarms(many, "nurse", NOW).history) == views.HISTORY_SHOWN


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


# -- the system, and what is remembered -----------------------------------------------------------


def test_the_system_view_has_the_flow_and_the_checks():
    made = views.system(ward(), "operator", NOW)
    assert [(w.name, w.lag, w.members) for w in made.workers] == [
        ("patients", 0, 1), ("scoring", 1204, 2),
    ]  # fmt: skip
    assert [check.ok for check in made.checks] == [True, None]
    assert made.letters[0].place == "frames/3@1207"
    assert made.shadows[0].disagreed == 37


def test_before_the_first_heartbeat_nothing_is_made_up():
    made = views.system(Known(), "operator", NOW)
    assert (made.heartbeat, made.newest_frame, made.delay_p50_ms) == (None, None, None)
    assert (made.broker, made.cache) == ("unknown", "unknown")
    assert made.bar.heartbeat is None


def test_a_changed_patient_is_shown_changed():
    shown = tiles()[0]
    assert tile(shown.cause).probability == shown.probability
    made = views.ward(changed(shown, series={}), "nurse", NOW).tiles
    again = next(t for t in made if t.who.patient_id == shown.who.patient_id)
    assert again.probability is None


def test_memo_makes_again_what_is_another_and_forgets_the_oldest():
    made = []
    memo = Memo[int](most=2)

    def make(thing):
        made.append(thing)
        return len(made)

    one, two = [1], [1]
    assert [memo.get("a", make, one), memo.get("a", make, one)] == [1, 1]
    assert memo.get("a", make, two) == 2  # equal, and not the same
    memo.get("b", make, one)
    memo.get("c", make, one)
    assert memo.get("a", make, two) == 5
