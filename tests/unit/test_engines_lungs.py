"""The lung cut on drawn chests, and on real ones where there are some."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.lungs import find_lungs
from engines.preprocess import to_grid

LEFT, RIGHT = (110, 150), (250, 150)  # centres (column, row) of the lungs of `chest`


def chest(*lungs, table=True, noise=20.0):
    """Draw a body in room air on a 1 mm grid, 300 x 360, with lungs at the given centres."""
    hu = np.full((300, 360), -1000.0, dtype=np.float32)
    cv2.ellipse(hu, (180, 150), (160, 110), 0, 0, 360, 40.0, -1)
    for centre in lungs:
        cv2.ellipse(hu, centre, (50, 75), 0, 0, 360, -850.0, -1)
    if table:
        cv2.rectangle(hu, (60, 262), (300, 266), 60.0, -1)
    return hu + np.random.default_rng(0).normal(0, noise, hu.shape).astype(np.float32)


def disk(centre, radius, shape=(300, 360)):
    return cv2.circle(np.zeros(shape, np.uint8), centre, radius, 1, -1) > 0


def test_two_lungs_are_two_masks_left_of_the_image_first():
    lungs = find_lungs(chest(LEFT, RIGHT))
    assert len(lungs.masks) == 2
    first, second = (np.nonzero(mask)[1].mean() for mask in lungs.masks)
    assert first == pytest.approx(LEFT[0], abs=3)
    assert second == pytest.approx(RIGHT[0], abs=3)
    assert lungs.area_mm2 == pytest.approx(2 * np.pi * 50 * 75, rel=0.05)
    assert lungs.median_hu == pytest.approx(-850, abs=10)


@pytest.mark.parametrize("radius", [3, 6, 10])
def test_nodule_on_the_pleura_stays_inside(radius):
    hu = chest(LEFT, RIGHT)
    place = disk((LEFT[0] - 50 + radius, LEFT[1]), radius)
    hu[place] = 30.0
    lungs = find_lungs(hu)
    assert lungs.masks[0][place].all()


def test_nodule_within_a_lung_is_filled():
    hu = chest(LEFT, RIGHT)
    place = disk(RIGHT, 15)
    hu[place] = 30.0
    assert find_lungs(hu).masks[1][place].all()


def test_one_lung_is_one_mask():
    assert len(find_lungs(chest(RIGHT)).masks) == 1


def test_lungs_that_touch_are_divided():
    hu = chest(LEFT, RIGHT, noise=0)
    cv2.rectangle(hu, (150, 140), (210, 144), -850.0, -1)
    lungs = find_lungs(hu)
    assert len(lungs.masks) == 2
    widths = [np.ptp(np.nonzero(mask)[1]) for mask in lungs.masks]
    assert max(widths) < 160


def test_body_without_lungs_is_none():
    assert find_lungs(chest()) is None


def test_bowel_gas_is_no_lung():
    hu = chest(noise=5)
    cv2.ellipse(hu, (180, 120), (40, 25), 0, 0, 360, -1000.0, -1)
    assert find_lungs(hu) is None


def test_air_between_skin_and_table_is_no_lung():
    hu = chest(LEFT, RIGHT)
    lungs = find_lungs(hu)
    assert not any(mask[262:].any() for mask in lungs.masks)


@pytest.mark.parametrize("floor", [-1000.0, -2000.0, -3024.0])
@pytest.mark.parametrize("wall_mm", [0, 9])
def test_image_that_is_already_cut_keeps_its_lungs(floor, wall_mm):
    hu = chest(LEFT, RIGHT)
    whole = find_lungs(hu)
    lung = np.clip(sum(cv2.erode(mask, np.ones((9, 9), np.uint8)) for mask in whole.masks), 0, 1)
    kept = cv2.dilate(lung, np.ones((2 * wall_mm + 1,) * 2, np.uint8))
    cut = np.where(kept > 0, hu, floor).astype(np.float32)
    found = find_lungs(cut)
    assert len(found.masks) == 2
    assert found.area_mm2 == pytest.approx(whole.area_mm2, rel=0.12)


def test_lung_at_the_edge_of_a_narrow_field_is_kept():
    hu = chest(LEFT, RIGHT)[:, 80:280]
    assert len(find_lungs(np.ascontiguousarray(hu)).masks) == 2


def test_same_slice_same_masks():
    hu = chest(LEFT, RIGHT)
    before = hu.copy()
    first, second = find_lungs(hu), find_lungs(hu)
    assert all(np.array_equal(a, b) for a, b in zip(first.masks, second.masks, strict=True))
    assert np.array_equal(hu, before)


def _outlines(folder):
    outlines = defaultdict(list)
    with (folder / "contours.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            pairs = [pair.split(",") for pair in row["contour"].split()]
            if row["kind"] == "nodule>=3mm":
                outlines[row["file"]].append(np.asarray(pairs, dtype=np.int32))
    return outlines


def _read(path):
    pydicom = pytest.importorskip("pydicom")
    image = pydicom.dcmread(path)
    hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    return hu.astype(np.float32), tuple(float(v) for v in image.PixelSpacing)


@pytest.fixture
def lidc():
    data = os.environ.get("LESIONSTREAM_DATA")
    if not data or not (folder := Path(data) / "lidc-dicom").is_dir():
        pytest.skip("LESIONSTREAM_DATA names no folder with lidc-dicom")
    return folder


def test_no_nodule_that_a_reader_marked_is_cut_away(lidc):
    for name, outlines in _outlines(lidc).items():
        hu, spacing = _read(lidc / name)
        lungs = find_lungs(to_grid(hu, spacing))
        inside = np.clip(sum(lungs.masks), 0, 1).astype(np.uint8)
        for outline in outlines:
            drawn = cv2.fillPoly(np.zeros(hu.shape, np.uint8), [outline], 1).astype(np.float32)
            nodule = cv2.resize(drawn, inside.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
            assert inside[nodule].all(), name


def test_every_real_slice_has_two_lungs_of_credible_size(lidc):
    for path in sorted(lidc.glob("*/*.dcm")):
        lungs = find_lungs(to_grid(*_read(path)))
        assert len(lungs.masks) == 2, path.name
        assert 10_000 < lungs.area_mm2 < 60_000, path.name
