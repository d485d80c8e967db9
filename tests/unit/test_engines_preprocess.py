"""Preprocessing: what comes out for good slices, and that nothing else than NotScorable comes."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engines import CtSlice, NotScorable
from engines.preprocess import VIEW_SIZE, cut_views, find_lungs_in, lung_view, to_grid


def chest(pixels=256, side_mm=360.0):
    """Draw a square slice of a chest with two lungs and a nodule; (CtSlice, column, row)."""
    scale = pixels / side_mm
    hu = np.full((pixels, pixels), -1000.0, dtype=np.float32)

    def ellipse(x, y, a, b, value):
        centre = (round(x * scale), round(y * scale))
        cv2.ellipse(hu, centre, (round(a * scale), round(b * scale)), 0, 0, 360, value, -1)

    ellipse(180, 180, 160, 110, 40.0)
    ellipse(110, 180, 50, 75, -850.0)
    ellipse(250, 180, 50, 75, -850.0)
    ellipse(110, 180, 8, 8, 100.0)
    return CtSlice(hu, (side_mm / pixels, side_mm / pixels))


def test_views_are_256_square_in_the_unit_range():
    views = cut_views(find_lungs_in(chest()))
    assert len(views) == 2
    for view in views:
        assert view.pixels.shape == (VIEW_SIZE, VIEW_SIZE)
        assert view.pixels.dtype == np.float32
        assert view.pixels.min() == 0.0
        assert view.pixels.max() <= 1.0


def test_view_says_where_it_was_cut():
    view = cut_views(find_lungs_in(chest()))[0]
    x, y = (
        (mm - origin) * VIEW_SIZE / view.side_mm
        for mm, origin in ((110, view.x_mm), (180, view.y_mm))
    )
    assert view.pixels[round(y), round(x)] == pytest.approx(1100 / 1400, abs=0.05)


def test_window_maps_its_ends_to_0_and_1():
    grid = np.full((120, 120), 5000.0, dtype=np.float32)
    grid[:60] = -3000.0
    mask = np.ones((120, 120), dtype=np.uint8)
    column = lung_view(grid, mask).pixels[:, VIEW_SIZE // 2]
    assert column[VIEW_SIZE // 4] == 0.0
    assert column[3 * VIEW_SIZE // 4] == 1.0


@pytest.mark.parametrize("pixels", [128, 512, 1024])
def test_views_hardly_depend_on_the_scanner_s_matrix(pixels):
    want, got = (cut_views(find_lungs_in(chest(n))) for n in (256, pixels))
    for a, b in zip(want, got, strict=True):
        assert np.abs(a.pixels - b.pixels).mean() < 0.04


def test_anisotropic_pixels_are_made_square():
    assert to_grid(np.zeros((100, 200), np.float32), (2.0, 0.5)).shape == (200, 100)


def test_some_missing_pixels_are_air_and_counted():
    ct = chest()
    ct.hu[:20] = np.nan
    ct.hu[20:22] = np.inf
    found = find_lungs_in(ct)
    assert len(cut_views(found)) == 2
    assert found.quality["non_finite_fraction"] == pytest.approx(22 / 256, abs=1e-5)


def test_quality_is_finite_numbers():
    quality = find_lungs_in(chest()).quality
    assert quality["lungs"] == 2.0
    assert quality["lung_area_cm2"] == pytest.approx(2 * np.pi * 5 * 7.5, rel=0.05)
    assert all(np.isfinite(value) for value in quality.values())


@pytest.mark.parametrize(
    ("hu", "spacing"),
    [
        (np.full((256, 256), -1000.0), (1.4, 1.4)),
        (np.full((256, 256), np.nan), (1.4, 1.4)),
        (np.zeros((4, 4)), (1.4, 1.4)),
        (np.zeros((2, 256, 256)), (1.4, 1.4)),
        (chest().hu, (0.0, 1.4)),
        (chest().hu, (-1.4, 1.4)),
        (chest().hu, (float("nan"), 1.4)),
        (chest().hu, (1e9, 1.4)),
        (chest().hu, (8.0, 8.0)),
        (chest().hu, (0.1, 0.1)),
        (chest().hu, (1.4, 1.4, 1.4)),
    ],
)
def test_what_no_scanner_makes_is_refused_for_its_quality(hu, spacing):
    with pytest.raises(NotScorable) as caught:
        find_lungs_in(CtSlice(hu.astype(np.float32), spacing))
    assert caught.value.reason == "quality"
    assert caught.value.detail


def test_body_without_lungs_is_refused():
    ct = chest()
    ct.hu[ct.hu == -850.0] = 40.0
    with pytest.raises(NotScorable) as caught:
        find_lungs_in(ct)
    assert caught.value.reason == "no-lungs"


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
blocks = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=12), elements=finite
)
chequers = hnp.arrays(
    np.float32,
    st.tuples(st.integers(2, 12), st.integers(2, 12)),
    elements=st.sampled_from([-2000.0, -1000.0, -850.0, -300.0, 40.0, 3000.0]),
)
spacings = st.one_of(st.floats(), st.floats(0.3, 3.0))


@settings(max_examples=80, deadline=None)
@example(
    block=np.array([[-2000, 3000, -850], *([[-850] * 3] * 8)], dtype=np.float32),
    spacing=(1.875, 1.0),
    repeat=22,
)
@given(st.one_of(blocks, chequers), st.tuples(spacings, spacings), st.integers(1, 24))
def test_nothing_but_not_scorable_is_ever_raised(block, spacing, repeat):
    """Blocks are enlarged, so that some of them pass for a slice with parts of a lung's size."""
    hu = np.kron(block, np.ones((repeat,) * block.ndim, dtype=np.float32))
    if hu.size > 100_000:
        hu = block
    try:
        found = find_lungs_in(CtSlice(hu, spacing))
    except NotScorable:
        return
    for view in cut_views(found):
        assert view.pixels.shape == (VIEW_SIZE, VIEW_SIZE)
        assert np.isfinite(view.pixels).all()
        assert 0.0 <= view.pixels.min() <= view.pixels.max() <= 1.0
