"""Every kind of pixels and text that scanners write comes out of `frames` as it went in."""

import io
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from support.phantoms import chest_hu, dataset, part10

from producers.prepare import prepare
from wire.codecs import DEFLATED_IMAGE_FRAME
from wire.decode_pool import DecodePool
from wire.errors import FrameError, Reason
from wire.frame import decode_frame

KEY = b"k" * 32

pytestmark = pytest.mark.filterwarnings("ignore")


def messages(data):
    """Return the messages of an object; raise what is wrong with any of its frames."""
    items = list(prepare(data, KEY))
    for item in items:
        if isinstance(item, FrameError):
            raise item
    return items


def frames(ds, **kwargs):
    """Return the decoded frames of a data set."""
    return [decode_frame(m.payload) for m in messages(part10(ds, **kwargs))]


def attributes(ds, **kwargs):
    """Return the data set of the one message of `ds`."""
    (message,) = messages(part10(ds, **kwargs))
    return pydicom.dcmread(io.BytesIO(message.payload))


def bare(ds, *, implicit, little):
    """Return a data set alone, as old devices write it: no preamble, no header."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=False, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue()


@pytest.mark.parametrize("stored", [-1, -2048, 2047, 0])
def test_signed_values_of_12_bits_need_not_be_sign_extended(stored):
    raw = np.full((4, 4), stored & 0x0FFF, np.uint16)
    ds = dataset(raw, BitsStored=12, HighBit=11, PixelRepresentation=1)
    (frame,) = frames(ds)
    assert (frame.pixels == stored).all()
    assert frame.pixels.dtype == np.int16


def test_drawings_in_unused_bits_are_no_part_of_the_values():
    values = np.arange(16, dtype=np.uint16).reshape(4, 4)
    (frame,) = frames(dataset(values | 0xA000, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(frame.pixels, values)


@pytest.mark.parametrize("signed", [0, 1])
def test_values_below_a_high_bit_of_15_are_moved_down(signed):
    values = np.arange(-8, 8, dtype=np.int16).reshape(4, 4) + (0 if signed else 8)
    raw = (values.astype(np.uint16) << 4) | 0x000F
    ds = dataset(raw, BitsStored=12, HighBit=15, PixelRepresentation=signed)
    (frame,) = frames(ds)
    np.testing.assert_array_equal(frame.pixels, values)


def test_double_float_pixels_round_trip():
    pixels = np.linspace(-1, 1, 30).reshape(5, 6)
    ds = dataset(pixels.view(np.uint64))
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.DoubleFloatPixelData = pixels.tobytes()
    (frame,) = frames(ds)
    np.testing.assert_array_equal(frame.pixels, pixels)


def test_dark_is_high_stays_so():
    pixels = chest_hu(0, size=16)
    ds = attributes(dataset(pixels, PhotometricInterpretation="MONOCHROME1"))
    assert ds.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_array_equal(ds.pixel_array, pixels)


def palette(**attributes):
    """Return an image of palette indices, and the colours it must have."""
    ds = dataset(
        np.arange(16, dtype=np.uint8).reshape(4, 4),
        PhotometricInterpretation="PALETTE COLOR",
        **attributes,
    )
    ramp = np.arange(0, 16, dtype=np.uint16) * 4099
    for n, colour in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [16, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", np.roll(ramp, n).tobytes())
    wanted = np.stack([np.roll(ramp, n) for n in range(3)], axis=-1).reshape(4, 4, 3)
    return ds, wanted


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_palette_keeps_its_indices_and_its_colours(syntax):
    ds, wanted = palette()
    if syntax == ExplicitVRBigEndian:
        for colour in ("Red", "Green", "Blue"):
            element = ds[f"{colour}PaletteColorLookupTableData"]
            element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
    found = attributes(ds, syntax=syntax)
    assert found.PhotometricInterpretation == "PALETTE COLOR"
    np.testing.assert_array_equal(found.pixel_array, np.arange(16).reshape(4, 4))
    np.testing.assert_array_equal(apply_color_lut(found.pixel_array, found), wanted)


@pytest.mark.parametrize("said", [{}, {"RescaleSlope": 1, "RescaleIntercept": -1024}])
def test_a_modality_lookup_table_is_kept_and_gives_no_hounsfield_units(said):
    ds = dataset(np.arange(16, dtype=np.uint16).reshape(4, 4))
    del ds.RescaleSlope, ds.RescaleIntercept
    table = Dataset()
    table.LUTDescriptor = [16, 0, 16]
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "US", [n * 100 for n in range(16)])
    ds.ModalityLUTSequence = [table]
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    (frame,) = frames(ds)
    with pytest.raises(FrameError) as caught:
        frame.hu()
    assert caught.value.reason is Reason.QUALITY
    found = attributes(ds)
    np.testing.assert_array_equal(
        apply_modality_lut(found.pixel_array, found).ravel(), np.arange(16) * 100
    )


@pytest.mark.parametrize(("kind", "well"), [("HU", True), ("OD", False), ("BQML", False)])
def test_rescaled_values_are_hounsfield_units_unless_they_say_otherwise(kind, well):
    (frame,) = frames(dataset(chest_hu(0, size=16), RescaleType=kind))
    if well:
        np.testing.assert_array_equal(frame.hu(), chest_hu(0, size=16))
    else:
        with pytest.raises(FrameError, match="RescaleType is not HU"):
            frame.hu()


@pytest.mark.parametrize(
    ("charset", "words"),
    [
        ("ISO_IR 100", "Gerät Süd"),
        ("ISO_IR 144", "Томограф"),
        ("ISO_IR 192", "扫描仪 Ω"),
        ("GB18030", "扫描仪"),
        (["", "ISO 2022 IR 87"], "山田"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "길동"),
    ],
    ids=str,
)
def test_a_name_in_any_character_set_comes_to_the_vault_and_no_word_to_the_frame(charset, words):
    ds = dataset(chest_hu(0, size=8), SpecificCharacterSet=charset, ManufacturerModelName=words)
    ds.PatientName = f"Doe^{words}"
    (message,) = messages(part10(ds))
    assert "ManufacturerModelName" not in pydicom.dcmread(io.BytesIO(message.payload))
    assert message.named.patient_name == f"Doe^{words}"


@pytest.mark.parametrize("charset", ["", "nonsense", "ISO_IR 999", ["", "ISO 2022 IR 6", "x"]])
def test_a_wrong_character_set_costs_no_frame(charset):
    ds = dataset(chest_hu(0, size=8), SpecificCharacterSet="ISO_IR 100")
    ds.ManufacturerModelName = "Gerät Süd"
    data = io.BytesIO(part10(ds))
    wrong = pydicom.dcmread(data)
    wrong._dict[pydicom.tag.Tag("SpecificCharacterSet")] = pydicom.DataElement(
        0x00080005, "CS", charset
    )
    (message,) = messages(part10(wrong))
    np.testing.assert_array_equal(decode_frame(message.payload).pixels, chest_hu(0, size=8))


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_a_data_set_without_a_header_is_read(implicit, little):
    ds = dataset(chest_hu(0, size=16))
    if not little:
        ds["PixelData"].value = chest_hu(0, size=16).astype(">i2").tobytes()
    (message,) = messages(bare(ds, implicit=implicit, little=little))
    np.testing.assert_array_equal(decode_frame(message.payload).pixels, chest_hu(0, size=16))


def test_deflated_data_sets_are_read():
    (frame,) = frames(dataset(chest_hu(0, size=16)), syntax=DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(frame.pixels, chest_hu(0, size=16))


def deflated_frames(ds, encoded):
    """Return a Part 10 file of deflated frames: pydicom 3.0 does not write that syntax."""
    ds.PixelData = encapsulate(encoded)
    ds["PixelData"].is_undefined_length = True
    same_length = DEFLATED_IMAGE_FRAME.encode() + b"\0"
    return part10(ds, syntax=JPEGBaseline8Bit).replace(JPEGBaseline8Bit.encode(), same_length)


def deflated(data):
    """Return RFC 1951 bytes, of even length."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


def test_a_deflated_bomb_is_refused():
    """Half a MB that inflates to half a GiB: more than this decode process may have."""
    header = part10(dataset(chest_hu(0, size=8)), syntax=DeflatedExplicitVRLittleEndian)
    meta = FileMetaDataset(pydicom.dcmread(io.BytesIO(header)).file_meta)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(b"\0" * (1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    body = block * 32 + packer.flush()
    buffer = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(pydicom.filebase.DicomFileLike(buffer), meta)
    with DecodePool(prepare, memory_bytes=768 << 20) as pool, pytest.raises(FrameError) as caught:
        list(pool.run(b"\0" * 128 + b"DICM" + buffer.getvalue() + body, KEY))
    assert caught.value.reason in (Reason.TOO_LARGE, Reason.UNDECODABLE)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_frames_that_are_deflated_one_by_one(bits):
    volume = np.random.default_rng(0).integers(0, 2, (3, 5, 7)).astype(f"u{max(1, bits // 8)}")
    ds = dataset(volume)
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.SamplesPerPixel = 3, 5, 7, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    native = [
        np.packbits(f.ravel(), bitorder="little").tobytes() if bits == 1 else f.tobytes()
        for f in volume
    ]
    found = messages(deflated_frames(ds, [deflated(frame) for frame in native]))
    np.testing.assert_array_equal([decode_frame(m.payload).pixels for m in found], volume)


def test_a_deflated_frame_that_goes_on_and_on_is_not_inflated_further():
    ds = dataset(np.zeros((5, 7), np.uint16))
    (message,) = messages(deflated_frames(ds, [deflated(b"\0" * (64 << 20))]))
    assert decode_frame(message.payload).pixels.shape == (5, 7)


def test_a_deflated_frame_that_ends_early_is_undecodable():
    ds = dataset(np.zeros((5, 7), np.uint16))
    with pytest.raises(FrameError, match="Deflated Image Frame"):
        messages(deflated_frames(ds, [deflated(b"\0" * 10)]))


def run_length_encoded():
    """Return a volume, and the data set that holds it run-length encoded."""
    volume = np.stack([chest_hu(n, size=32) for n in range(4)])
    ds = dataset(volume, SOPInstanceUID="1.2.3")
    ds.file_meta = FileMetaDataset()
    ds.compress(RLELossless, volume, generate_instance_uid=False)
    return volume, ds, list(generate_frames(ds.PixelData, number_of_frames=4))


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_encapsulated_frames_with_and_without_an_offset_table(table):
    volume, ds, encoded = run_length_encoded()
    if table == "extended":
        ds.PixelData, offsets, lengths = encapsulate_extended(encoded)
        ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = offsets, lengths
    else:
        ds.PixelData = encapsulate(encoded, has_bot=table == "basic")
    found = frames(ds, syntax=RLELossless)
    np.testing.assert_array_equal([f.pixels for f in found], volume)


def test_a_frame_in_several_fragments():
    volume, ds, encoded = run_length_encoded()
    ds.PixelData = encapsulate(encoded, fragments_per_frame=3)
    found = frames(ds, syntax=RLELossless)
    np.testing.assert_array_equal([f.pixels for f in found], volume)


def test_one_frame_that_counts_itself():
    pixels = chest_hu(0, size=16)
    (message,) = messages(part10(dataset(pixels, NumberOfFrames=1, SOPInstanceUID="1.2.3")))
    (plain,) = messages(part10(dataset(pixels, SOPInstanceUID="1.2.3")))
    assert message.frame_id == plain.frame_id


def test_each_frame_of_an_enhanced_object_lies_where_it_says():
    """Orientation and rescale may differ from frame to frame."""
    ds = dataset(np.stack([chest_hu(n, size=16) for n in range(2)]))
    del ds.RescaleSlope, ds.RescaleIntercept, ds.PixelSpacing
    said = [
        ([1.0, 0, 0, 0, 1, 0], [0.5, 0.5], (1.0, -1024.0)),
        ([0.0, 1, 0, 0, 0, -1], [0.5, 0.7], (2.0, 0.0)),
    ]
    groups = []
    for orientation, spacing, (slope, intercept) in said:
        group, plane, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
        plane.ImageOrientationPatient = orientation
        measures.PixelSpacing = spacing
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, intercept, "HU"
        group.PlaneOrientationSequence = [plane]
        group.PixelMeasuresSequence = [measures]
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    found = [frame.about for frame in frames(ds)]
    assert [
        (list(about.image_orientation), list(about.pixel_spacing_mm), about.rescale)
        for about in found
    ] == said
    assert {about.rescale_type for about in found} == {"HU"}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"PixelRepresentation": None}, "PixelRepresentation missing"),
        ({"PixelData": b""}, "the pixel data are empty"),
        ({"Rows": 9}, "end early: 128 of 144 bytes"),
        ({"NumberOfFrames": 2**31 - 1}, "end early"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_with_a_description_is_said_by_name(attributes, words):
    ds = dataset(chest_hu(0, size=8))
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    with pytest.raises(FrameError, match=words) as caught:
        frames(ds)
    assert caught.value.reason is Reason.UNDECODABLE


def test_an_image_that_was_cut_off_is_not_called_no_image():
    """Inside an element, that is: a file that ends between two looks whole."""
    _, ds, encoded = run_length_encoded()
    ds.PixelData = encapsulate(encoded)
    ds["PixelData"].is_undefined_length = True
    ds.RequestAttributesSequence = [Dataset()]
    ds.RequestAttributesSequence[0].ScheduledProcedureStepID = "1"
    ds["RequestAttributesSequence"].is_undefined_length = True
    data = part10(ds, syntax=RLELossless)
    whole = pydicom.dcmread(io.BytesIO(data))
    for tag in list(whole.keys()):
        element = whole.get_item(tag)
        begins = getattr(element, "value_tell", None) or element.file_tell
        for size in (begins - 3, begins + 1):
            with pytest.raises(FrameError) as caught:
                list(prepare(data[:size], KEY))
            assert caught.value.reason is Reason.UNDECODABLE, size


def test_a_report_that_was_cut_off_is_still_no_image():
    ds = dataset(chest_hu(0, size=8), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(ds, keyword)
    with pytest.raises(FrameError) as caught:
        list(prepare(part10(ds)[:-3], KEY))
    assert caught.value.reason is Reason.NOT_AN_IMAGE
