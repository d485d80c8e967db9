"""No name out; what results need to join the PACS stays."""

import datetime

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.phantoms import dataset, part10

from identity.pseudonyms import Pseudonyms
from producers.prepare import prepare
from wire.explicit import raw, sequence

KEY = b"k" * 32
CANARY = "CANARYNAME"

pytestmark = pytest.mark.filterwarnings("ignore")


def sent(ds):
    (message,) = prepare(part10(ds), KEY)
    return message, pydicom.dcmread(pydicom.filebase.DicomBytesIO(message.payload))


def plain(**attributes):
    return dataset(np.zeros((8, 8), np.uint16), **attributes)


def test_canaries_in_every_text_attribute_of_the_profile_are_gone():
    ds = plain()
    keywords = [
        "PatientName", "PatientID", "OtherPatientIDs", "ReferringPhysicianName", "InstitutionName",
        "StudyDescription", "SeriesDescription", "AccessionNumber", "PatientComments",
        "OperatorsName", "ImageComments", "ProtocolName", "RequestingPhysician", "StudyID",
        "PatientAddress", "EthnicGroup", "CurrentPatientLocation", "AdditionalPatientHistory",
        "PatientBirthName", "PerformingPhysicianName", "AcquisitionComments",
        "DerivationDescription",
    ]  # fmt: skip
    for keyword in keywords:
        setattr(ds, keyword, CANARY)
    item = Dataset()
    item.PatientName, item.OperatorsName = CANARY, CANARY
    ds.ReferencedImageSequence = Sequence([item])
    ds.RequestAttributesSequence = Sequence([item])
    block = ds.private_block(0x0011, CANARY, create=True)
    block.add_new(0x01, "LO", CANARY)
    ds.add_new(0x60003000, "OW", CANARY.encode())
    ds.add_new(0x50003000, "OW", CANARY.encode())
    ds.add_new(0x00091001, "UN", CANARY.encode())
    message, _ = sent(ds)
    assert CANARY.encode() not in message.payload


@pytest.mark.parametrize("vr", ["TM", "DA", "DT", "LO", "PN", "UN"])
@pytest.mark.parametrize(
    "tag", [0x00091001, 0x00101040, 0x00101005, 0x00100033, 0x0040A075, 0x00109999, 0x60001500]
)
def test_no_claim_of_a_file_gets_a_name_through(tag, vr):
    """Private, known, birth, person, unknown and overlay attributes, with a VR they have or not."""
    ds, item = plain(), Dataset()
    for holder in (ds, item):
        if vr in ("TM", "DA", "DT"):
            holder.add_new(tag, vr, None)
            holder[tag]._value = CANARY  # past pydicom's check of what a time is
        else:
            holder.add_new(tag, vr, CANARY.encode() if vr == "UN" else CANARY)
    ds.RequestAttributesSequence = Sequence([item])
    ds.DerivationCodeSequence = Sequence([item])
    assert CANARY.encode() not in sent(ds)[0].payload


@pytest.mark.parametrize("vr", ["OB", "OW", "UT", "LT", "UN", "SQ"])
@pytest.mark.parametrize("keyword", ["ReferencedImageSequence", "DerivationCodeSequence"])
def test_a_sequence_under_another_name_hides_nothing(keyword, vr):
    """A file may claim that a sequence is bytes; whoever knows the tag reads its items."""
    name = f"{CANARY}^X"
    item = sequence(keyword, [[raw("PatientName", name.encode())]])
    ds = plain()
    ds[item.tag] = item._replace(VR=vr)
    assert CANARY.encode() in part10(ds)
    assert CANARY.encode() not in sent(ds)[0].payload


@pytest.mark.parametrize("tag", [0x00181030, 0x00091001, 0x00080070])
def test_an_element_of_an_unknown_kind_is_left_out(tag):
    """Its bytes may be anything; the frame goes on without it."""
    ds = plain(Manufacturer="X", ProtocolName="X")
    ds.add_new(0x00090010, "LO", "A CREATOR")
    ds.add_new(0x00091001, "LO", "X")
    written = part10(ds)
    there = tag.to_bytes(4, "big")
    place = written.index(bytes((there[1], there[0], there[3], there[2])) + b"LO")
    odd = written[: place + 4] + b"QZ" + written[place + 6 :]
    (message,) = prepare(odd, KEY)
    assert tag not in pydicom.dcmread(pydicom.filebase.DicomBytesIO(message.payload))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyTime", CANARY),
        ("StudyDate", f"20240101 {CANARY}"),
        ("AcquisitionDateTime", f"20240101 {CANARY}"),
        ("AcquisitionDateTime", f"20240101{CANARY}"),
        ("EvaluatorName", CANARY),
    ],
)
def test_dates_and_times_hold_nothing_else(keyword, value):
    ds = plain(**{keyword: value if keyword == "EvaluatorName" else None})
    if keyword != "EvaluatorName":
        ds[keyword]._value = value
    assert CANARY.encode() not in sent(ds)[0].payload


def test_says_what_was_done():
    _, ds = sent(plain())
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113107", "113109", "113110"}


def test_uids_and_device_stay():
    before = plain(StationName="CT99", DeviceSerialNumber="4711", FrameOfReferenceUID="1.2.9")
    _, after = sent(before)
    for keyword in (
        "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID",
        "StationName", "DeviceSerialNumber", "Modality", "BodyPartExamined",
    ):  # fmt: skip
        assert after[keyword].value == before[keyword].value, keyword


def test_dates_of_a_patient_move_together():
    shifts = set()
    for day in ("20240102", "20250630"):
        _, ds = sent(plain(AcquisitionDate=day, StudyDate=day, AcquisitionDateTime=day + "101112"))
        for keyword in ("AcquisitionDate", "StudyDate"):
            before = datetime.date.fromisoformat(day)
            shifts.add((before - datetime.date.fromisoformat(str(ds[keyword].value))).days)
        assert str(ds.AcquisitionDateTime).endswith("101112")
        assert ds.AcquisitionTime == "030405"
    (shift,) = shifts
    assert shift >= 1


def test_a_birth_date_is_not_shifted_but_removed():
    _, ds = sent(plain(PatientBirthDate="19500101"))
    assert not ds.get("PatientBirthDate")


@pytest.mark.parametrize("value", ["2024", "202401", "2024.01.02", "garbage", "99999999", ""])
def test_odd_dates_do_not_stop_a_frame(value):
    _, ds = sent(plain(StudyDate=value))
    assert value == "" or value not in str(ds.get("StudyDate"))


def test_same_patient_same_pseudonym_in_every_study():
    one, _ = sent(plain(StudyInstanceUID="1.2.1"))
    two, _ = sent(plain(StudyInstanceUID="1.2.2"))
    other, _ = sent(plain(PatientID="P2"))
    issued, _ = sent(plain(IssuerOfPatientID="HOSPITAL B"))
    assert one.patient_id == two.patient_id
    assert len({one.patient_id, other.patient_id, issued.patient_id}) == 3


def test_nameless_objects_are_never_merged():
    study_one, _ = sent(plain(PatientID="", StudyInstanceUID="1.2.1"))
    study_two, _ = sent(plain(PatientID="", StudyInstanceUID="1.2.2"))
    nothing, _ = sent(plain(PatientID="", StudyInstanceUID=""))
    assert study_one.patient_id != study_two.patient_id
    assert [m.patient_id[0] for m in (study_one, nothing)] == ["s", "h"]


def test_another_key_gives_other_pseudonyms():
    ours, theirs = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert ours.patient(None, "P1") != theirs.patient(None, "P1")
