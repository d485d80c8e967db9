"""DICOM Part 10 bytes to data set and pixels, with every check before the memory is taken.

Works on bytes and data sets only. Everything here may be handed a hostile file: whatever pydicom
or a codec raises leaves as one `FrameError` (`guard`), and `wire.decode_pool` runs it in a process
that may die.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import config
from pydicom.charset import default_encoding
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder  # type: ignore[attr-defined]
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from wire import explicit
from wire.errors import FrameError, Reason

MAX_FRAME_BYTES = 31 << 20
"""Largest Part 10 frame that passes `frames`: 1 MiB below the broker's 32 MiB for record overhead.

A digital mammogram is 24 MB."""

MAX_BROKEN = 64
"""Broken frames in a row after which the rest of an object is given up: a header may claim 2**31
of them."""

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

# The process is ours: devices write values that break their VR, and that must not stop a frame.
config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE


@contextmanager
def guard(doing: str) -> Iterator[None]:
    """Turn whatever a parser or codec raises into one `FrameError` that names its cause.

    The cause's class is told, its text is not: it may quote the data set.
    """
    try:
        yield
    except FrameError:
        raise
    except MemoryError as error:
        raise FrameError(Reason.TOO_LARGE, f"{doing} needs more memory than allowed") from error
    except Exception as error:  # the decode boundary
        raise FrameError(Reason.UNDECODABLE, f"{doing} failed ({type(error).__name__})") from error


def parse(data: bytes) -> Dataset:
    """Parse a Part 10 file, or a bare data set without preamble.

    Raises
    ------
    FrameError   `undecodable`: empty, not DICOM, or broken.
    """
    if not data:
        raise FrameError(Reason.UNDECODABLE, "empty: no byte in it")
    with guard("parsing"):
        try:
            return pydicom.dcmread(io.BytesIO(data))
        except InvalidDicomError:
            return _parse_bare(data)


def _parse_bare(data: bytes) -> Dataset:
    """Parse a data set that lacks preamble and file meta; anything else is not DICOM."""
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise FrameError(Reason.UNDECODABLE, "not a DICOM file")
    if "TransferSyntaxUID" not in dataset.file_meta:
        explicit = not dataset.original_encoding[0]
        dataset.file_meta.TransferSyntaxUID = (
            ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
        )
    return dataset


def check_image(dataset: Dataset) -> int:
    """Check that the data set holds an image that may be decoded; return how many frames.

    Raises
    ------
    FrameError   `not-an-image`: no pixels (reports, plans, waveforms, directories);
                 `too-large`: one decoded frame would not pass `frames`;
                 `undecodable`: the description of the pixels contradicts itself.
    """
    with guard("reading the image description"):
        if not any(keyword in dataset for keyword in PIXEL_KEYWORDS):
            raise FrameError(Reason.NOT_AN_IMAGE, "no pixel data in it")
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        samples = int(dataset.get("SamplesPerPixel") or 1)
        bits = int(dataset.get("BitsAllocated") or 0)
        count = int(dataset.get("NumberOfFrames") or 1)
    if min(rows, columns, samples, bits) < 1:
        raise FrameError(Reason.UNDECODABLE, "Rows, Columns or BitsAllocated missing or zero")
    frame_bytes = rows * columns * samples * max(bits, 8) // 8
    if frame_bytes > MAX_FRAME_BYTES:
        raise FrameError(
            Reason.TOO_LARGE,
            f"one frame is {rows} x {columns} x {samples} of {bits} bit, {frame_bytes:,} bytes; "
            f"the limit is {MAX_FRAME_BYTES:,}",
        )
    return max(1, count)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame that was decoded.

    number : from 1.
    pixels : (rows, columns) or (rows, columns, samples), stored values, often read-only; YBR
        becomes RGB, palette indices stay indices.
    properties : pydicom's ``photometric_interpretation``, ``bits_stored`` and the like.
    """

    number: int
    pixels: NDArray[np.generic]
    properties: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A frame that could not be. number : from 1."""

    number: int
    error: FrameError


def decode_frames(dataset: Dataset) -> Iterator[Decoded | Broken]:
    """Yield each frame, or why it cannot be decoded; goes on after a broken one.

    Where no frame can be decoded there is exactly one `Broken`; `MAX_BROKEN` in a row are the end.

    Raises
    ------
    FrameError   as `check_image`.
    """
    count = check_image(dataset)
    doing = f"decoding the pixels ({_syntax_name(dataset)})"
    with guard(doing):
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    broken: list[Broken] = []  # those since the last frame that was well
    any_frame = False
    for index in range(count):
        try:
            with guard(f"{doing} of frame {index + 1}" if count > 1 else doing):
                # By index and not by `iter_array`: that one fails on signed pixels whose stream
                # says unsigned (pydicom 3.0.2, "output array is read-only").
                pixels, properties = decoder.as_array(
                    dataset,
                    index=index,
                    view_only=True,  # type: ignore[arg-type]  # annotated as all options at once
                )
        except FrameError as error:
            broken.append(Broken(index + 1, error))
            if len(broken) == MAX_BROKEN:
                break
            continue
        yield from broken
        broken.clear()
        any_frame = True
        yield Decoded(
            index + 1, cast(NDArray[np.generic], pixels), cast(dict[str, Any], properties)
        )
    yield from broken if any_frame else broken[:1]


def _syntax_name(dataset: Dataset) -> str:
    """Return the standard's name of the transfer syntax; nothing of the file's own words."""
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    return syntax.name if syntax.is_transfer_syntax else "unknown transfer syntax"


def get(dataset: Dataset, keyword: str) -> Any:
    """Return `dataset.get(keyword)`, for elements that hold text.

    Most often the bytes say it plainly, and pydicom need not be asked.
    """
    plain = explicit.ascii_text(dataset.get_item(keyword))
    return dataset.get(keyword) if plain is None or "\\" in plain else plain


def ds_text(dataset: Dataset, keyword: str) -> str:
    r"""Return a decimal string as DICOM text, values joined by ``\``; "" where absent or broken."""
    plain = explicit.ascii_text(dataset.get_item(keyword))
    if plain is not None:
        return plain
    value = dataset.get(keyword)
    if value is None or value == "":
        return ""
    values = [value] if isinstance(value, str | float | int) else list(value)
    return "\\".join(str(v).strip() for v in values)


def text(dataset: Dataset, keyword: str) -> str | None:
    """Return a single text value without padding; None where absent, empty or multi-valued."""
    value = get(dataset, keyword)
    if not isinstance(value, str):
        return None
    clean = value.encode("utf-8", "replace").decode()  # some character sets make half characters
    return clean.strip(" \0") or None


def to_bytes(dataset: Dataset) -> bytes:
    """Write a data set as Part 10 in Explicit VR Little Endian.

    Raises
    ------
    FrameError   `undecodable`: an element cannot be written.
    """
    parts = [b"\0" * 128, b"DICM"]
    with guard("writing the frame"):
        for keyword, uid in (
            ("MediaStorageSOPClassUID", text(dataset, "SOPClassUID") or ""),
            ("MediaStorageSOPInstanceUID", text(dataset, "SOPInstanceUID") or ""),
            ("TransferSyntaxUID", ExplicitVRLittleEndian),
        ):
            parts += explicit.encoded(explicit.raw(keyword, uid.encode("latin-1")))
        character_set = dataset.get("SpecificCharacterSet") or default_encoding
        for element in sorted(dataset.values(), key=lambda element: int(element.tag)):
            known = explicit.is_encoded(element)
            parts += explicit.encoded(element if known else dataset[element.tag], character_set)
    return b"".join(parts)
