"""The quality gate: what is not scored, and why."""

from datetime import UTC, datetime

import numpy as np
import pytest
from support.phantoms import chest_hu, dataset, part10

from producers.prepare import prepare
from stream.quality import unfit
from wire.frame import attributes_of, decode_frame

AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, None),
        ({"SliceThickness": 5.0, "ImageOrientationPatient": AXIAL}, None),
        ({"SliceThickness": 5.1}, "SliceThickness is 5.1 mm"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not an axial slice"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "not an axial slice"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not an axial slice"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.906, 0.423]}, None),  # a gantry at 25 degrees
        ({"PixelSpacing": None}, "PixelSpacing missing"),
    ],
)
def test_what_a_frame_says_of_itself(attributes, words):
    said = unfit(attributes_of(dataset(chest_hu(1), **attributes)))
    assert said == words if words is None else words in str(said)


def test_where_a_slice_lies_and_how_many_there_are():
    ds = dataset(
        chest_hu(1),
        ImagePositionPatient=[10, 20, -30],
        ImageOrientationPatient=AXIAL,
        SliceThickness=2.5,
        SpacingBetweenSlices=1.25,
        ImagesInAcquisition=40,
    )
    (prepared,) = prepare(part10(ds), b"k" * 32)
    about = decode_frame(prepared.payload).about
    assert about.location_mm == -30
    assert (about.slice_thickness_mm, about.spacing_between_slices_mm) == (2.5, 1.25)
    assert about.images_in_series == 40, "kept by de-identification: series close by it"


def test_location_goes_along_the_normal_of_the_slice():
    tilted = dataset(
        np.zeros((16, 16), np.int16),
        ImagePositionPatient=[0, -100, 50],
        ImageOrientationPatient=[1, 0, 0, 0, 0.8, 0.6],
    )
    assert attributes_of(tilted).location_mm == pytest.approx(0.6 * 100 + 0.8 * 50)
    assert attributes_of(tilted).event_time == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
