"""In which order files are replayed, and when: no clock, nothing is sent."""

import random
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.phantoms import chest_hu, dataset, part10
from typer.testing import CliRunner

from lesionstream import cli
from producers.acquisition import acquired, times_of
from producers.order import Acquired, as_acquired, shuffled
from producers.pace import AsScheduled
from producers.sources import find

pytestmark = pytest.mark.filterwarnings("ignore")

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def at(seconds, *offsets):
    return Acquired(NOON + timedelta(seconds=seconds), offsets)


def test_files_go_in_the_order_and_with_the_gaps_of_the_device():
    schedule = as_acquired([at(60), at(0), at(90, 0.0, 0.5)])
    assert schedule.order == (1, 0, 2)
    assert schedule.moments_s == ((0.0,), (60.0,), (90.0, 90.5))
    assert (schedule.duration_s, schedule.longest_gap_s) == (90.5, 60)
    assert schedule.due_s(2, 1) == schedule.due_s(2, 7) == 90.5


def test_speed_divides_the_gaps():
    assert as_acquired([at(0), at(60, 0.0, 4.0)], 8).moments_s == ((0.0,), (7.5, 8.0))


def test_what_has_no_time_goes_with_its_neighbour():
    schedule = as_acquired([Acquired(), at(60), Acquired(), at(0), Acquired()])
    assert schedule.order == (0, 3, 4, 1, 2)
    assert [moments[0] for moments in schedule.moments_s] == [0, 0, 0, 60, 60]
    assert as_acquired([Acquired(), Acquired()]).order == (0, 1)
    assert as_acquired([]).duration_s == 0


def test_files_of_one_moment_keep_their_order():
    assert as_acquired([at(5), at(5), at(0), at(5)]).order == (2, 0, 1, 3)


class Clock:
    """A clock that sleeping moves on."""

    def __init__(self):
        self.now_s, self.slept = 1000.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds


def test_each_frame_passes_when_it_is_due():
    clock = Clock()
    schedule = as_acquired([at(0), at(10), at(12), at(20)])
    pace = AsScheduled(schedule, lambda: clock.now_s, clock.sleep)
    pace.wait(0, 0)
    pace.wait(1, 0)
    clock.now_s += 5  # the broker was slow
    pace.wait(2, 0)  # late: at once
    pace.wait(3, 0)  # and no other one is late for it
    assert clock.slept == [10, 5]


def test_a_wrong_date_is_no_error():
    clock = Clock()
    schedule = as_acquired([Acquired(NOON.replace(year=1200)), at(0)])
    pace = AsScheduled(schedule, lambda: clock.now_s, clock.sleep)
    pace._began_s = clock.now_s
    clock.now_s += schedule.duration_s - 4000
    pace.wait(1, 0)
    assert clock.slept == [3600, 400]


def test_the_same_seed_gives_the_same_order():
    files = list(range(50))
    one, two, other = (shuffled(files, random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != other
    assert sorted(one) == sorted(other) == files
    chance = random.Random(1)
    assert shuffled(files, chance) != shuffled(files, chance), "each round has its own"


def header(**attributes):
    ds = Dataset()
    ds.AcquisitionDate, ds.AcquisitionTime = "20240102", "120000"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def frame(stamp):
    group, content = Dataset(), Dataset()
    content.FrameAcquisitionDateTime = stamp
    group.FrameContentSequence = Sequence([content])
    return group


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, at(0, 0.0)),
        ({"NumberOfFrames": 3, "FrameTime": "40"}, at(0, 0.0, 0.04, 0.08)),
        ({"NumberOfFrames": 3, "FrameTimeVector": ["0", "40", "80"]}, at(0, 0.0, 0.04, 0.12)),
        ({"NumberOfFrames": 3, "FrameTime": "1e300"}, at(0)),
        ({"NumberOfFrames": 3, "FrameTime": "-5"}, at(0)),
        ({"AcquisitionDate": "nonsense", "AcquisitionTime": ""}, Acquired(None, (0.0,))),
    ],
)
def test_what_a_header_says(attributes, expected):
    found = acquired(header(**attributes))
    assert found.start == expected.start
    assert found.offsets_s == pytest.approx(expected.offsets_s)


def test_frames_that_say_their_own_time():
    stamps = ["20240102120010", "20240102120005", "20240102120020"]
    found = acquired(header(PerFrameFunctionalGroupsSequence=Sequence(map(frame, stamps))))
    assert found == at(5, 5.0, 0.0, 15.0)
    some = acquired(header(PerFrameFunctionalGroupsSequence=Sequence(map(frame, [*stamps, ""]))))
    assert some.start == NOON


def test_a_claim_of_frames_takes_no_memory():
    assert len(acquired(header(NumberOfFrames=2**31 - 1, FrameTime="1")).offsets_s) == 100_000


def test_times_are_read_from_files_and_archives_whatever_is_in_them(tmp_path):
    data = part10(dataset(chest_hu(0, size=8), AcquisitionDate="20240102", AcquisitionTime="1201"))
    (tmp_path / "a.dcm").write_bytes(data)
    (tmp_path / "broken.dcm").write_bytes(data[:200])
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("x", data)
    told = []
    found = times_of(find([tmp_path]), lambda: told.append(1))
    assert [one.start for one in found] == [at(60).start, None, at(60).start]
    assert len(told) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--as-acquired", "--shuffle"], "two orders"),
        (["--as-acquired", "--fps", "5"], "--speed instead of --fps"),
        (["--seed", "1"], "--seed is for --shuffle"),
        (["--speed", "2"], "--speed is for --as-acquired"),
        (["--as-acquired", "--speed", "0"], "speed"),
    ],
)
def test_options_that_contradict_each_other_are_refused(words, told):
    result = CliRunner().invoke(cli.app, ["replay", "nowhere", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert told in result.output
