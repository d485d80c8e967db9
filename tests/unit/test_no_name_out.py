"""A canary in every element that can hold text: none comes out of a producer."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.datadict import tag_for_keyword
from support.canaries import (
    CT,
    ENHANCED_CT,
    MAY_STAY,
    REPORT,
    Canaries,
    claims,
    image,
)
from support.phantoms import dataset, part10

from producers import kept
from producers.prepare import prepare
from wire.errors import FrameError

pytestmark = pytest.mark.filterwarnings("ignore")

KEY = b"k" * 32


def outcome(data: bytes) -> list[bytes]:
    """Return all that leaves the producer: payloads, what is said of them, and errors."""
    said = []
    try:
        for item in prepare(data, KEY):
            if isinstance(item, FrameError):
                said.append(repr(item).encode())
            else:
                said += [item.payload, f"{item!r} {item.subject} {item.patient_id}".encode()]
    except FrameError as error:
        said.append(repr(error).encode())
    return said


def leaks(canaries: Canaries, said: list[bytes]) -> set[str]:
    return set().union(*map(canaries.found, said)) - MAY_STAY


@pytest.mark.parametrize(("name", "claim"), list(claims()), ids=[name for name, _ in claims()])
def test_no_canary_of_any_element_leaves(name, claim):
    """Whatever the VR that a file claims; where a name is claimed a number, there is no frame."""
    canaries = Canaries()
    said = outcome(image(canaries, uid="1.2.9", claim=claim, sequences=name == "true"))
    assert len(said) == (1 if name == "DS" else 2), f"it became a frame: {said[-1]!r}"
    assert leaks(canaries, said) == set()
    assert len(canaries.places) > 2_500, "it was full of them"


def test_no_canary_of_the_functional_groups_leaves():
    canaries = Canaries()
    said = outcome(image(canaries, uid="1.2.9", frames=3, sop_class=ENHANCED_CT))
    assert len(said) == 6
    assert leaks(canaries, said) == set()


@pytest.mark.parametrize("charset", ["ISO 2022 IR 87", "GB18030", "CANARY00000"])
def test_no_canary_leaves_in_any_character_set(charset):
    canaries = Canaries()
    canaries.new("SpecificCharacterSet")
    said = outcome(image(canaries, uid="1.2.9", charset=charset, sequences=False))
    assert len(said) == 2
    assert leaks(canaries, said) == set()


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda canaries: image(canaries, uid="1.2.9", sop_class=REPORT),
        lambda canaries: image(canaries, uid="1.2.9", pixels=b"\0\0"),
        lambda canaries: image(canaries, uid="1.2.9")[:50_000],
        lambda canaries: image(canaries, uid="1.2.9")[:300],
        lambda canaries: image(canaries, uid="1.2.9")[132:],
        lambda canaries: canaries.new("text") * 1000,
    ],
    ids=["report", "no pixels", "cut", "cut in the meta", "no meta", "no DICOM"],
)
def test_no_canary_leaves_with_what_is_no_frame(spoilt):
    canaries = Canaries()
    said = outcome(spoilt(canaries))
    assert said
    assert leaks(canaries, said) == set()


def test_a_uid_that_is_a_name_is_taken_out():
    canaries = Canaries()
    data = image(canaries, uid="1.2.9").replace(b"1.2.3.2 ", b"1.2.3.2\0")
    for uid in (b"1.2.3.1\0", b"1.2.3.2\0"):
        assert uid in data
        data = data.replace(uid, b"DOE JANE")
    payload, said = outcome(data)
    assert b"DOE JANE" not in payload + said


@pytest.mark.parametrize(
    ("keyword", "value", "stays"),
    [
        ("ConvolutionKernel", "Br40d\\3", "['Br40d', '3']"),
        ("RescaleType", "HU", "HU"),
        ("RescaleType", "of Jane Doe", "OTHER"),
        ("ImageType", "ORIGINAL\\PRIMARY\\Jane Doe", "['ORIGINAL', 'PRIMARY', '']"),
        ("BodyPartExamined", "Chest", "Chest"),
        ("SliceThickness", "2.5", "2.5"),
        ("FrameOfReferenceUID", "1.2.840.4711", "1.2.840.4711"),
        ("CodeValue", "T-28000", "T-28000"),
        ("CodeValue", "113076", "113076"),
        ("CodeValue", "DOEJANE", "None"),
        ("CodeMeaning", "of Jane Doe", "None"),
        ("PatientSex", "F", ""),
        ("SmokingStatus", "YES", "None"),
        ("KVP", "120", "120"),
        ("SegmentLabel", "of Jane Doe", "None"),
    ],
)
def test_what_a_machine_needs_stays_and_words_go(keyword, value, stays):
    ds = dataset(np.zeros((8, 8), np.uint16))
    holder = ds
    if keyword.startswith("Code"):
        holder = pydicom.Dataset()
        ds.DerivationCodeSequence = [holder]
    setattr(holder, keyword, value)
    (message,) = prepare(part10(ds), KEY)
    after = pydicom.dcmread(io.BytesIO(message.payload))
    if holder is not ds:
        (after,) = after.DerivationCodeSequence
    assert str(after.get(keyword)) == stays


@pytest.mark.parametrize(
    "long", [" " * 500_000 + "!", "\\" * 500_000 + "\0x", "1\\" * 250_000 + "x "]
)
@pytest.mark.parametrize(
    "keyword", ["Manufacturer", "ConvolutionKernel", "SliceThickness", "ImageType", "CodeValue"]
)
def test_a_value_made_to_be_slow_is_not(keyword, long):
    """It would take longer than the age of the test."""
    kept.fitting(tag_for_keyword(keyword), long)


def test_the_values_of_a_frame_are_the_same_as_before():
    (message,) = prepare(image(Canaries(), uid="1.2.9"), KEY)
    after = pydicom.dcmread(io.BytesIO(message.payload))
    assert (after.SOPClassUID, after.SOPInstanceUID) == (CT, "1.2.9")
    assert (after.Modality, after.BodyPartExamined) == ("CT", "CHEST")
    assert (after.pixel_array == -800).all()
