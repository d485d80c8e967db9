"""De-identification: PS3.15 Annex E, Basic profile, with three options.

Retain UIDs (results must join the PACS), Retain Longitudinal Temporal Information With Modified
Dates (one shift a patient), Retain Device Identity. The tag table of the profile is
dicom-anonymizer's; what is decided here is only what each action means for a frame that a machine
reads: remove, or empty where the profile wants a value of zero length.

https://dicom.nema.org/medical/dicom/current/output/chtml/part15/chapter_e.html
"""

import datetime
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from identity.pseudonyms import Pseudonyms
from producers import kept
from wire.explicit import ascii_text, known_vr, raw, sequence, verbatim
from wire.part10 import text

EDITION = "dicomfields_2026c"
"""Edition of the profile's tag table."""

METHODS = {
    "113100": "Basic Application Confidentiality Profile",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
}
"""Codes of PS3.16 CID 7050 for what was done, written into each frame."""

DEVICE_IDENTITY = {
    tag_for_keyword(keyword)
    for keyword in (
        "CassetteID DetectorID DeviceDescription DeviceLabel DeviceSerialNumber DeviceUID GantryID "
        "GeneratorID ManufacturerDeviceIdentifier PerformedStationAETitle PerformedStationName "
        "PerformedStationNameCodeSequence PlateID ScheduledStationAETitle ScheduledStationName "
        "ScheduledStationNameCodeSequence SourceManufacturer SourceSerialNumber StationName "
        "TransducerIdentificationSequence TreatmentMachineName UDISequence UniqueDeviceIdentifier "
        "XRayDetectorID XRayDetectorLabel XRaySourceID"
    ).split()
} - {None}
"""Column "Retain Device Identity Option" of Table E.1-1, as far as a frame can hold it."""

_PATIENT_BIRTH = range(0x00100030, 0x00100036)
_REPEATING_GROUPS = (0x5000, 0x6000)  # curves and overlays: drawings and their labels

_CODES = sequence(
    "DeidentificationMethodCodeSequence",
    (
        (
            raw("CodeValue", value.encode()),
            raw("CodingSchemeDesignator", b"DCM"),
            raw("CodeMeaning", meaning.encode()),
        )
        for value, meaning in METHODS.items()
    ),
)

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)  # with dots: ACR-NEMA
_TIME = re.compile(r"\d{2}:?(\d{2}:?(\d{2}(\.\d{1,6})?)?)?", re.ASCII)
_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})?(?P<day>\d{2})?(?P<rest>\d{0,6}(\.\d{1,6})?([+-]\d{4})?)",
    re.ASCII,
)


def _profile() -> tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int]]]:
    """Return the tags that the profile's table empties, and those that it removes."""
    table = dicom_anonymization_database_selector(EDITION)
    empty = ("Z_TAGS", "Z_D_TAGS", "D_TAGS")
    remove = ("X_TAGS", "X_Z_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "X_Z_U_STAR_TAGS")
    return (
        frozenset(tag for name in empty for tag in table[name]),
        frozenset(tag for name in remove for tag in table[name]),
    )


_EMPTY, _REMOVE = _profile()


@lru_cache(maxsize=4096)  # the tags of all devices of a hospital; a hostile file may name more
def action_on(tag: int) -> str:
    """Return ``keep``, ``check``, ``time``, ``shift``, ``empty`` or ``remove`` for a tag.

    What it is, is decided by the standard's dictionary, not by the VR the file claims; what the
    dictionary does not know is removed. Of what the table does not name, `producers.kept` decides.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if (
        group % 2  # private
        or element == 0  # group lengths: wrong once anything is removed
        or (group & 0xFF00) in _REPEATING_GROUPS
        or tag in _PATIENT_BIRTH
        or not dictionary_has_tag(tag)
    ):
        return "remove"
    vr = dictionary_VR(tag)
    if tag in DEVICE_IDENTITY and vr != "UI":
        return "keep"
    if vr in ("DA", "DT"):
        return "shift"
    if vr == "TM":  # whole days are shifted: the time of day is as true as before
        return "time"
    if (group, element) in _REMOVE:
        return "remove"
    if (group, element) in _EMPTY:
        return "remove" if vr == "SQ" else "empty"
    return "empty" if vr == "PN" else "check"


def deidentify(dataset: Dataset, pseudonyms: Pseudonyms, data: bytes) -> str:
    """Take the patient out of `dataset`, in place, and return the pseudonym put there instead.

    Parameters
    ----------
    data : the object itself, for the pseudonym of one that names neither patient nor study.
    """
    pseudonym = pseudonym_of(dataset, pseudonyms, data)
    clean(dataset, pseudonyms.shift_days(pseudonym))
    for element in (
        raw("PatientID", pseudonym.encode("ascii")),
        raw("PatientName", b""),
        raw("PatientIdentityRemoved", b"YES"),
        raw("LongitudinalTemporalInformationModified", b"MODIFIED"),
        _CODES,
    ):
        dataset[element.tag] = element
    return pseudonym


def pseudonym_of(dataset: Dataset, pseudonyms: Pseudonyms, data: bytes) -> str:
    """Return the pseudonym of the patient, else of the study, else of the object."""
    patient_id, study = text(dataset, "PatientID"), text(dataset, "StudyInstanceUID")
    if patient_id:
        return pseudonyms.patient(text(dataset, "IssuerOfPatientID"), patient_id)
    if study:
        return pseudonyms.study(study)
    return pseudonyms.nameless(hashlib.sha256(data).hexdigest())


def clean(dataset: Dataset, shift_days: int) -> None:
    """Apply the profile to all elements of `dataset` and its sequences, in place.

    Elements that are raw afterwards stand in Explicit VR Little Endian.
    """
    for tag, element in list(dataset.items()):
        action = action_on(int(tag))
        if action == "check" and element.VR != "UN":  # pydicom reads that as what it is
            action = kept.decide(int(tag), element.VR or known_vr(int(tag)).split(" or ")[0])
        if action == "remove":
            del dataset[tag]
            continue
        clean_element = _unread(element, action, shift_days)
        if clean_element is None:
            _read(dataset, tag, action, shift_days)
        elif clean_element is not element:
            dataset[tag] = clean_element
    dataset.set_original_encoding(False, True)


def _unread(
    element: DataElement | RawDataElement, action: str, shift_days: int
) -> RawDataElement | None:
    """Return what becomes of an element whose value pydicom need not read; else None."""
    if action == "keep":
        return verbatim(element)
    if action == "check":
        words = ascii_text(element)
        fits = words is not None and kept.fitting(int(element.tag), words) == words
        return verbatim(element) if fits else None
    if action == "empty":
        known = known_vr(int(element.tag))
        unread = isinstance(element, RawDataElement) and element.VR in (None, known)
        return raw(element.tag, b"") if unread and len(known) == 2 else None
    text = ascii_text(element)
    return None if text is None else _dated(element.tag, text.split("\\"), shift_days)


def _read(dataset: Dataset, tag: BaseTag, action: str, shift_days: int) -> None:
    """Apply the profile to an element whose value must be read, in place."""
    try:
        element = dataset[tag]
    except Exception:  # the decode boundary: a value nobody can read is a value nobody needs
        del dataset[tag]
        return
    if action == "check":
        action = kept.decide(int(tag), element.VR)
    if action == "check":
        words = _words(element)
        fitting = kept.fitting(int(tag), words)
        if fitting != words:
            element.value = fitting
            action = "keep" if fitting else "remove"
    hidden = known_vr(int(tag)) == "SQ" != element.VR  # items that nobody can look into
    if hidden or action == "remove" or element.VR == "UN":
        del dataset[tag]
    elif action in ("shift", "time"):
        value = element.value
        values = [value] if isinstance(value, str) else list(value or [])
        dataset[tag] = _dated(tag, values, shift_days)
    elif action == "empty" and not kept.is_text(element.VR):
        del dataset[tag]
    elif action == "empty" or (element.VR == "PN" and tag not in DEVICE_IDENTITY):
        element.value = None
    elif element.VR == "SQ":
        for item in element.value:
            clean(item, shift_days)


def _words(element: DataElement) -> str:
    """Return all values of a text as they stand in a file."""
    several = isinstance(element.value, Iterable) and not isinstance(element.value, str)
    return "\\".join(map(str, element.value if several else [element.value or ""]))


def _dated(tag: BaseTag, values: Iterable[object], days: int) -> RawDataElement:
    """Return the element with dates moved back; empty where a value is no date or time."""
    shift = {"DA": _shifted_date, "DT": _shifted_date_time, "TM": _same_time}[known_vr(int(tag))]
    moved = [shift(str(value).strip(), days) for value in values]
    return raw(tag, "\\".join(moved).encode("ascii") if all(moved) else b"")


def _shifted_date(value: str, days: int) -> str:
    match = _DATE.fullmatch(value)
    return _back("".join(match.groups()), days) if match else ""


def _shifted_date_time(value: str, days: int) -> str:
    """Move the date; the time of day and the offset stay as they are."""
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        return ""
    day = _back(f"{match['year']}{match['month'] or '01'}{match['day'] or '01'}", days)
    return day and day + match["rest"]


def _same_time(value: str, days: int) -> str:
    return value if _TIME.fullmatch(value) else ""


def _back(day: str, days: int) -> str:
    """Move YYYYMMDD back by `days`; "" where there is no such day."""
    try:
        date = datetime.date(int(day[:4]), int(day[4:6]), int(day[6:]))
        return (date - datetime.timedelta(days=days)).strftime("%Y%m%d")
    except (ValueError, OverflowError):
        return ""
