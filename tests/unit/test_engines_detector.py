"""The detector around its network, which is plain arithmetic here: fields, maps, peaks, places."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import CtSlice, EngineFailed, list_engines
from engines.detector import DIAMETER, HEAT, INPUT_SHAPE, MAP_SHAPE, Detector, field_maps
from engines.heat_map import find_peaks
from engines.lung_field import HEIGHT, WIDTH, cut_field, parts


class Brightness:
    """A network that calls a bright cell a lesion of 6 mm: every number can be said beforehand."""

    backend, precision = "arithmetic", "fp32"
    input_shape = INPUT_SHAPE
    outputs = (HEAT, DIAMETER)

    def __init__(self, heat=None, diameter=6.0):
        self._heat = heat
        self._diameter = diameter

    def run(self, view):
        assert view.shape == INPUT_SHAPE
        assert view.dtype == np.float32
        cells = view[0, 0].reshape(MAP_SHAPE[2], 2, MAP_SHAPE[3], 2).mean(axis=(1, 3))
        heat = cells if self._heat is None else self._heat
        size = np.full(MAP_SHAPE, self._diameter, dtype=np.float32)
        return {HEAT: heat.reshape(MAP_SHAPE).astype(np.float32), DIAMETER: size}

    def close(self):
        pass


@pytest.fixture(scope="module")
def card():
    (classifier,) = (c for c in list_engines() if c.name == "textbook-256")
    spec = classifier.input.model_copy(update={"shape": INPUT_SHAPE, "spacing_mm": 1.0})
    return classifier.model_copy(update={"task": "detect", "input": spec})


def _gaussian(shape, row, column, sigma=2.0, height=0.9):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    squared = (rows - row) ** 2 + (columns - column) ** 2
    return (height * np.exp(-squared / (2 * sigma**2))).astype(np.float32)


@given(st.floats(4, 50), st.floats(4, 60), st.floats(0.2, 1.0))
def test_a_peak_is_found_where_it_is(row, column, height):
    heat = _gaussian((56, 68), row, column, height=height)
    (peak, *_) = find_peaks(heat, np.full(heat.shape, 8.0, np.float32))
    assert peak.probability == pytest.approx(float(heat.max()))
    assert abs(peak.x - (column * 2 + 0.5)) < 1.0
    assert abs(peak.y - (row * 2 + 0.5)) < 1.0


def test_a_peak_within_a_stronger_ones_radius_is_the_same_lesion():
    heat = np.maximum(
        _gaussian((64, 64), 30, 20, 1.0), _gaussian((64, 64), 30, 26, 1.0, height=0.5)
    )
    small, large = (np.full(heat.shape, size, np.float32) for size in (6.0, 40.0))
    assert len(find_peaks(heat, small)) == 2
    (kept,) = find_peaks(heat, large)
    assert kept.probability == pytest.approx(0.9)


def test_at_most_32_peaks_of_a_hundredth_or_more():
    rng = np.random.default_rng(0)
    heat = rng.random((128, 176)).astype(np.float32)
    peaks = find_peaks(heat, np.full(heat.shape, 2.0, np.float32))
    assert len(peaks) == 32
    assert [p.probability for p in peaks] == sorted((p.probability for p in peaks), reverse=True)
    assert find_peaks(heat * 0.009, np.full(heat.shape, 2.0, np.float32)) == []


@pytest.mark.parametrize("shape", [(40, 60), (HEIGHT, WIDTH), (257, 353), (480, 700), (800, 800)])
def test_parts_cover_every_pixel_of_a_field(shape):
    covered = np.zeros(shape, dtype=bool)
    for left, top, part in parts(np.ones(shape, dtype=np.float32)):
        assert part.shape == (HEIGHT, WIDTH)
        room = covered[top : top + HEIGHT, left : left + WIDTH]
        assert np.array_equal(part[: room.shape[0], : room.shape[1]] > 0, np.ones(room.shape, bool))
        room[:] = True
    assert covered.all()


def test_the_maps_of_a_large_field_are_those_of_its_parts():
    rng = np.random.default_rng(1)
    field = cv2.blur(rng.random((400, 500)).astype(np.float32), (7, 7))
    heat, diameter = field_maps(Brightness(), field)
    assert np.allclose(heat, field.reshape(200, 2, 250, 2).mean(axis=(1, 3)), atol=1e-6)
    assert (diameter == 6.0).all()


def test_a_field_keeps_a_centimetre_of_wall_and_drops_the_rest():
    grid = np.full((300, 300), 40.0, dtype=np.float32)
    mask = np.zeros((300, 300), dtype=np.uint8)
    mask[100:200, 100:200] = 1
    field = cut_field(grid, [mask], (-1000.0, 400.0))
    assert (field.x_mm, field.y_mm) == (94, 94)
    assert field.pixels.shape == (112, 112)
    assert field.pixels[0, 0] == 0.0
    assert field.pixels[0, 56] == pytest.approx(1040 / 1400)
    assert int(field.mask.sum()) == 100 * 100


def _chest(spacing, nodule_mm):
    """Draw a chest of 360 x 230 mm with one bright ball at (column, row) `nodule_mm`."""
    height, width = round(300 / spacing), round(400 / spacing)
    hu = np.full((height, width), -1000.0, dtype=np.float32)

    def put(x, y):
        return (round(x / spacing), round(y / spacing))

    cv2.ellipse(hu, put(200, 150), put(180, 115), 0, 0, 360, 40.0, -1)
    for x in (120, 280):
        cv2.ellipse(hu, put(x, 150), put(60, 85), 0, 0, 360, -850.0, -1)
    rows, columns = np.mgrid[:height, :width]
    x, y = ((columns + 0.5) * spacing - nodule_mm[0], (rows + 0.5) * spacing - nodule_mm[1])
    hu += np.where(hu == -850.0, 1200 * np.exp(-(x**2 + y**2) / 32), 0).astype(np.float32)
    return CtSlice(hu, (spacing, spacing))


@pytest.mark.parametrize("spacing", [0.6, 1.0, 1.7])
def test_a_lesion_is_reported_in_the_frames_own_pixels(card, spacing):
    score = Detector(card, Brightness()).score(_chest(spacing, (120, 140)))
    found = score.lesions[0]
    assert abs((found.x_px + 0.5) * spacing - 120) < 2.5
    assert abs((found.y_px + 0.5) * spacing - 140) < 2.5
    assert found.diameter_mm == 6.0
    assert found.box[2] == pytest.approx(6.0 / spacing, rel=0.01)
    assert score.lesion_probability == found.probability


def test_the_heat_map_lies_over_the_frame_and_keeps_the_peak(card):
    score = Detector(card, Brightness()).score(_chest(1.0, (120, 140)))
    picture = score.heat_map
    assert picture is not None
    assert max(picture.shape) <= 64
    row, column = np.unravel_index(int(picture.argmax()), picture.shape)
    assert abs((column + 0.5) / picture.shape[1] - 120 / 400) < 0.05
    assert abs((row + 0.5) / picture.shape[0] - 140 / 300) < 0.05
    assert int(picture.max()) == round(score.lesion_probability * 255)


def test_there_is_no_heat_map_below_screen(card):
    quiet = Brightness(heat=np.full(MAP_SHAPE, 0.2, np.float32))
    score = Detector(card, quiet).score(_chest(1.0, (120, 140)))
    assert score.heat_map is None
    assert score.lesion_probability == pytest.approx(0.2)


@pytest.mark.parametrize(
    "model",
    [
        Brightness(heat=np.full(MAP_SHAPE, np.nan, np.float32)),
        Brightness(heat=np.full(MAP_SHAPE, 1.5, np.float32)),
        Brightness(diameter=np.inf),
    ],
    ids=["nan", "above-one", "endless"],
)
def test_what_is_no_probability_or_size_is_a_failure(card, model):
    with pytest.raises(EngineFailed):
        Detector(card, model).score(_chest(1.0, (120, 140)))


def test_a_model_that_is_no_detector_is_refused(card):
    class Other(Brightness):
        outputs = ("probability",)

    with pytest.raises(EngineFailed, match="outputs are"):
        Detector(card, Other())
