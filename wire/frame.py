"""The frame codec: one message of `frames` to one `Frame`, and what its attributes mean.

A message is DICOM Part 10 with one frame. Its frame number stands in the message itself where the
frame was taken out of a multi-frame object (FrameExtractionSequence, PS3.3 C.12.3), else in the
header ``ce_framenumber``, else it is 1.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DT

from wire import explicit, ids, part10
from wire.burned_in import BurnedIn, burned_in
from wire.errors import FrameError, Reason
from wire.moments import in_utc

MAX_PAYLOAD_BYTES = part10.MAX_FRAME_BYTES + (1 << 20)
"""What a broker set up by us can hold; a message above it came past our settings."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a frame says of itself. Every text is None where it is absent.

    patient_id : the pseudonym, once `deidentified`.
    rescale : (slope, intercept) of the modality LUT, None where absent.
    pixel_spacing_mm : (between rows, between columns) as DICOM PixelSpacing, None where unknown.
    image_position_mm, image_orientation : ImagePositionPatient, ImageOrientationPatient.
    frame_number : from 1; None for an object that has no frames.
    slice_thickness_mm, spacing_between_slices_mm : None where absent or not above 0.
    images_in_series : NumberOfSeriesRelatedInstances, else ImagesInAcquisition; None where unknown.
    event_time : acquisition, content or series date and time, None where the device gave none.
    burned_in : whether the pixels may show a name.
    """

    deidentified: bool
    patient_id: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    sop_instance_uid: str | None
    sop_class_uid: str | None
    frame_number: int | None
    instance_number: int | None
    modality: str | None
    body_part_examined: str | None
    rescale: tuple[float, float] | None
    rescale_type: str | None
    pixel_spacing_mm: tuple[float, float] | None
    image_position_mm: tuple[float, ...] | None
    image_orientation: tuple[float, ...] | None
    slice_thickness_mm: float | None
    spacing_between_slices_mm: float | None
    images_in_series: int | None
    event_time: datetime | None
    burned_in: BurnedIn = "no"

    @property
    def normal(self) -> tuple[float, float, float] | None:
        """Return the direction across the slice (LPS), None where the frame does not say."""
        cosines = self.image_orientation
        if cosines is None:
            return None
        (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
        return b * f - c * e, c * d - a * f, a * e - b * d

    @property
    def location_mm(self) -> float | None:
        """Return where the slice lies along its normal, towards the head where that is known."""
        normal = self.normal
        if normal is None or self.image_position_mm is None:
            return None
        at = sum(a * b for a, b in zip(normal, self.image_position_mm, strict=True))
        return -at if normal[2] < 0 else at

    def to_mm(self, x_px: float, y_px: float) -> tuple[float, float, float] | None:
        """Return where a pixel lies in the patient (LPS, mm); None where the frame does not say.

        PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1.
        """
        position, cosines = self.image_position_mm, self.image_orientation
        spacing = self.pixel_spacing_mm
        if position is None or cosines is None or spacing is None:
            return None
        x, y, z = (
            position[axis]
            + cosines[axis] * spacing[1] * x_px
            + cosines[3 + axis] * spacing[0] * y_px
            for axis in range(3)
        )
        return x, y, z

    def to_px(self, x_mm: float, y_mm: float, z_mm: float) -> tuple[float, float] | None:
        """Return (column, row) below a place in the patient: `to_mm` the other way round."""
        position, cosines = self.image_position_mm, self.image_orientation
        spacing = self.pixel_spacing_mm
        if position is None or cosines is None or spacing is None:
            return None
        away = [a - b for a, b in zip((x_mm, y_mm, z_mm), position, strict=True)]
        right = sum(a * b for a, b in zip(away, cosines[:3], strict=True))
        down = sum(a * b for a, b in zip(away, cosines[3:], strict=True))
        return right / spacing[1], down / spacing[0]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    pixels : (rows, columns) or (rows, columns, samples), stored values, native byte order; often
        read-only.
    """

    frame_id: UUID
    about: Attributes
    pixels: NDArray[np.generic]

    def hu(self) -> NDArray[np.float32]:
        """Return (rows, columns) float32 in Hounsfield units.

        Raises
        ------
        FrameError   `quality`: a colour image, or values with no known relation to HU.
        """
        if self.pixels.ndim != 2:
            raise FrameError(Reason.QUALITY, "a colour image has no Hounsfield units")
        if self.about.rescale is None:
            raise FrameError(
                Reason.QUALITY, "no RescaleSlope and RescaleIntercept: not Hounsfield units"
            )
        if self.about.rescale_type not in (None, "HU", "US"):
            raise FrameError(Reason.QUALITY, "RescaleType is not HU")
        slope, intercept = self.about.rescale
        return self.pixels.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def decode_frame(payload: bytes | None, frame_number: int | None = None) -> Frame:
    """Decode one message of `frames`.

    Parameters
    ----------
    payload : the message's value; None is a tombstone.
    frame_number : of the header ``ce_framenumber``, from 1.

    Raises
    ------
    FrameError   the message holds no single frame; `not-deidentified` has priority over all that
        can be said of the pixels. Its `about` is given for de-identified messages alone.
    """
    if payload is None:
        raise FrameError(Reason.UNDECODABLE, "a tombstone: no value")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise FrameError(Reason.TOO_LARGE, f"{len(payload):,} bytes in one message")
    dataset = part10.parse(payload)
    with part10.guard("reading the attributes"):
        about = attributes_of(dataset, frame_number)
    if not about.deidentified:
        raise FrameError(Reason.NOT_DEIDENTIFIED, "PatientIdentityRemoved is not YES")
    try:
        if part10.check_image(dataset) > 1:
            raise FrameError(Reason.UNDECODABLE, "more than one frame in one message")
        (decoded,) = part10.decode_frames(dataset)
        if isinstance(decoded, part10.Broken):
            raise decoded.error
        with part10.guard("identifying the frame"):
            return frame_of(dataset, decoded.pixels, about)
    except FrameError as error:
        raise FrameError(error.reason, error.detail, about) from error


def frame_of(dataset: Dataset, pixels: NDArray[np.generic], about: Attributes) -> Frame:
    """Return the `Frame` of decoded pixels and the data set that describes them."""
    sha256 = ids.pixel_sha256(
        pixels,
        rescale_slope=part10.ds_text(dataset, "RescaleSlope"),
        rescale_intercept=part10.ds_text(dataset, "RescaleIntercept"),
        pixel_spacing=part10.ds_text(dataset, "PixelSpacing"),
        image_position_patient=part10.ds_text(dataset, "ImagePositionPatient"),
        image_orientation_patient=part10.ds_text(dataset, "ImageOrientationPatient"),
    )
    frame_id = ids.frame_id(about.sop_instance_uid, about.frame_number or 1, sha256)
    return Frame(frame_id, about, pixels)


def attributes_of(dataset: Dataset, frame_number: int | None = None) -> Attributes:
    """Read the attributes of a data set with one frame.

    Parameters
    ----------
    frame_number : used where the data set itself does not say, else 1.
    """
    slope, intercept = (_numbers(dataset, f"Rescale{part}", 1) for part in ("Slope", "Intercept"))
    if dataset.get("ModalityLUTSequence"):  # it stands instead (PS3.3 C.11.1), and is no HU:
        slope = None  # its unsigned values cannot say air
    spacing = _numbers(dataset, "PixelSpacing", 2)
    return Attributes(
        deidentified=dataset.get("PatientIdentityRemoved") == "YES",
        patient_id=part10.text(dataset, "PatientID"),
        study_instance_uid=part10.text(dataset, "StudyInstanceUID"),
        series_instance_uid=part10.text(dataset, "SeriesInstanceUID"),
        sop_instance_uid=part10.text(dataset, "SOPInstanceUID"),
        sop_class_uid=part10.text(dataset, "SOPClassUID"),
        frame_number=extracted_number(dataset) or frame_number or 1,
        instance_number=_integer(dataset, "InstanceNumber"),
        modality=part10.text(dataset, "Modality"),
        body_part_examined=part10.text(dataset, "BodyPartExamined"),
        rescale=(slope[0], intercept[0]) if slope and intercept else None,
        rescale_type=part10.text(dataset, "RescaleType"),
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        image_position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        image_orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        slice_thickness_mm=_positive(dataset, "SliceThickness"),
        spacing_between_slices_mm=_positive(dataset, "SpacingBetweenSlices"),
        images_in_series=_integer(dataset, "NumberOfSeriesRelatedInstances")
        or _integer(dataset, "ImagesInAcquisition")
        or None,
        event_time=event_time(dataset),
        burned_in=burned_in(dataset),
    )


def extracted_number(dataset: Dataset) -> int | None:
    """Return the frame's number in its multi-frame source, None where the data set does not say.

    Only an extraction that kept its SOPInstanceUID counts: one with a UID of its own is an
    instance of one frame.
    """
    extraction = dataset.get("FrameExtractionSequence")
    if not isinstance(extraction, Sequence) or not extraction:
        return None
    source = part10.text(extraction[-1], "MultiFrameSourceSOPInstanceUID")
    if source != part10.text(dataset, "SOPInstanceUID"):
        return None
    number = extraction[-1].get("SimpleFrameList")
    return int(number) if isinstance(number, int) and number >= 1 else None


def event_time(dataset: Dataset) -> datetime | None:
    """Return when the frame was made: acquisition, else content, else series date and time.

    Times without an offset count as UTC: all that is derived from them compares times of one
    device. None where no date can be read.
    """
    stamp = part10.get(dataset, "AcquisitionDateTime") or part10.get(
        dataset, "FrameAcquisitionDateTime"
    )
    if stamp and (moment := _moment(stamp)):
        return moment
    for kind in ("Acquisition", "Content", "Series"):
        day = part10.get(dataset, f"{kind}Date")
        clock = part10.get(dataset, f"{kind}Time")
        if day and (moment := _moment(f"{day}{clock or ''}")):
            return moment
    return None


def _moment(value: object) -> datetime | None:
    """Read a DICOM DA, DA+TM or DT; None where it cannot be read."""
    try:
        moment = DT(str(value).strip())
        if moment is None:
            return None
        return in_utc(datetime.fromisoformat(moment.isoformat()))
    except (ValueError, OverflowError):
        return None


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return `count` finite numbers, None where there are not exactly that many."""
    try:
        values = tuple(float(v) for v in part10.ds_text(dataset, keyword).split("\\"))
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _positive(dataset: Dataset, keyword: str) -> float | None:
    values = _numbers(dataset, keyword, 1)
    return values[0] if values and values[0] > 0 else None


def _integer(dataset: Dataset, keyword: str) -> int | None:
    plain = explicit.ascii_text(dataset.get_item(keyword))
    if plain is not None and plain.lstrip("+-").isdigit():
        return int(plain)
    value = dataset.get(keyword)
    return int(value) if isinstance(value, int) else None
