"""What `make bench` makes of its figures: a profile by parts, and the capacity model."""

import pytest

from benchmarks.speed import capacity, profile
from wire.topics import FRAMES

COSTS = capacity.Costs(
    worker_s=0.040,
    broker_s=0.004,
    patients_s=0.002,
    engine_s={1: 0.025, 2: 0.016},
    patients_rate=400.0,
    frame_bytes=300e3,
    finding_bytes=500.0,
)

CHILD = "process 7;thread (70): MainThread;_main (spawn.py:135);serve (wire/decode_child.py:46)"
MAIN = "process 3;thread (30): engine"
LOOP = "asyncio and threads"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        (
            f"{CHILD};look (stream/looking.py:85);_close (engines/lungs.py:221)",
            "lungs found and cut",
        ),
        (f"{CHILD};look (stream/looking.py:80);hash (wire/frame.py:9);x (hashlib.py:1)", "decoded"),
        (
            f"{CHILD};receive (wire/decode_channel.py:69);read (mmap.py:1)",
            "to the decoder and back",
        ),
        (f"{MAIN};work (stream/line.py:49);run (engines/onnx_runtime.py:60)", "engine"),
        (f"{MAIN};look (stream/line.py:44);unpack (wire/parcel.py:71)", "to the decoder and back"),
        (f"{MAIN};f (/x/site-packages/faust/topics.py:3);g (asyncio/futures.py:1)", "Faust"),
        (f"{MAIN};take (stream/a.py:3);send (/x/aiokafka/producer/sender.py:9)", "aiokafka"),
        (f"{MAIN};finish (stream/scoring.py:9);new (pydantic/main.py:2)", "our worker and finding"),
        (f"{MAIN};run (mode/a.py:1);_run_once (asyncio/b.py:2);feed_data (asyncio/s.py:3)", LOOP),
    ],
)
def test_a_sample_belongs_to_the_innermost_that_is_told_apart(stack: str, part: str) -> None:
    used = {30: 2.0, 70: 2.0}
    spent = profile.divided(used, [f"{stack} 3", f"{MAIN};select (selectors.py:1) 1"])
    assert spent[part] == pytest.approx(4.0 if part == LOOP else 2.0)
    assert sum(spent.values()) == pytest.approx(4.0)


def test_the_time_of_a_thread_is_divided_by_its_own_samples() -> None:
    engine, faust = f"{MAIN};run (engines/a.py:1)", f"{MAIN};f (faust/topics.py:3)"
    other = "process 3;thread (31): loop;send (aiokafka/producer.py:9)"
    spent = profile.divided({30: 4.0, 31: 1.0}, [f"{engine} 3", f"{faust} 1", f"{other} 400"])
    assert {part: s for part, s in spent.items() if s} == pytest.approx(
        {"engine": 3.0, "Faust": 1.0, "aiokafka": 1.0}
    )


def test_a_rate_is_bound_by_the_engine_or_by_the_cores() -> None:
    assert COSTS.rate(cores=8) == pytest.approx(1 / 0.025)
    assert COSTS.rate(cores=8, threads=2) == pytest.approx(1 / 0.016)
    assert COSTS.rate(cores=2, processes=4) == pytest.approx(2 / 0.044)


def test_what_scanners_need_grows_with_them_and_the_disk_is_bound_by_the_topic() -> None:
    one, many = (capacity.need(COSTS, count, fps=1.0, hours=10.0) for count in (1, 1000))
    assert many.cores == pytest.approx(1000 * one.cores)
    assert one.scoring == 1
    assert many.scoring == 32  # 1,000 frames a second by workers that are planned with 32
    assert one.disk == pytest.approx(36_000 * 300e3 * capacity.REPLICAS)
    assert one.kept_h == 24.0
    most = FRAMES.partitions * int(FRAMES.config["retention.bytes"])
    assert many.disk == most * capacity.REPLICAS
    assert many.kept_h == pytest.approx(most / (1000 * 300e3) / 3600)


def test_the_limit_that_comes_first_is_named_first() -> None:
    limits = capacity.limits(COSTS)
    assert [rate for rate, _, _ in limits] == sorted(rate for rate, _, _ in limits)
    assert "keeps less than a day" in limits[0][1]
