"""One DICOM object to the messages it becomes: parse, take the frames apart, de-identify, write.

Decodes once, so that no one behind Kafka has to. Runs in `wire.decode_pool`: `prepare` is a task.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from identity.pseudonyms import Pseudonyms
from identity.vault import Named
from producers.deidentify import clean, deidentify
from producers.sources import Source
from wire import codecs, part10
from wire.burned_in import BurnedIn
from wire.errors import FrameError, Reason
from wire.explicit import raw, sequence
from wire.frame import attributes_of, decode_frame, extracted_number

_NOT_SHARED = (0x0000, 0x0002, 0x7FE0, 0xFFFE)  # groups: commands, file meta, pixels, delimiters
_FLOATS = {"f4": ("FloatPixelData", "OF"), "f8": ("DoubleFloatPixelData", "OD")}


@dataclass(frozen=True, slots=True)
class Prepared:
    """One message for `frames`.

    payload : Part 10, one de-identified frame.
    named : who the patient is, for the vault and nobody else; None where the device did not say.
    burned_in : whether the pixels may show a name.
    """

    frame_id: str
    patient_id: str
    sop_instance_uid: str | None
    frame_number: int
    payload: bytes = field(repr=False)
    named: Named | None = field(default=None, repr=False)
    burned_in: BurnedIn = "no"

    @property
    def subject(self) -> str:
        """Return the CloudEvents subject: SOPInstanceUID/FrameNumber."""
        return f"{self.sop_instance_uid or ''}/{self.frame_number}"


def prepare_source(source: Source, key: bytes) -> Iterator[Prepared | FrameError]:
    """Yield the messages of a file or archive member; see `prepare`."""
    yield from prepare(source.read(), key)


def prepare(data: bytes, key: bytes) -> Iterator[Prepared | FrameError]:
    """Yield one message for each frame of a DICOM object, or why that frame cannot be one.

    Parameters
    ----------
    data : the object as a device wrote it: any transfer syntax, any number of frames.
    key : of the pseudonyms.

    Raises
    ------
    FrameError   the object, or all of it from here on, cannot become messages. What came before
        has been yielded.
    """
    dataset = part10.parse(data)
    with part10.guard("de-identifying"):
        if dataset.original_encoding[1] is False:
            codecs.little_endian(dataset)
        template, per_frame = _without_pixels(dataset)
        named = _named(template)
        patient_id = deidentify(template, Pseudonyms(key), data)
        shift_days = Pseudonyms(key).shift_days(patient_id)
    number = 1
    try:
        multi_frame = part10.check_image(dataset) > 1
        template = _encoded(template) if multi_frame else template
        for item in part10.decode_frames(dataset):
            number = item.number
            try:
                if isinstance(item, part10.Broken):
                    raise item.error
                group = per_frame[number - 1] if len(per_frame) >= number else Dataset()
                single = _single(item, template, _flattened(group, shift_days), multi_frame)
                yield replace(_prepared(single, item.pixels, number, patient_id), named=named)
            except FrameError as error:
                yield _about(error, template, number)
    except FrameError as error:
        raise _about(error, template, number) from error


def _named(dataset: Dataset) -> Named | None:
    """Return who the patient is, before that is taken away."""
    name = str(dataset.get("PatientName") or "").encode("utf-8", "replace").decode().strip(" \0^=")
    patient_id = part10.text(dataset, "PatientID") or ""
    if not name and not patient_id:
        return None
    issuer = part10.text(dataset, "IssuerOfPatientID") or ""
    return Named(name, patient_id, issuer, part10.text(dataset, "PatientBirthDate") or "")


def _about(error: FrameError, template: Dataset, number: int) -> FrameError:
    """Return the error with what is known of its frame."""
    has_frames = error.reason is not Reason.NOT_AN_IMAGE
    known = extracted_number(template) or number
    about = replace(attributes_of(template), frame_number=known if has_frames else None)
    return FrameError(error.reason, error.detail, about)


def _single(frame: part10.Decoded, template: Dataset, own: Dataset, multi_frame: bool) -> Dataset:
    """Return the data set of one frame: what all share, its `own` attributes, its pixels."""
    with part10.guard("taking the frame out"):
        single = _like(template, dict(template.items()))
        single.update(own)
        if multi_frame:
            _put(single, _extraction(template, frame.number))
        _put_pixels(single, frame.pixels, frame.properties)
    return single


def _prepared(
    single: Dataset, pixels: NDArray[np.generic], number: int, patient_id: str
) -> Prepared:
    """Write one frame, and read it back as those behind Kafka will."""
    payload = part10.to_bytes(single)
    if len(payload) > part10.MAX_FRAME_BYTES:
        raise FrameError(
            Reason.TOO_LARGE,
            f"frame {number} is {len(payload):,} bytes, the limit is {part10.MAX_FRAME_BYTES:,}",
        )
    frame = decode_frame(payload, number)
    if not np.array_equal(frame.pixels, pixels, equal_nan=pixels.dtype.kind == "f"):
        raise FrameError(Reason.UNDECODABLE, f"frame {number} changed when it was written")
    about = frame.about
    return Prepared(
        str(frame.frame_id),
        patient_id,
        about.sop_instance_uid,
        about.frame_number or number,
        payload,
        burned_in=about.burned_in,
    )


def _without_pixels(dataset: Dataset) -> tuple[Dataset, list[Dataset]]:
    """Return what all frames share as one flat data set, and the functional groups of each."""
    template = _like(dataset, {t: e for t, e in dataset.items() if t.group not in _NOT_SHARED})
    for item in list(template.values()):
        if isinstance(item, DataElement):  # pydicom tells its items how to read ambiguous values
            template[item.tag] = item
    per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    for group in dataset.get("SharedFunctionalGroupsSequence") or []:
        template.update(_macros(group))
    if extracted_number(dataset) is None:  # one of ours, published once more, keeps its number
        template.pop("FrameExtractionSequence", None)
    for keyword in (
        "NumberOfFrames",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ):
        if keyword in template:
            delattr(template, keyword)
    return template, per_frame


def _encoded(template: Dataset) -> Dataset:
    """Return the template as read from its own bytes.

    Elements that nobody reads are then written again as they are: a segmentation of 1,250 frames
    takes 14 s instead of 90 s.
    """
    return part10.parse(part10.to_bytes(template))


def _like(dataset: Dataset, elements: dict[BaseTag, DataElement | RawDataElement]) -> Dataset:
    """Return a data set of these elements, to be read as those of `dataset`."""
    made = Dataset(elements)
    implicit_vr, little_endian = dataset.original_encoding
    made.set_original_encoding(implicit_vr, little_endian, dataset.original_character_set)
    return made


def _macros(group: Dataset) -> Dataset:
    """Return the attributes of all functional group macros of one item, at one level."""
    flat = Dataset()
    for macro in group:
        if macro.VR == "SQ" and macro.value:
            flat.update(macro.value[0])
    return flat


def _flattened(group: Dataset, shift_days: int) -> Dataset:
    """Return one frame's functional groups, de-identified and at one level."""
    with part10.guard("reading the functional groups"):
        flat = _macros(group)
        clean(flat, shift_days)
    return flat


def _extraction(template: Dataset, number: int) -> RawDataElement:
    """Say in the frame itself which frame of its multi-frame source it is (PS3.3 C.12.3)."""
    source = part10.text(template, "SOPInstanceUID") or ""
    item = [
        raw("SimpleFrameList", struct.pack("<L", number)),
        raw("MultiFrameSourceSOPInstanceUID", source.encode("latin-1")),
    ]
    return sequence("FrameExtractionSequence", [item])


def _put_pixels(single: Dataset, pixels: NDArray[np.generic], properties: dict[str, Any]) -> None:
    """Store decoded pixels in native form, and let the description of them be true again."""
    dtype = pixels.dtype.newbyteorder("<")
    bits, coloured = dtype.itemsize * 8, pixels.ndim == 3
    numbers = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": pixels.shape[2] if coloured else 1,
        "BitsAllocated": bits,
    }
    if coloured:
        numbers["PlanarConfiguration"] = 0
    else:
        single.pop("PlanarConfiguration", None)
    if dtype.kind != "f":
        numbers["BitsStored"] = min(int(properties.get("bits_stored") or bits), bits)
        numbers["HighBit"] = numbers["BitsStored"] - 1
        numbers["PixelRepresentation"] = int(dtype.kind == "i")
    _put(single, *(raw(keyword, struct.pack("<H", n)) for keyword, n in numbers.items()))
    meaning = str(properties["photometric_interpretation"])
    keyword, vr = _FLOATS.get(dtype.str[1:], ("PixelData", "OB" if bits == 8 else "OW"))
    _put(
        single,
        raw("PhotometricInterpretation", meaning.encode("latin-1")),
        raw(keyword, pixels.astype(dtype, copy=False).tobytes(), vr),
    )


def _put(dataset: Dataset, *elements: RawDataElement) -> None:
    for element in elements:
        dataset[element.tag] = element
