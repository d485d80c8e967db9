"""What goes in comes out: values, shape, type, attributes; and the id with it."""

import contextlib

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless
from support.phantoms import chest_hu, dataset, part10

from producers.prepare import prepare
from wire.errors import FrameError, Reason
from wire.frame import decode_frame
from wire.part10 import to_bytes as part10_bytes

KEY = b"k" * 32
DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4"])

pytestmark = pytest.mark.filterwarnings("ignore")


def published(ds, **kwargs):
    """Return the messages of an object; raise what is wrong with any of its frames."""
    items = list(prepare(part10(ds, **kwargs), KEY))
    for item in items:
        if isinstance(item, FrameError):
            raise item
    return items


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        DTYPES.map(np.dtype),
        st.one_of(
            st.tuples(st.integers(1, 9), st.integers(1, 9)),
            st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)),
        ),
    )
)
def test_any_frame_round_trips(pixels):
    if pixels.ndim == 3 and pixels.dtype.kind == "i":
        pixels = pixels.view(pixels.dtype.str.replace("i", "u"))
    (message,) = published(dataset(pixels))
    frame = decode_frame(message.payload)
    assert frame.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert str(frame.frame_id) == message.frame_id


def test_pydicom_alone_reads_the_message():
    pixels = chest_hu(1)
    (message,) = published(dataset(pixels))
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(message.payload))
    assert ds.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    np.testing.assert_array_equal(ds.pixel_array, pixels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, ExplicitVRBigEndian])
def test_transfer_syntax_does_not_change_the_id(syntax):
    pixels = chest_hu(2, size=64)
    plain = dataset(pixels, SOPInstanceUID="1.2.3")
    (expected,) = published(plain)
    ds = dataset(pixels, SOPInstanceUID="1.2.3")
    if syntax == RLELossless:
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.compress(RLELossless, pixels, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        ds["PixelData"].value = pixels.astype(">i2").tobytes()
    (other,) = published(ds, syntax=syntax)
    assert other.frame_id == expected.frame_id


def test_multi_frame_becomes_one_message_a_frame():
    volume = np.stack([chest_hu(n, size=32) for n in range(5)])
    ds = dataset(volume, SOPInstanceUID="1.2.3")
    messages = published(ds)
    assert [m.frame_number for m in messages] == [1, 2, 3, 4, 5]
    assert len({m.frame_id for m in messages}) == 5
    for message, pixels in zip(messages, volume, strict=True):
        frame = decode_frame(message.payload, frame_number=99)
        assert frame.about.frame_number == message.frame_number, "the payload says it, not a header"
        assert frame.about.sop_instance_uid == "1.2.3"
        np.testing.assert_array_equal(frame.pixels, pixels)


def test_a_broken_frame_does_not_take_the_others_with_it():
    volume = np.stack([chest_hu(n, size=32) for n in range(4)])
    ds = dataset(volume, SOPInstanceUID="1.2.3")
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.compress(RLELossless, volume, generate_instance_uid=False)
    fragments = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=4))
    fragments[1] = b"\0" * 64
    ds.PixelData = pydicom.encaps.encapsulate(fragments)
    items = list(prepare(part10(ds, syntax=RLELossless), KEY))
    broken = [item for item in items if isinstance(item, FrameError)]
    assert [error.about.frame_number for error in broken] == [2]
    assert [item.frame_number for item in items if item not in broken] == [1, 3, 4]


def test_an_object_of_broken_frames_alone_is_one_error():
    volume = np.stack([chest_hu(n, size=32) for n in range(4)])
    ds = dataset(volume)
    ds.PixelData = pydicom.encaps.encapsulate([b"\0" * 64] * 4)
    assert [type(item) for item in prepare(part10(ds, syntax=RLELossless), KEY)] == [FrameError]


def test_a_frame_of_ours_published_once_more_keeps_its_number():
    volume = np.stack([chest_hu(n, size=32) for n in range(3)])
    second = published(dataset(volume, SOPInstanceUID="1.2.3"))[1]
    (again,) = prepare(second.payload, KEY)
    assert (again.frame_number, again.frame_id) == (2, second.frame_id)


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "SOPClassUID", "SOPInstanceUID", "Rows"])
@pytest.mark.parametrize("value", ["1A", "1\\2", "", "9" * 30])
def test_odd_values_where_others_are_expected(keyword, value):
    ds = dataset(chest_hu(0, size=16))
    payload = part10(ds)
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(payload))
    if keyword == "Rows":
        ds["Rows"] = pydicom.DataElement(0x00280010, "LO", value)
    elif keyword == "NumberOfFrames":
        ds["NumberOfFrames"] = pydicom.DataElement(0x00280008, "LO", value)
    else:
        setattr(ds, keyword, value.split("\\") if "\\" in value else value)
    buffer = pydicom.filebase.DicomBytesIO()
    ds.save_as(buffer)
    with contextlib.suppress(FrameError):
        for item in prepare(buffer.parent.getvalue(), KEY):
            assert isinstance(item, FrameError) or item.payload


def test_functional_groups_of_enhanced_objects_come_along():
    volume = np.stack([chest_hu(n, size=32) for n in range(2)])
    ds = dataset(volume)
    del ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept
    measures, transform = Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    transform.RescaleSlope, transform.RescaleIntercept = 2, -7
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([transform])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    items = []
    for z in (10, 20):
        position, item = Dataset(), Dataset()
        position.ImagePositionPatient = [1, 2, z]
        item.PlanePositionSequence = Sequence([position])
        items.append(item)
    ds.PerFrameFunctionalGroupsSequence = Sequence(items)
    abouts = [decode_frame(m.payload).about for m in published(ds)]
    assert [about.image_position_mm for about in abouts] == [(1, 2, 10), (1, 2, 20)]
    assert {about.pixel_spacing_mm for about in abouts} == {(0.5, 0.25)}
    assert {about.rescale for about in abouts} == {(2.0, -7.0)}


def test_float_pixels_round_trip():
    pixels = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)
    ds = dataset(pixels.view(np.uint32))
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.FloatPixelData = pixels.tobytes()
    (message,) = published(ds)
    np.testing.assert_array_equal(decode_frame(message.payload).pixels, pixels)


def test_same_uid_with_other_pixels_is_another_frame():
    one, two = (dataset(chest_hu(n, size=32), SOPInstanceUID="1.2.3") for n in (0, 1))
    assert published(one)[0].frame_id != published(two)[0].frame_id


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": 46341, "Columns": 46341}, Reason.TOO_LARGE),
        ({"Rows": 0}, Reason.UNDECODABLE),
        ({"Rows": 200}, Reason.UNDECODABLE),
    ],
    ids=["claims 4 GB", "no rows", "shorter than it says"],
)
def test_hostile_descriptions_are_refused(attributes, reason):
    ds = dataset(chest_hu(0, size=64), **attributes)
    with pytest.raises(FrameError) as caught:
        published(ds)
    assert caught.value.reason is reason
    assert caught.value.about is not None
    assert caught.value.about.sop_instance_uid == ds.SOPInstanceUID


@pytest.mark.parametrize("data", [b"", b"hello", b"\0" * 500, part10(dataset(chest_hu(0)))[:300]])
def test_what_is_no_dicom_is_undecodable(data):
    with pytest.raises(FrameError) as caught:
        list(prepare(data, KEY))
    assert caught.value.reason in (Reason.UNDECODABLE, Reason.NOT_AN_IMAGE)


def test_a_report_is_not_an_image():
    ds = dataset(chest_hu(0, size=8))
    del ds.PixelData
    with pytest.raises(FrameError) as caught:
        published(ds)
    assert caught.value.reason is Reason.NOT_AN_IMAGE


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_messages_never_raise_anything_else(data):
    payload = bytearray(published(dataset(chest_hu(0, size=16), SOPInstanceUID="1.2.3"))[0].payload)
    for _ in range(data.draw(st.integers(1, 8))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FrameError):
        decode_frame(bytes(payload[: data.draw(st.integers(0, len(payload)))]))


def test_not_deidentified_comes_before_all_else():
    ds = dataset(chest_hu(0, size=16), PatientName="Doe^Jane")
    with pytest.raises(FrameError) as caught:
        decode_frame(part10(ds))
    assert caught.value.reason is Reason.NOT_DEIDENTIFIED
    assert caught.value.about is None


def test_several_frames_in_one_message_are_refused():
    ds = dataset(np.zeros((3, 8, 8), np.uint8), PatientIdentityRemoved="YES")
    with pytest.raises(FrameError, match="more than one frame"):
        decode_frame(part10(ds))


def test_event_time_falls_back_from_acquisition_to_series():
    times = []
    for gone in ([], ["AcquisitionDate"], ["AcquisitionDate", "ContentDate"]):
        ds = dataset(chest_hu(0, size=8), PatientIdentityRemoved="YES")
        ds.ContentDate, ds.ContentTime = "20240203", ""
        ds.SeriesDate = "20240304"
        for keyword in gone:
            delattr(ds, keyword)
        times.append(decode_frame(part10(ds)).about.event_time.isoformat())
    assert times == [
        "2024-01-02T03:04:05+00:00",
        "2024-02-03T00:00:00+00:00",
        "2024-03-04T00:00:00+00:00",
    ]


def test_position_of_a_pixel_in_mm():
    ds = dataset(
        chest_hu(0, size=8),
        PatientIdentityRemoved="YES",
        PixelSpacing=[2, 3],
        ImagePositionPatient=[10, 20, 30],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )
    assert decode_frame(part10(ds)).about.to_mm(x_px=1, y_px=2) == (13, 24, 30)


def test_a_data_set_made_in_memory_can_be_written():
    """Its pixels are "OB or OW" until somebody decides."""
    made = dataset(chest_hu(0, size=16), PatientIdentityRemoved="YES")
    made["PixelData"].VR = "OB or OW"
    pixels = decode_frame(part10_bytes(made)).pixels
    assert pixels.tobytes() == made.PixelData
