"""What every engine promises, run on every implementation there is."""

from abc import ABC, abstractmethod

import cv2
import numpy as np
import pytest

from engines import CtSlice, Engine, EngineFailed, NotScorable, cuda, load_engine
from engines.on_gpu import GpuOptions
from engines.plan_store import PlanStore


def chest(seed, spacing=1.4):
    """Draw a chest with two lungs, vessels and noise that differ by `seed`."""
    rng = np.random.default_rng(seed)
    hu = np.full((256, 256), -1000.0, dtype=np.float32)
    cv2.ellipse(hu, (128, 128), (114, 80), 0, 0, 360, 40.0, -1)
    for x in (78, 178):
        cv2.ellipse(hu, (x, 128), (36, 53), 0, 0, 360, -850.0, -1)
    for _ in range(12):
        x, y = int(rng.integers(50, 200)), int(rng.integers(90, 160))
        cv2.circle(hu, (x, y), int(rng.integers(1, 6)), float(rng.uniform(-200, 200)), -1)
    hu += rng.normal(0, 25, hu.shape).astype(np.float32)
    return CtSlice(hu, (spacing, spacing))


class EngineContract(ABC):
    """Derive, and say how your engine is loaded."""

    @staticmethod
    @abstractmethod
    def load() -> Engine:
        """Load a new instance."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        engine = cls.load()
        yield engine
        engine.close()

    def test_is_an_engine(self, engine):
        assert isinstance(engine, Engine)
        assert engine.backend
        assert engine.precision
        assert engine.card.name

    @pytest.mark.parametrize("seed", range(4))
    def test_probability_is_in_the_unit_range(self, engine, seed):
        score = engine.score(chest(seed))
        assert 0.0 <= score.lesion_probability <= 1.0
        assert score.preprocess_ms > 0.0
        assert score.inference_ms > 0.0
        assert all(isinstance(value, float) for value in score.quality.values())

    def test_candidates_are_in_the_slice_and_sorted(self, engine):
        lesions = engine.score(chest(0)).lesions
        assert len(lesions) <= 32
        if engine.card.task == "classify":
            assert lesions == ()
        assert [c.probability for c in lesions] == sorted(
            (c.probability for c in lesions), reverse=True
        )
        assert all(0 <= c.x_px < 256 and 0 <= c.y_px < 256 for c in lesions)

    def test_answer_is_bit_equal_whatever_came_before(self, engine):
        first = engine.score(chest(0)).lesion_probability
        for seed in range(1, 6):
            engine.score(chest(seed, spacing=1.0 + seed / 10))
        with pytest.raises(NotScorable):
            engine.score(CtSlice(np.full((64, 64), -1000.0, np.float32), (2.0, 2.0)))
        assert engine.score(chest(0)).lesion_probability == first

    def test_answer_is_bit_equal_in_a_new_instance(self, engine):
        other = self.load()
        try:
            assert other.score(chest(3)).lesion_probability == (
                engine.score(chest(3)).lesion_probability
            )
        finally:
            other.close()

    def test_slice_is_left_as_it_was(self, engine):
        ct = chest(1)
        before = ct.hu.copy()
        engine.score(ct)
        assert np.array_equal(ct.hu, before)

    def test_read_only_and_strided_pixels_will_do(self, engine):
        ct = chest(2)
        wide = np.zeros((512, 512), dtype=np.float32)
        wide[::2, ::2] = ct.hu
        strided = wide[::2, ::2]
        strided.flags.writeable = False
        again = engine.score(CtSlice(strided, ct.pixel_spacing_mm))
        assert again.lesion_probability == engine.score(ct).lesion_probability

    @pytest.mark.parametrize("value", [-1000.0, 0.0, float("nan")])
    def test_nothing_to_see_is_not_scorable(self, engine, value):
        with pytest.raises(NotScorable) as caught:
            engine.score(CtSlice(np.full((256, 256), value, np.float32), (1.4, 1.4)))
        assert caught.value.reason in {"no-lungs", "quality"}

    def test_noisy_air_has_no_lungs(self, engine):
        noise = np.random.default_rng(0).normal(-995, 10, (256, 256)).astype(np.float32)
        with pytest.raises(NotScorable) as caught:
            engine.score(CtSlice(noise, (1.4, 1.4)))
        assert caught.value.reason == "no-lungs"

    def test_closed_engine_fails(self):
        engine = self.load()
        engine.close()
        engine.close()
        with pytest.raises(EngineFailed):
            engine.score(chest(0))


class TestDetectorOnCpu(EngineContract):
    @staticmethod
    def load():
        return load_engine("lesion", device="cpu")


class TestDetectorOnTwoThreads(EngineContract):
    @staticmethod
    def load():
        return load_engine("lesion", device="cpu", threads=2)


class TestClassifierOnCpu(EngineContract):
    @staticmethod
    def load():
        return load_engine("textbook-256", device="cpu")


ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),  # a plan is built first
    pytest.mark.skipif(bool(cuda.lacking()), reason=cuda.lacking()),
]


class OnGpu(EngineContract):
    """An engine whose plans are built once for all its instances."""

    name, precision = "", "fp32"
    store = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def plans(cls, tmp_path_factory):
        OnGpu.store = OnGpu.store or PlanStore(tmp_path_factory.mktemp("plans"))

    @classmethod
    def load(cls):
        return load_engine(
            cls.name, device="cuda", precision=cls.precision, gpu=GpuOptions(OnGpu.store)
        )


class TestDetectorOnGpu(OnGpu):
    pytestmark = ON_GPU
    name = "lesion"


class TestDetectorInHalfPrecision(OnGpu):
    pytestmark = ON_GPU
    name, precision = "lesion", "fp16"


class TestDetectorInEightBits(OnGpu):
    pytestmark = ON_GPU
    name, precision = "lesion", "int8"


class TestClassifierOnGpu(OnGpu):
    pytestmark = ON_GPU
    name = "textbook-256"
