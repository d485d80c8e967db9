"""The simulated scanner: the same patient has the same pixels, and the truth is true."""

import io

import numpy as np
import pydicom
import pytest

from producers.scanner.course import SLICE_MM, Course, patients
from producers.scanner.series import MODEL, scans

SLICES = 12


def scanned(number, *, studies=1, slices=SLICES, seed=4):
    """Return the series of one patient, as lists of images."""
    people = [p for p in patients(number, studies=studies, slices=slices, seed=seed)][-1:]
    return [(scan, list(scan.images())) for scan in scans(people, slices)]


@pytest.fixture(scope="module")
def growing():
    return scanned(1, studies=2, slices=8)


def hu_of(image):
    ds = image.dataset
    return ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def test_the_same_seed_has_the_same_pixels_and_another_has_not():
    first, again, other = (scanned(1, slices=2, seed=seed)[0][1] for seed in (4, 4, 5))
    for one, two in zip(first, again, strict=True):
        assert one.dataset.PixelData == two.dataset.PixelData
        assert one.dataset.SOPInstanceUID == two.dataset.SOPInstanceUID
        assert one.truth == two.truth
    assert first[0].dataset.PixelData != other[0].dataset.PixelData
    assert first[0].dataset.SOPInstanceUID != other[0].dataset.SOPInstanceUID


def test_it_is_a_ct_image_that_says_it_is_simulated(growing):
    scan, images = growing[0]
    file = io.BytesIO()
    images[0].dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    ds = pydicom.dcmread(file)
    assert (ds.Modality, ds.ManufacturerModelName) == ("CT", MODEL)
    assert "simulated" in ds.ImageComments
    heights = [float(image.dataset.ImagePositionPatient[2]) for image in images]
    np.testing.assert_allclose(np.diff(heights), SLICE_MM)
    assert {image.dataset.SeriesInstanceUID for image in images} == {
        scan.truth([])["SeriesInstanceUID"]
    }
    assert len({image.dataset.SOPInstanceUID for image in images}) == len(images)


def test_tissues_have_the_density_of_tissues(growing):
    hu = hu_of(growing[0][1][4])
    lung = hu[(hu < -750) & (hu > -960)]
    assert -900 < np.median(lung) < -850
    assert 0.08 < lung.size / hu.size < 0.4
    assert (hu > 300).sum() > 500, "bone"
    assert np.median(hu[(hu > 0) & (hu < 100)]) == pytest.approx(50, abs=15)


def test_the_truth_lies_where_the_image_is_dense(growing):
    checked = 0
    for scan, images in growing:
        solid = {a.number for a in scan.study.lesions if a.kind != "ground-glass"}
        for image in images:
            hu = hu_of(image)
            for lesion in image.truth["lesions"]:
                if lesion["number"] in solid and lesion["diameter_mm"] > 5:
                    x, y = round(lesion["x_px"]), round(lesion["y_px"])
                    assert hu[y - 1 : y + 2, x - 1 : x + 2].mean() > -350
                    checked += 1
    assert checked > 5


@pytest.mark.parametrize(
    ("number", "course"), [(1, Course.GROWING), (2, Course.SHRINKING), (3, Course.STABLE)]
)
def test_lesions_follow_their_course(number, course, growing):
    series = growing if number == 1 else scanned(number, studies=2, slices=8)
    assert series[0][0].patient.course is course
    diameters = [
        scan.truth([image.truth for image in images])["lesions"][0]["diameter_mm"]
        for scan, images in series
    ]
    if course is Course.STABLE:
        assert max(diameters) - min(diameters) < 2
    else:
        steps = np.diff(diameters)
        assert (steps > 2).all() if course is Course.GROWING else (steps < -2).all()


def test_a_patient_without_lesions_has_none():
    ((scan, images),) = scanned(4, slices=2)
    assert scan.patient.course is Course.NONE
    assert scan.truth([i.truth for i in images])["lesions"] == []
    assert all(image.truth["lesions"] == [] for image in images)


def test_lesions_lie_in_the_lungs_and_in_the_scan():
    for patient in patients(12, studies=1, slices=24, seed=9):
        for lesion in patient.studies[0].lesions:
            place = (np.full(1, v, np.float32) for v in lesion.centre)
            assert patient.chest.lungs(*place)[0] < 0
            assert abs(lesion.centre.z - 110) <= 24 * SLICE_MM / 2
