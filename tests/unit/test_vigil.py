"""When the watchdog alarms, and when it is over: looks in, alerts out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.causes import (
    CATCH_UP_S,
    CAUSES,
    FEW_MESSAGES,
    MANY_LETTERS,
    MEASURED_S,
    STILL_S,
)
from monitor.symptoms import Seen, WorkerSeen
from monitor.vigil import PAUSE, Vigil, answered, heartbeat, look, resumed
from wire.groups import GroupState
from wire.records import Action, Alert, EngineCheck, Heartbeat
from wire.topics import INPUT

START = datetime(2026, 1, 1, tzinfo=UTC)
IDLE = GroupState(lag={0: 0, 1: 0}, members=1, stable=True, done={0: 5, 1: 5})
UNUSED = GroupState(lag={0: 0, 1: 0}, members=0, stable=False, done={0: 0, 1: 0})
NOBODY = GroupState(lag={0: 3, 1: 0}, members=0, stable=False, done={0: 5, 1: 5})
CHECKED = EngineCheck(name="lesion", version="1.0.0", ok=True, detail="as known", checked=START)
WELL = WorkerSeen("scoring@here-1", ready=True, check=CHECKED)


def seen(second, **changes):
    found = {
        "now": START + timedelta(seconds=second),
        "broker": "ok",
        "cache": "ok",
        "groups": {
            "scoring": IDLE,
            "scoring-stat": UNUSED,
            "patients": IDLE,
            "models": UNUSED,
        },
        "workers": (WELL,),
        "letters": 0,
    }
    return Seen(**(found | changes))


def watched(looks, vigil=None):
    """Take looks, one a second; return the vigil and (second, alert) of all that was said."""
    vigil, said = vigil or Vigil(), []
    for second, changes in enumerate(looks):
        vigil, alerts = look(vigil, seen(second, **changes))
        said += [(second, alert) for alert in alerts]
    return vigil, said


def scoring(group):
    return {"groups": {"scoring": group, "patients": IDLE}}


def urgent(group):
    return {"groups": {"scoring": IDLE, "scoring-stat": group, "patients": IDLE}}


def models(group):
    return {"groups": {"scoring": IDLE, "patients": IDLE, "models": group}}


def words(said):
    return [(alert.cause, alert.phase) for _, alert in said]


def test_nothing_is_said_while_all_is_well():
    vigil, said = watched([{}] * 120)
    assert said == []
    beat = heartbeat(vigil, seen(120))
    assert beat.alarms == ()
    assert (beat.lag, beat.members) == (
        {"scoring": 0, "patients": 0},
        {"scoring": 1, "patients": 1},
    )
    assert beat.engines == (CHECKED,)


CASES = {
    "broker-away": {"broker": "away"},
    "cache-away": {"cache": "away"},
    "scoring-nobody": scoring(NOBODY),
    "scoring-stat-nobody": urgent(NOBODY),
    "scoring-stat-still": urgent(GroupState({0: 3, 1: 0}, 2, True, {0: 5, 1: 9})),
    "patients-nobody": {"groups": {"scoring": IDLE, "patients": NOBODY}},
    "models-nobody": models(replace(NOBODY, begun=True)),
    "models-still": models(GroupState({0: 3, 1: 0}, 2, True, {0: 5, 1: 9})),
    "scoring-still": scoring(GroupState({0: 3, 1: 0}, 2, True, {0: 5, 1: 9})),
    "engine-wrong": {
        "workers": (
            WorkerSeen("s", False, "check", CHECKED.model_copy(update={"ok": False})),
        )
    },
    "worker-not-ready": {"workers": (WELL, WorkerSeen("s", None, "no answer"))},
    "engine-unseen": {"workers": (WorkerSeen("patients@here-2", True),)},
    "frames-stopped": {"quiet_s": 60.0, "newest_frame": START - timedelta(minutes=2)},
    "dead-letters": {"letters": MANY_LETTERS + 1},
}  # fmt: skip


@pytest.mark.parametrize("cause", CASES)
def test_a_cause_starts_one_alarm_and_ends_it(cause):
    ill = [CASES[cause]] * 100
    vigil, said = watched([{}] * 10 + ill)
    assert words(said) == [(cause, "start")]
    ((second, alarm),) = said
    late = STILL_S if cause.endswith("still") else 0
    assert second - 9 <= CAUSES[cause].needed + late + 1
    assert (alarm.category, alarm.priority) == ("technical", CAUSES[cause].priority)
    assert alarm.patient_id is None
    assert alarm.text.endswith(CAUSES[cause].remedy)
    assert alarm.alarm_id == alarm.id
    assert heartbeat(vigil, seen(200)).alarms == (alarm,)

    _, later = watched([{}] * 10 + ill + [{}] * 40)
    assert words(later) == [(cause, "start"), (cause, "end")]
    over = later[-1][1]
    assert over.alarm_id == alarm.id
    assert over.id != alarm.id
    assert over.state == "inactive"
    assert over.text.startswith(f"Over after {later[-1][0] - second} s: ")
    assert later[-1][0] - 110 + 1 == CAUSES[cause].over


def test_a_stack_may_do_without_models():
    """Their input is there all the same: only one that has worked is missed."""
    _, said = watched([models(NOBODY)] * 100)
    assert said == []


def test_every_cause_is_tried():
    later = {"patients-still"} | {f"{worker}-behind" for worker in INPUT}
    assert CASES.keys() | later == CAUSES.keys()


def test_what_is_not_known_neither_starts_nor_ends_an_alarm():
    blind = {
        "broker": "unknown", "cache": "unknown", "groups": {}, "workers": None, "letters": None,
    }  # fmt: skip
    _, said = watched([blind] * 100)
    assert said == []
    for cause, ill in CASES.items():
        vigil, said = watched([ill] * 100 + [blind | {"quiet_s": 60.0}] * 100)
        assert words(said) == [(cause, "start")]
        beat = heartbeat(vigil, seen(200, **blind))
        assert {"scoring", "patients"} <= beat.lag.keys()
        assert set(beat.lag.values()) == set(beat.oldest_waiting_s.values()) == {None}


def test_a_worker_that_is_slow_stands_not_still():
    """Each partition moves now and then; one message was done on each within `STILL_S`."""

    def group(second):
        done = second // 20
        return scoring(GroupState({0: 9, 1: 9}, 1, True, {0: done, 1: done}))

    assert watched([group(second) for second in range(200)])[1] == []


def test_after_an_outage_partitions_are_watched_anew():
    waits = scoring(GroupState({0: 3, 1: 0}, 2, True, {0: 5, 1: 9}))
    away = {"groups": {}, "broker": "away"}
    _, said = watched([waits] * 20 + [away] * 60 + [waits] * 20)
    assert words(said) == [("broker-away", "start"), ("broker-away", "end")]


def test_a_clock_that_is_set_alarms_nobody():
    waits = scoring(GroupState({0: 3, 1: 0}, 2, True, {0: 5, 1: 9}))
    vigil, _ = watched([waits] * 10)
    for hour in (3600, -3600):
        vigil, alerts = look(vigil, seen(hour, **waits))
        assert alerts == ()


def test_more_comes_than_is_done():
    """Twice as much as one does: told before a minute's work waits for ten."""

    def group(second, incoming, speed=10):
        lag = (incoming - speed) * second
        return scoring(GroupState({0: lag, 1: 0}, 1, True, {0: speed * second, 1: 0}))

    _, said = watched([group(second, 30) for second in range(120)])
    assert words(said) == [("scoring-behind", "start")]
    assert said[0][0] <= MEASURED_S + CAUSES["scoring-behind"].among + 1
    assert "10.0 a second" in said[0][1].text
    assert "worker scoring" in said[0][1].text
    _, said = watched([group(second, 12) for second in range(200)])
    assert said == [], "12 a second come, 10 are done: what waits is done within the minute"


def test_a_backlog_that_is_being_done_alarms_nobody():
    def group(second):
        return scoring(GroupState({0: 5000 - 10 * second}, 1, True, {0: 10 * second}))

    assert watched([group(second) for second in range(200)])[1] == []


def test_a_backlog_that_is_hours_old_is_said_though_it_shrinks():
    def group(second):
        lag = 72_000 - second // 10
        return scoring(GroupState({0: lag}, 1, True, {0: 10 * second}, START - timedelta(hours=2)))

    _, said = watched([group(second) for second in range(200)])
    assert words(said) == [("scoring-behind", "start")]


def test_a_burst_after_idle_time_is_measured_by_what_is_done_since():
    """Ten a second are done: 500 that came at once are done within the minute, 2000 are not."""

    def group(second, burst):
        waits = 0 if second < 60 else max(0, burst - 10 * (second - 60))
        done = 0 if second < 60 else burst - waits
        return scoring(GroupState({0: waits}, 1, True, {0: done}))

    for burst in (500, 2000):
        assert watched([group(second, burst) for second in range(300)])[1] == []


def test_an_overload_says_how_late_it_is_and_ends_after_the_burst():
    def group(second):
        waits = min(second, 100) * 20 - max(0, second - 100) * 10
        oldest = START + timedelta(seconds=second / 3)
        return scoring(GroupState({0: waits}, 1, True, {0: 10 * second}, oldest))

    vigil, said = watched([group(second) for second in range(200)])
    assert words(said) == [("scoring-behind", "start"), ("scoring-behind", "end")]
    began, alarm = said[0]
    assert began <= MEASURED_S + CAUSES["scoring-behind"].among + 2
    assert "who do 10.0 a second" in alarm.text
    assert f"for {began * 2 / 3:.0f} s." in alarm.text
    assert said[1][0] <= 100 + 2 * MEASURED_S + CAUSES["scoring-behind"].over
    beat = heartbeat(vigil, seen(150, **group(150)))
    assert beat.oldest_waiting_s == {"scoring": 100.0, "patients": 0.0}


def test_where_more_workers_would_have_nothing_to_do_they_are_not_asked_for():
    def group(second, members):
        return scoring(GroupState({0: 10 * second, 1: 0}, members, True, {0: 9 * second, 1: 0}))

    for members, advice in ((1, "Add workers"), (2, "as many workers as partitions")):
        _, said = watched([group(second, members) for second in range(120)])
        assert words(said) == [("scoring-behind", "start")]
        assert advice in said[0][1].text


def test_urgent_series_are_missed_only_where_there_are_some():
    vigil, said = watched([urgent(UNUSED)] * 100)
    assert said == []
    assert heartbeat(vigil, seen(100, **urgent(UNUSED))).lag.keys() == {"scoring", "patients"}
    done = GroupState({0: 0, 1: 0}, 0, False, {0: 5, 1: 0})
    vigil, said = watched([urgent(done)] * 100)
    assert said == [], "its worker went, and nothing waits for it"
    beat = heartbeat(vigil, seen(100, **urgent(done)))
    assert (beat.lag["scoring-stat"], beat.members["scoring-stat"]) == (0, 0)
    assert heartbeat(vigil, seen(101, groups={})).lag["scoring-stat"] is None
    vigil, said = watched([urgent(NOBODY)] * 20 + [urgent(UNUSED)] * 20)
    assert words(said) == [("scoring-stat-nobody", "start"), ("scoring-stat-nobody", "end")]


def test_few_messages_are_never_too_many():
    def group(second):
        return scoring(GroupState({0: FEW_MESSAGES}, 1, True, {0: second // 10}))

    assert CATCH_UP_S * 0.1 < FEW_MESSAGES
    assert watched([group(second) for second in range(100)])[1] == []


def test_a_second_worker_that_fails_is_told():
    one, two = (WorkerSeen(f"scoring@here-{n}", None, "no answer") for n in (1, 2))
    vigil, said = watched([{"workers": (one, WELL)}] * 30 + [{"workers": (one, two)}] * 30)
    assert words(said)[:2] == [("worker-not-ready", "start"), ("worker-not-ready", "update")]
    assert "here-1" in said[1][1].text
    assert "here-2" in said[1][1].text
    assert said[1][1].alarm_id == said[0][1].id
    assert vigil.standing["worker-not-ready"] == said[1][1]


def test_a_worker_that_does_not_answer_says_nothing_of_its_engine():
    silent = WorkerSeen(WELL.name, None, "no answer")
    vigil, _ = watched([{}, {"workers": (silent,)}])
    (check,) = heartbeat(vigil, seen(2, workers=(silent,))).engines
    assert (check.name, check.ok, check.checked) == ("lesion", None, START)
    vigil, _ = look(vigil, seen(3, workers=()))
    assert heartbeat(vigil, seen(3, workers=())).engines == ()


def test_of_two_workers_with_one_engine_the_worse_is_told():
    ill = WorkerSeen("z", False, "", CHECKED.model_copy(update={"ok": False}))
    both = {"workers": (WELL, ill)}
    vigil, _ = watched([both])
    (check,) = heartbeat(vigil, seen(1, **both)).engines
    assert check.ok is False


def act(what, about, minute=0.0, until=None):
    return Action(
        id=UUID(int=1), action=what, patient_id=None, about=about, actor="operator",
        event_time=START + timedelta(minutes=minute), until=until,
    )  # fmt: skip


def test_an_alarm_is_acknowledged_and_ends_nevertheless():
    vigil, said = watched([CASES["cache-away"]] * 10)
    alarm = said[0][1]
    vigil, alerts = answered(vigil, act("acknowledge", alarm.id), START)
    (told,) = alerts
    assert (told.phase, told.inactivation, told.state) == ("update", "acknowledged", "active")
    assert answered(vigil, act("acknowledge", alarm.id), START)[1] == (), "once"
    assert heartbeat(vigil, seen(10)).alarms == (told,)
    _, said = watched([{}] * 10, vigil)
    assert words(said) == [("cache-away", "end")]


def test_a_silence_ends():
    vigil, said = watched([CASES["cache-away"]] * 10)
    about = said[0][1].id
    vigil, (told,) = answered(vigil, act("silence", about), START)
    assert (told.inactivation, told.paused_until) == ("audio-paused", START + PAUSE)
    assert answered(vigil, act("silence", about), START + 2 * PAUSE)[1] == (), "long over"
    ill = [CASES["cache-away"]] * 150
    vigil, said = watched(ill, vigil)
    assert [(s, a.phase, a.inactivation) for s, a in said] == [(120, "update", "none")]


def test_actions_about_others_change_nothing():
    vigil, _ = watched([CASES["cache-away"]] * 10)
    assert answered(vigil, act("acknowledge", UUID(int=9)), START) == (vigil, ())


LOOKS = st.lists(
    st.builds(
        lambda *parts: {k: v for part in parts for k, v in part.items()},
        st.sampled_from([{}, {"cache": "away"}, {"cache": "unknown"}]),
        st.sampled_from([{}, {"letters": 99}, {"letters": None}]),
        st.sampled_from([{}, {"workers": None}, CASES["worker-not-ready"]]),
    ),
    max_size=120,
)


@given(looks=LOOKS, cut=st.integers(0, 120))
def test_alarms_start_and_end_in_turn_and_a_restart_repeats_none(looks, cut):
    """Whatever is seen: no alarm starts twice or is left standing, restarted or not."""
    vigil, log = Vigil(), []
    for second, changes in enumerate(looks):
        if second == cut:
            vigil = resumed(log)
        now = seen(second, **changes)
        before = {alarm.alarm_id for alarm in vigil.standing.values()}
        vigil, alerts = look(vigil, now)
        for alert in alerts:
            assert (alert.alarm_id in before) == (alert.phase != "start")
        log += [*alerts, heartbeat(vigil, now)]
    phases = {}
    for alert in (record for record in log if isinstance(record, Alert)):
        phases.setdefault(alert.cause, []).append(alert.phase)
    for said in phases.values():
        turns = [phase for phase in said if phase != "update"]
        assert turns == ["start", "end"] * (len(turns) // 2) + ["start"] * (len(turns) % 2)
    standing = {cause for cause, said in phases.items() if said[-1] != "end"}
    assert standing == set(vigil.standing)
    assert resumed(log).standing == dict(vigil.standing)
    assert len({r.id for r in log}) == len(log)


def test_a_restart_reads_what_was_said_after_the_last_heartbeat():
    """Killed between an alarm and the heartbeat that lists it."""
    vigil, said = watched([CASES["cache-away"]] * 10)
    start = said[0][1]
    empty = heartbeat(Vigil(), seen(0))
    assert isinstance(empty, Heartbeat)
    assert resumed([empty, start]).standing == {"cache-away": start}
    _, later = watched([{}] * 10, vigil)
    assert resumed([empty, start, later[0][1]]).standing == {}


def test_an_alarm_of_an_unknown_cause_ends():
    old = watched([CASES["cache-away"]] * 10)[1][0][1].model_copy(update={"cause": "of before"})
    _, said = watched([{}], resumed([old]))
    assert words(said) == [("of before", "end")]
