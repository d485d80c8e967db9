"""What is written without being read is, byte for byte, what reading and writing gives."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag

from wire.explicit import ascii_text, encoded, is_encoded, known_vr, raw, sequence, verbatim

KEYWORDS = {
    "AE": "StationAETitle", "AS": "PatientAge", "CS": "Modality", "DS": "SliceThickness",
    "FD": "DiffusionBValue", "FL": "ExaminedBodyThickness", "IS": "InstanceNumber",
    "LO": "Manufacturer", "LT": "ImageComments", "OB": "ICCProfile",
    "OW": "RedPaletteColorLookupTableData",
    "SH": "StationName", "SL": "ReferencePixelX0", "SS": "TagAngleSecondAxis",
    "ST": "InstitutionAddress", "UC": "LongCodeValue", "UI": "SOPInstanceUID",
    "UL": "SimpleFrameList", "US": "Rows", "UT": "TextValue", "DA": "StudyDate", "TM": "StudyTime",
}  # fmt: skip

VALUES = st.one_of(
    st.binary(max_size=12),
    st.text("0123456789.+-eE \\AZ~\0", max_size=14).map(str.encode),
    st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3), max_size=3).map(
        lambda numbers: "\\".join(map(str, numbers)).encode()
    ),
)
CHARACTER_SETS = st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "GB18030"])

pytestmark = pytest.mark.filterwarnings("ignore")


def unread(vr, value, *, implicit=False, little_endian=True):
    """Return an element as pydicom's reader leaves it."""
    vr_there, tag = None if implicit else vr, Tag(KEYWORDS[vr])
    return RawDataElement(tag, vr_there, len(value), value, 0, implicit, little_endian)


def holding(element, character_set=""):
    dataset = Dataset({element.tag: element})
    if character_set:
        dataset.SpecificCharacterSet = character_set
    return dataset


def rewritten(element, character_set):
    """Return the bytes of an element whose value pydicom reads and writes."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_data_element(buffer, holding(element, character_set)[element.tag], character_set)
    return buffer.getvalue()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KEYWORDS)), VALUES, st.booleans(), CHARACTER_SETS)
@example("LO", b"A \\B ", False, "")
@example("UI", b"1.2 ", False, "")
@example("DS", b" 1.5", True, "")
@example("OB", b"abc", False, "")
@example("CS", b"A  ", False, "")
def test_verbatim_is_what_reading_and_writing_gives(vr, value, implicit, character_set):
    same = verbatim(unread(vr, value, implicit=implicit))
    if same is not None:
        assert is_encoded(same)
        assert b"".join(encoded(same)) == rewritten(unread(vr, value), character_set)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["AS", "CS", "DA", "DS", "IS", "LO", "SH", "TM", "UI"]), VALUES)
def test_plain_text_is_what_reading_gives(vr, value):
    text = ascii_text(unread(vr, value))
    if text is not None:
        read = holding(unread(vr, value))[KEYWORDS[vr]].value
        many = [] if read in ("", None) else [read] if isinstance(read, str | int | float) else read
        assert text == "\\".join(str(v) for v in many)


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("LO", b"SIEMENS "),
        ("UI", b"1.2.840\0"),
        ("DS", b"0.5\\0.25"),
        ("US", b"\1\2"),
        ("OW", b"ab"),
    ],
)
@pytest.mark.parametrize("implicit", [False, True])
def test_what_devices_write_is_not_read(vr, value, implicit):
    assert verbatim(unread(vr, value, implicit=implicit)).value == value


@pytest.mark.parametrize("vr", ["US", "LO"])
def test_another_byte_order_is_read(vr):
    assert verbatim(unread(vr, b"\1\2", little_endian=False)) is None


def test_a_vr_that_other_elements_decide_is_read():
    tag = Tag("SmallestImagePixelValue")  # US or SS
    assert verbatim(RawDataElement(tag, None, 2, b"\1\2", 0, True, True)) is None


def test_text_too_long_for_its_vr_becomes_unknown():
    element = raw("Manufacturer", b"A" * 0x10000)
    (header, _) = encoded(element)
    assert header[4:6] == b"UN"
    assert b"".join(encoded(element)) == rewritten(element, "")


def test_the_keywords_of_these_tests_have_the_vr_they_stand_for():
    assert {known_vr(int(Tag(keyword))): keyword for keyword in KEYWORDS.values()} == KEYWORDS


def test_a_sequence_is_read_by_pydicom():
    items = [[raw("CodeValue", b"1"), raw("CodeMeaning", b"one")], [raw("CodeValue", b"22")]]
    dataset = holding(sequence("ViewCodeSequence", items))
    read = dataset.ViewCodeSequence
    assert [item.CodeValue for item in read] == ["1", "22"]
    assert read[0].CodeMeaning == "one"
