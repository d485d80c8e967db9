"""DICOM objects made of nothing but numbers: for tests that need frames of known content."""

import io
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"


def chest_hu(seed: int = 0, size: int = 192) -> NDArray[np.int16]:
    """Return (size, size) int16 HU: a body with two lungs, vessels, and a nodule for odd seeds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    hu = np.full((size, size), -1000.0)
    hu[(x / 0.45) ** 2 + (y / 0.35) ** 2 < 1] = 40
    for side in (-1, 1):
        hu[((x - side * 0.2) / 0.15) ** 2 + (y / 0.25) ** 2 < 1] = -850
    for _ in range(12):
        cx, cy, r = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2), rng.uniform(0.004, 0.01)
        hu[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = 20
    if seed % 2:
        hu[(x - 0.2) ** 2 + (y - 0.05) ** 2 < 0.04**2] = 30
    return (hu + rng.normal(0, 20, hu.shape)).astype(np.int16)


def dataset(pixels: NDArray[np.generic], **attributes: object) -> Dataset:
    """Return a data set with these stored values; `attributes` are DICOM keywords."""
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    ds.Modality = "CT"
    ds.PatientID = "P1"
    ds.PatientName = "Doe^Jane"
    ds.BodyPartExamined = "CHEST"
    ds.PixelSpacing = [1.5, 1.5]
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.AcquisitionDate, ds.AcquisitionTime = "20240102", "030405"
    frames = pixels.shape[0] if pixels.ndim == 3 and pixels.shape[2] > 4 else None
    ds.Rows, ds.Columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 and not frames else 1
    ds.PhotometricInterpretation = "RGB" if ds.SamplesPerPixel == 3 else "MONOCHROME2"
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    if frames:
        ds.NumberOfFrames = frames
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    ds.add_new("PixelData", "OB" if bits == 8 else "OW", raw + b"\0" * (len(raw) % 2))
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def part10(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the data set as a Part 10 file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_series(
    folder: Path, patient_id: str, *, slices: int, seed: int, size: int = 192
) -> list[Path]:
    """Write one CT series; `seed` decides UIDs and content. Odd seeds show a nodule in places."""
    folder.mkdir(parents=True, exist_ok=True)
    root = f"1.2.826.0.1.3680043.8.498.{seed}"
    paths = []
    for number in range(slices):
        nodule = seed % 2 and number % 10 == 5
        ds = dataset(
            chest_hu(seed * 10_000 + number * 2 + int(nodule), size),
            SOPInstanceUID=f"{root}.3.{number}",
            SeriesInstanceUID=f"{root}.2",
            StudyInstanceUID=f"{root}.1",
            PatientID=patient_id,
            InstanceNumber=number + 1,
            ImagesInAcquisition=slices,
            ImagePositionPatient=[0, 0, number * 2.5],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        path = folder / f"{patient_id}-{seed}-{number:04}.dcm"
        path.write_bytes(part10(ds))
        paths.append(path)
    return paths
