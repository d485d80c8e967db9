"""De-identification: PS3.15 Annex E, Basic profile, with three options.

Retain UIDs (results must join the PACS), Retain Longitudinal Temporal Information With Modified
Dates (one shift a patient), Retain Device Identity. The tag table of the profile is
dicom-anonymizer's; what is decided here is only what each action means for a frame that a machine
reads: remove, or empty where the profile wants a value of zero length.

https://dicom.nema.org/medical/dicom/current/output/chtml/part15/chapter_e.html
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from identity.pseudonyms import Pseudonyms
from producers import kept
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

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with dots: ACR-NEMA
_TIME = re.compile(r"\d{2}:?(\d{2}:?(\d{2}(\.\d{1,6})?)?)?")
_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})?(?P<day>\d{2})?(?P<rest>\d{0,6}(\.\d{1,6})?([+-]\d{4})?)"
)


class Profile:
    """The profile's table, asked tag by tag."""

    def __init__(self) -> None:
        table = dicom_anonymization_database_selector(EDITION)
        self._empty = {t for name in ("Z_TAGS", "Z_D_TAGS", "D_TAGS") for t in table[name]}
        self._remove = {
            t
            for name in ("X_TAGS", "X_Z_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "X_Z_U_STAR_TAGS")
            for t in table[name]
        }

    def action(self, element: DataElement) -> str:
        """Return ``keep``, ``check``, ``time``, ``shift``, ``empty`` or ``remove``.

        What it is, is decided by the standard's dictionary, not by the VR the file claims; what
        the dictionary does not know is removed. What the table does not name: `producers.kept`.
        """
        tag, pair = element.tag, (element.tag.group, element.tag.element)
        if (
            tag.is_private
            or tag.element == 0  # group lengths: wrong once anything is removed
            or (tag.group & 0xFF00) in _REPEATING_GROUPS
            or tag in _PATIENT_BIRTH
            or element.VR == "UN"
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
        if pair in self._remove:
            return "remove"
        if pair in self._empty:
            return "empty" if kept.is_text(element.VR) else "remove"
        return "empty" if "PN" in (vr, element.VR) else kept.decide(tag, element.VR)


_PROFILE = Profile()


def deidentify(dataset: Dataset, pseudonyms: Pseudonyms, sha256: str) -> str:
    """Take the patient out of `dataset`, in place, and return the pseudonym put there instead.

    Parameters
    ----------
    sha256 : of the object, for the pseudonym of one that names neither patient nor study.
    """
    pseudonym = pseudonym_of(dataset, pseudonyms, sha256)
    clean(dataset, pseudonyms.shift_days(pseudonym))
    dataset.PatientID = pseudonym
    dataset.PatientName = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.DeidentificationMethodCodeSequence = Sequence(
        [_code(value, meaning) for value, meaning in METHODS.items()]
    )
    return pseudonym


def pseudonym_of(dataset: Dataset, pseudonyms: Pseudonyms, sha256: str) -> str:
    """Return the pseudonym of the patient, else of the study, else of the object."""
    patient_id, study = text(dataset, "PatientID"), text(dataset, "StudyInstanceUID")
    if patient_id:
        return pseudonyms.patient(text(dataset, "IssuerOfPatientID"), patient_id)
    return pseudonyms.study(study) if study else pseudonyms.nameless(sha256)


def clean(dataset: Dataset, shift_days: int) -> None:
    """Apply the profile to all elements of `dataset` and its sequences, in place."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # the decode boundary: a value nobody can read is a value nobody needs
            del dataset[tag]
            continue
        action = _PROFILE.action(element)
        if action == "check":
            words = _words(element)
            fitting = kept.fitting(tag, words)
            if fitting != words:
                element.value = fitting
                action = "keep" if fitting else "remove"
        if action == "remove":
            del dataset[tag]
        elif action == "empty":
            element.value = None
        elif action in ("shift", "time"):
            dataset[tag] = _dated(element, shift_days)
        elif element.VR == "SQ":
            for item in element.value:
                clean(item, shift_days)


def _words(element: DataElement) -> str:
    """Return all values of a text as they stand in a file."""
    several = isinstance(element.value, Iterable) and not isinstance(element.value, str)
    return "\\".join(map(str, element.value if several else [element.value or ""]))


def _dated(element: DataElement, days: int) -> DataElement:
    """Return the element with dates moved back; empty where a value is no date or time."""
    value, vr = element.value, dictionary_VR(element.tag)
    values = [value] if isinstance(value, str) else list(value or [])
    shift = {"DA": _shifted_date, "DT": _shifted_date_time, "TM": _same_time}[vr]
    moved = [shift(str(value).strip(), days) for value in values]
    return DataElement(element.tag, vr, moved if all(moved) else "")


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
        return (datetime.strptime(day, "%Y%m%d") - timedelta(days=days)).strftime("%Y%m%d")
    except (ValueError, OverflowError):
        return ""


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item
