"""DICOM objects with a canary of its own in every element that can hold text.

Written byte by byte, not by pydicom: a device may claim any VR and put any bytes into it. A canary
is `canary` and five digits; the digits say which element it came from. Which of them may come out
is listed here by hand, from the standard and not from our code.
"""

import io
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import keyword_for_tag

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"

SOURCE_IMAGE = 0x00082112

CANARY = re.compile(rb"canary(\d{5})", re.IGNORECASE)

TAGS = {keyword_for_tag(tag): tag for tag in DicomDictionary}

NUMBERS = {"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
"""VRs with a length of 32 bits (PS3.5 Table 7.1-1)."""

DESCRIBES_PIXELS = {
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
    "SpecificCharacterSet", "PhotometricInterpretation", "NumberOfFrames", "PixelSpacing",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ImagePositionPatient", "SliceThickness",
    "ImageOrientationPatient", "PerFrameFunctionalGroupsSequence", "BodyPartExamined",
    "SharedFunctionalGroupsSequence", "BurnedInAnnotation", "RecognizableVisualFeatures",
    "ImageType", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime",
}  # fmt: skip
"""Without a sensible value of these there is no frame that could carry anything out."""


DEVICE = set(
    "CassetteID DetectorID DeviceDescription DeviceLabel DeviceSerialNumber GantryID GeneratorID "
    "ManufacturerDeviceIdentifier PerformedStationAETitle PerformedStationName PlateID "
    "ScheduledStationAETitle ScheduledStationName SourceManufacturer SourceSerialNumber "
    "StationName TreatmentMachineName UniqueDeviceIdentifier XRayDetectorID XRayDetectorLabel "
    "XRaySourceID".split()
)
"""Texts with a K in column "Retain Device Identity Option" of PS3.15 Table E.1-1."""

MACHINE = {"Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel"}
"""Not in Table E.1-1, so kept by the Basic profile: products, and what engines were trained for."""

TABLES = {
    f"{segmented}{colour}PaletteColorLookupTableData"
    for colour in ("Red", "Green", "Blue", "Alpha")
    for segmented in ("", "Segmented")
} | {"LUTData"}
"""No text: bytes that say how pixels look."""

MAY_STAY = {where + keyword for keyword in DEVICE | MACHINE | TABLES for where in ("", "item ")}


class Canaries:
    """Hands out canaries, and knows where each was put."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def new(self, place: str) -> bytes:
        """Return the next canary; `place` is what is said of it when it is found."""
        self.places.append(place)
        return f"CANARY{len(self.places) - 1:05}".encode()

    def found(self, data: bytes) -> set[str]:
        """Return the places of all canaries in some bytes."""
        return {self.places[int(number)] for number in CANARY.findall(data)}


Claim = Callable[[str], str]
"""The VR that the file claims, of the one that the dictionary says."""


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Return one element in Explicit VR Little Endian."""
    value += b"\0" * (len(value) % 2) if vr in ("UI", "OB", "UN") else b" " * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in LONG:
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """Return a sequence of these items."""
    whole = [struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items]
    return element(tag, "SQ", b"".join(whole))


def planted(canaries: Canaries, claim: Claim, where: str = "") -> dict[int, bytes]:
    """Return every element of the dictionary that can hold text, and some that are in none."""
    found = {}
    for tag, (vrs, *_) in DicomDictionary.items():
        vr, keyword = vrs.split(" or ")[0], keyword_for_tag(tag)
        skipped = keyword in DESCRIBES_PIXELS or tag >> 16 in (0, 2, 0x7FE0, 0xFFFC, 0xFFFE)
        if skipped or tag & 0xFFFF == 0 or vr in ("NONE", "SQ"):
            continue
        claimed = claim(vr)
        if claimed not in NUMBERS and (vr not in NUMBERS or claimed != "UN"):
            name = where + (keyword or f"{tag:08X}")
            shape = "CS" if vr == "CS" else claimed
            found[tag] = element(tag, claimed, _in_its_vr(canaries.new(name), shape))
    for tag in (0x00091001, 0x00110010, 0x00111001, 0x00109999, 0x00200009 + 0x00090000,
                0x50000022, 0x50002500, 0x50023000, 0x60000022, 0x60001500, 0x60023000,
                0xFFFCFFFC):  # fmt: skip
        vr = claim("OB" if tag & 0xFFFF in (0x3000, 0xFFFC) else "LO")
        if vr not in NUMBERS:
            found[tag] = element(tag, vr, _in_its_vr(canaries.new(f"{where}{tag:08X}"), vr))
    return found


def _in_its_vr(canary: bytes, vr: str) -> bytes:
    if vr == "PN":
        return canary + b"^Jane=" + canary
    if vr == "CS":
        return canary.lower()  # as people write: what is a code string, the standard lets stay
    if vr in ("DA", "DT"):
        return b"20240101" + canary
    return canary * 8 if vr[0] == "O" else canary


def image(
    canaries: Canaries,
    *,
    uid: str,
    claim: Claim = lambda vr: vr,
    frames: int = 1,
    sop_class: str = CT,
    charset: str = "ISO_IR 100",
    patient: str | None = None,
    pixels: bytes | None = None,
    sequences: bool = True,
) -> bytes:
    """Return a Part 10 file with canaries, of which a CT frame can be made.

    Parameters
    ----------
    frames : more than one make an Enhanced CT, with canaries in the functional groups.
    patient : its PatientID and PatientName; None for canaries.
    pixels : of all frames; None for what is right.
    sequences : with canaries in every sequence, and in one with all elements once more.
    """
    items = []
    if sequences:
        items = [b"".join(v for _, v in sorted(planted(canaries, claim, "item ").items()))]
    found = planted(canaries, claim)
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        if sequences and vr == "SQ" and keyword not in DESCRIBES_PIXELS and tag >> 16 > 2:
            one = element(0x00100010, "PN", canaries.new(f"{keyword}/PatientName"))
            two = element(0x00400280, "ST", canaries.new(f"{keyword}/CommentsOnThe..."))
            found[tag] = sequence(tag, [one + two])
    deep = sequence(TAGS["PurposeOfReferenceCodeSequence"], items)
    found[SOURCE_IMAGE] = sequence(SOURCE_IMAGE, [deep])
    if frames > 1:
        macro = TAGS["FrameContentSequence"]
        group = sequence(macro, items)
        found[0x52009229] = sequence(0x52009229, [group])
        found[0x52009230] = sequence(0x52009230, [group] * frames)
    if patient is not None:
        found[0x00100010] = element(0x00100010, "PN", patient.encode())
        found[0x00100020] = element(0x00100020, "LO", patient.encode())
        found.pop(0x00100021, None)
    size = 64
    plain = {
        "SpecificCharacterSet": charset, "SOPClassUID": sop_class, "SOPInstanceUID": uid,
        "StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.2", "Modality": "CT",
        "BodyPartExamined": "CHEST", "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": "1.5\\1.5", "RescaleSlope": "1", "RescaleIntercept": "0",
        "RescaleType": "HU", "ImagePositionPatient": "0\\0\\0", "AcquisitionDate": "20240102",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0", "SliceThickness": "2",
    }  # fmt: skip
    if frames > 1:
        plain["NumberOfFrames"] = str(frames)
    for keyword, value in plain.items():
        tag = TAGS[keyword]
        found[tag] = element(tag, DicomDictionary[tag][0], value.encode())
    for keyword, number in {"SamplesPerPixel": 1, "Rows": size, "Columns": size, "HighBit": 15,
                            "BitsAllocated": 16, "BitsStored": 16,
                            "PixelRepresentation": 1}.items():  # fmt: skip
        tag = TAGS[keyword]
        found[tag] = element(tag, "US", struct.pack("<H", number))
    if pixels is None:
        pixels = np.full((frames, size, size), -800, "<i2").tobytes()
    if sop_class != REPORT:
        found[0x7FE00010] = element(0x7FE00010, "OW", pixels)
    return file_of(canaries, sop_class, uid, b"".join(v for _, v in sorted(found.items())))


def file_of(canaries: Canaries, sop_class: str, uid: str, dataset: bytes) -> bytes:
    """Return a file with canaries in its preamble and file meta, too."""
    meta = b"".join(
        [
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", sop_class.encode()),
            element(0x00020003, "UI", uid.encode()),
            element(0x00020010, "UI", b"1.2.840.10008.1.2.1"),
            element(0x00020012, "UI", b"1.2.3"),
            *(
                element(tag, "SH" if tag == 0x00020013 else "AE", canaries.new(f"meta {tag:08X}"))
                for tag in (0x00020013, 0x00020016, 0x00020017, 0x00020018)
            ),
            element(0x00020026, "UR", canaries.new("meta 00020026")),
            element(0x00020100, "UI", b"1.2.3"),
            element(0x00020102, "OB", canaries.new("meta 00020102")),
        ]
    )
    length = element(0x00020000, "UL", struct.pack("<I", len(meta)))
    preamble = (canaries.new("preamble") * 12)[:128]
    return preamble + b"DICM" + length + meta + dataset


def claims() -> Iterator[tuple[str, Claim]]:
    """Yield what a file may claim of its elements: the truth, or one VR for all."""
    yield "true", lambda vr: vr
    for claimed in ("LO", "UN", "OB", "DS", "PN", "TM"):
        yield claimed, partial(_always, claimed)


def _always(claimed: str, vr: str) -> str:
    return claimed


def write(canaries: Canaries, folder: Path) -> None:
    """Write files of every fate into a folder, with canaries in the names of all of them."""

    small = partial(image, canaries, sequences=False)

    def file(data: bytes, *, within: Path = folder) -> None:
        within.mkdir(parents=True, exist_ok=True)
        (within / f"{canaries.new('file name').decode()}.dcm").write_bytes(data)

    file(image(canaries, uid="1.2.9.1"))
    file(small(uid="1.2.9.2", patient="CANARY^Jane"))
    file(small(uid="1.2.9.3", frames=2, sop_class=ENHANCED_CT))
    file(small(uid="1.2.9.4", claim=lambda vr: "UN"))
    inner = folder / canaries.new("folder name").decode()
    file(small(uid="1.2.9.5", sop_class=REPORT), within=inner)
    file(small(uid="1.2.9.6", pixels=b"\0\0"), within=inner)  # its header alone parses
    whole = small(uid="1.2.9.7")
    file(whole[: len(whole) // 2], within=inner)
    file(whole[:200], within=inner)
    file(canaries.new("text file") * 100, within=inner)
    file(small(uid="1.2.9.8", charset="ISO 2022 IR 87\\CANARYSET"), within=inner)
    for charset in ("GB18030", "ISO 2022 IR 149"):
        file(small(uid=f"1.2.9.{charset[-2:]}", charset=charset), within=inner)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for data in (small(uid="1.2.9.9"), whole[:4000]):
            members.writestr(f"{canaries.new('member name').decode()}.dcm", data)
        members.comment = canaries.new("archive comment")
    file(archive.getvalue(), within=inner)
