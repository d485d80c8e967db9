"""De-identification: PS3.15 Annex E, Basic profile, with three options.

Retain UIDs (results must join the PACS), Retain Longitudinal Temporal Information With Modified
Dates (one shift a patient), Retain Device Identity. The tag table of the profile is
dicom-anonymizer's; what is decided here is only what each action means for a frame that a machine
reads: remove, or empty where the profile wants a value of zero length.

https://dicom.nema.org/medical/dicom/current/output/chtml/part15/chapter_e.html
"""

from datetime import timedelta

from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import DA

from identity.pseudonyms import Pseudonyms
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

_PERSONAL_TIMES = {tag_for_keyword(f"PatientBirth{part}") for part in ("Date", "Time")}
_SHIFTED_VRS = ("DA", "DT")


class Profile:
    """The profile's table, asked tag by tag."""

    def __init__(self) -> None:
        table = dicom_anonymization_database_selector(EDITION)
        self._empty = {t for name in ("Z_TAGS", "Z_D_TAGS", "D_TAGS") for t in table[name]}
        self._remove = {
            t
            for name in ("X_TAGS", "X_Z_TAGS", "X_D_TAGS", "X_Z_D_TAGS", "X_Z_U_STAR_TAGS")
            for t in table[name]
            if len(t) == 2
        }
        self._repeating = [t for name in table for t in table[name] if len(t) == 4]

    def action(self, element: DataElement) -> str:
        """Return ``keep``, ``shift``, ``empty`` or ``remove`` for an element."""
        tag = element.tag
        if tag in DEVICE_IDENTITY:
            return "keep"
        if tag not in _PERSONAL_TIMES:
            if element.VR in _SHIFTED_VRS:
                return "shift"
            if element.VR == "TM":  # whole days are shifted: the time of day is as true as before
                return "keep"
        pair = (tag.group, tag.element)
        if tag.element == 0:  # group lengths: retired, and wrong once anything is removed
            return "remove"
        if tag.is_private or element.VR == "UN" or pair in self._remove or self._repeats(tag):
            return "remove"
        if pair in self._empty:
            return "remove" if element.VR == "SQ" else "empty"
        return "keep"

    def _repeats(self, tag: BaseTag) -> bool:
        """Tell whether the tag is one of a repeating group (curves, overlays)."""
        return any(
            tag.group & group_mask == group and tag.element & element_mask == element
            for group, element, group_mask, element_mask in self._repeating
        )


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
        if action == "remove":
            del dataset[tag]
        elif action == "empty":
            element.value = None
        elif action == "shift":
            element.value = _shifted(element, shift_days)
        elif element.VR == "SQ":
            for item in element.value:
                clean(item, shift_days)


def _shifted(element: DataElement, days: int) -> str:
    r"""Return the date(s) moved back by `days`; "" where one cannot be read."""
    values = [element.value] if isinstance(element.value, str) else list(element.value or [])
    try:
        return "\\".join(_shift_one(str(value).strip(), element.VR, days) for value in values)
    except (ValueError, OverflowError):
        return ""


def _shift_one(value: str, vr: str, days: int) -> str:
    """Move the date part of a DA or DT; the time of day and the offset stay as they are."""
    digits = value.replace(".", "") if vr == "DA" else value  # 1993.08.22 of ACR-NEMA
    day = (digits + "0101"[len(digits) - 4 :])[:8] if len(digits) in (4, 6) else digits[:8]
    moment = DA(day)
    if moment is None:
        return ""
    return (moment - timedelta(days=days)).strftime("%Y%m%d") + digits[8:]


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = meaning
    return item
