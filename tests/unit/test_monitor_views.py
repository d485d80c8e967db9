"""From what is known to what is shown: the ward, its alarms, the system."""

from dataclasses import replace

from support.pretend_ward import NOW
from support.views import changed, sheet, tile, tiles, ward

from monitor import views
from monitor.known import Known
from monitor.memo import Memo
from monitor.tiles import need
from wire.patient import Patient

BOTH = {"high", "low"}
SEEN = {"high": "acknowledged", "medium": "acknowledged", "low": "none"}


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
