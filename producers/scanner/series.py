"""A simulated study as DICOM CT images, each with the truth about what can be seen in it."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from producers.scanner.anatomy import Field
from producers.scanner.course import SCAN_CENTRE_MM, SLICE_MM, Lesion, Patient, Study
from producers.scanner.physics import SIZE, SPACING_MM, Slice, pixel_mm, render
from producers.scanner.vessels import Lungs, grow

MANUFACTURER = "Lesionstream"
MODEL = "Simulated scanner"
VERSION = "1"
"""Of the physics. Other pixels need another version: UIDs depend on it."""

INTERCEPT_HU = -1024
_NAMESPACE = uuid.UUID("8d0a7c0e-54a7-5f0f-9d5e-0f1f6a0c7f1b")


@dataclass(frozen=True, slots=True)
class Image:
    """One CT image and its truth.

    truth : `SOPInstanceUID`, `z_mm`, and `lesions`: number, `x_px`, `y_px`, `diameter_mm` of each
        that fills at least half of a pixel's volume somewhere.
    """

    dataset: FileDataset
    truth: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """One series, to be reconstructed image by image."""

    patient: Patient
    study: Study
    slices: int
    lungs: Lungs

    def images(self) -> Iterator[Image]:
        """Yield the images from the feet to the head; the same scan has the same pixels."""
        for number in range(1, self.slices + 1):
            yield self._image(number)

    def truth(self, images: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the truth of the series, of the truths of its images.

        A lesion's `diameter_mm` is the longest in any image, as RECIST 1.1 measures; centres are
        in DICOM's patient coordinates, mm.
        """
        return {
            "PatientID": self.patient.patient_id,
            "course": self.patient.course.value,
            "StudyInstanceUID": self._uid("study"),
            "SeriesInstanceUID": self._uid("series"),
            "StudyDate": f"{self.study.day:%Y%m%d}",
            "lesions": [
                {
                    "number": lesion.number,
                    "kind": lesion.kind,
                    "centre_mm": [
                        round(at + shift, 2)
                        for at, shift in zip(lesion.centre, self.study.offset, strict=True)
                    ],
                    "diameter_mm": max(
                        (
                            seen["diameter_mm"]
                            for image in images
                            for seen in image["lesions"]
                            if seen["number"] == lesion.number
                        ),
                        default=0.0,
                    ),
                }
                for lesion in self.study.lesions
            ],
            "images": images,
        }

    def _image(self, number: int) -> Image:
        z_mm = SCAN_CENTRE_MM + (number - (self.slices + 1) / 2) * SLICE_MM
        patient, study = self.patient, self.study
        rendered = render(
            patient.chest,
            self.lungs,
            study.lesions,
            z_mm=z_mm,
            offset=study.offset,
            rng=np.random.default_rng([patient.seed, patient.number, study.number, number]),
        )
        uid = self._uid(f"image {number}")
        truth = {"SOPInstanceUID": uid, "z_mm": z_mm, "lesions": _seen(study.lesions, rendered)}
        return Image(self._dataset(uid, number, z_mm, rendered), truth)

    def _dataset(self, uid: str, number: int, z_mm: float, rendered: Slice) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = UID(uid)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self._uid("study"), self._uid("series")
        ds.FrameOfReferenceUID = self._uid("frame of reference")
        ds.PatientID = self.patient.patient_id
        ds.PatientName = f"Simulated^{self.patient.course.value.capitalize()}"
        ds.PatientBirthDate, ds.PatientSex = "19600101", "O"
        ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
        ds.SoftwareVersions = VERSION
        ds.ImageComments = "simulated, no patient"
        ds.Modality, ds.BodyPartExamined = "CT", "CHEST"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.StudyID, ds.AccessionNumber = str(self.study.number), ""
        ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 2, 1, number
        ds.ImagesInAcquisition = self.slices
        taken = datetime.combine(self.study.day, time(9)) + timedelta(seconds=0.3 * number)
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{taken:%Y%m%d}"
        ds.StudyTime = ds.SeriesTime = "090000"
        ds.AcquisitionTime = ds.ContentTime = f"{taken:%H%M%S.%f}"
        ds.KVP, ds.ConvolutionKernel = 120, "STANDARD"
        ds.SliceThickness = ds.SpacingBetweenSlices = SLICE_MM
        ds.PatientPosition, ds.PositionReferenceIndicator = "HFS", ""
        corner = round(float(pixel_mm(0.0)), 4)
        ds.ImagePositionPatient = [corner, corner, z_mm]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceLocation = [SPACING_MM, SPACING_MM], z_mm
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = SIZE, SIZE
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT_HU, 1, "HU"
        ds.WindowCenter, ds.WindowWidth = -600, 1500
        stored = np.clip(np.rint(rendered.hu) - INTERCEPT_HU, 0, 4095).astype("<u2")
        ds.PixelData = stored.tobytes()
        return ds

    def _uid(self, what: str) -> str:
        """Return a UID that is the same each time the same scan is simulated (PS3.5 B.2)."""
        of = "" if what == "frame of reference" else str(self.study.number)
        name = f"{VERSION}|{self.patient.patient_id}|{self.slices}|{of}|{what}"
        return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def scans(patients: list[Patient], slices: int) -> Iterator[Scan]:
    """Yield the scans in the order in which patients come: each has a study, then each a second."""
    lungs = {patient.number: grow(patient.chest) for patient in patients}
    for visit in range(max((len(patient.studies) for patient in patients), default=0)):
        for patient in patients:
            yield Scan(patient, patient.studies[visit], slices, lungs[patient.number])


def _seen(lesions: tuple[Lesion, ...], rendered: Slice) -> list[dict[str, Any]]:
    found = []
    for lesion, covered in zip(lesions, rendered.covered, strict=True):
        rows, columns = np.nonzero(covered >= 0.5)
        if len(rows):
            found.append(
                {
                    "number": lesion.number,
                    "x_px": round(float(columns.mean()), 2),
                    "y_px": round(float(rows.mean()), 2),
                    "diameter_mm": round(_longest_mm(covered), 2),
                }
            )
    return found


def _longest_mm(covered: Field) -> float:
    """Return the longest diameter of what is at least half covered."""
    outlines, _ = cv2.findContours(
        (covered >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    points = np.concatenate(outlines)[:, 0, :].astype(np.float64)
    between = np.hypot(*(points[:, None, :] - points[None, :, :]).transpose(2, 0, 1))
    return float(between.max() + 1) * SPACING_MM
