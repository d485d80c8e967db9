"""How old what waits is, from what a broker says of moments; no broker."""

from datetime import UTC, datetime, timedelta

import pytest
from kafka import TopicPartition

from wire.groups import STEPS, _oldest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """Partitions as the ages of their messages, s, oldest first."""

    def __init__(self, *ages_s):
        self.times = [[NOW - timedelta(seconds=age) for age in ages] for ages in ages_s]
        self.asked = 0

    def first_since(self, moments):
        self.asked += 1
        return {
            place: next(
                ((n, time) for n, time in enumerate(self.times[place.partition]) if time >= when),
                None,
            )
            for place, when in moments.items()
        }

    def oldest_s(self, **waiting):
        places = {TopicPartition("t", int(p[1:])): offset for p, offset in waiting.items()}
        oldest = _oldest(places, self.first_since, NOW)
        return None if oldest is None else (NOW - oldest).total_seconds()


@pytest.mark.parametrize("age_s", [0.6, 3, 47, 600, 80_000])
def test_the_age_of_one_that_waits_is_known_to_a_tenth(age_s):
    ages = [age_s * 1.001, age_s, age_s * 0.999, age_s * 0.998]
    log = Log(ages)
    assert log.oldest_s(p0=1) == pytest.approx(age_s, rel=0.1)
    assert log.asked <= STEPS


def test_a_lone_message_is_known_exactly_and_soon():
    log = Log([700.0])
    assert log.oldest_s(p0=0) == 700.0
    assert log.asked <= 2


def test_a_clock_that_runs_ahead_makes_the_age_unknown_not_small():
    log = Log([900, -3600, 700, 600, 500])
    assert log.oldest_s(p0=3) is None


def test_of_all_partitions_the_oldest_counts():
    log = Log([90_000, 5], [3000, 4, 3], [2])
    assert log.oldest_s(p0=1, p1=0, p2=0) == 3000
    assert log.oldest_s(p0=1, p1=1, p2=0) == pytest.approx(5, rel=0.1)


def test_where_nothing_waits_nothing_is_asked():
    log = Log([5])
    assert log.oldest_s() is None
    assert log.asked == 0
