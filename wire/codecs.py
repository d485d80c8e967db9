"""The decoder for the pixels of a data set: pydicom's, and what pydicom 3.0 leaves out.

Left out are 12-bit JPEG Extended, Deflated Image Frame Compression, run-length encoded bits, bits
that do not start at bit 0, and the byte order of lookup tables in big endian files.
"""

import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder  # type: ignore[attr-defined]
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

DEFLATED_IMAGE_FRAME = UID("1.2.840.10008.1.2.8.1")

NATIVE = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)
"""Implicit and Explicit VR Little Endian, Deflated, Explicit VR Big Endian."""

ENCAPSULATED = frozenset(
    {
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.57",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.81",
        "1.2.840.10008.1.2.4.90",
        "1.2.840.10008.1.2.4.91",
        "1.2.840.10008.1.2.4.201",
        "1.2.840.10008.1.2.4.202",
        "1.2.840.10008.1.2.4.203",
        "1.2.840.10008.1.2.5",
        str(DEFLATED_IMAGE_FRAME),
    }
)
"""JPEG, JPEG-LS, JPEG 2000, High-Throughput JPEG 2000, RLE, Deflated Image Frame."""

DECODED = NATIVE | ENCAPSULATED
"""Every transfer syntax whose pixels can be decoded."""

get_decoder(JPEGExtended12Bit).add_plugin("lesionstream", ("wire.jpeg_extended", "decode"))

_IMAGE_PIXEL = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
_WORD_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}

Pixels = tuple[NDArray[np.generic], dict[str, Any]]


class Decoder(Protocol):
    """Decodes one frame after the other; pydicom's `Decoder` is one."""

    def as_array(self, src: Dataset, *, index: int, view_only: bool) -> Any:
        """Return the pixels of frame `index` (from 0), and the properties that describe them.

        With `view_only` native pixels may be a read-only view of the data set's own bytes.
        """


def decoder_of(dataset: Dataset) -> Decoder:
    """Return what decodes the pixels of `dataset`.

    Raises
    ------
    NotImplementedError   nothing decodes this transfer syntax.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == DEFLATED_IMAGE_FRAME:
        return _Unpacked(_inflated)
    if syntax == RLELossless and dataset.get("BitsAllocated") == 1:
        return _Unpacked(_run_lengths)
    if syntax in NATIVE and _offset_bits(dataset):
        return _Shifted()
    return cast(Decoder, get_decoder(syntax))


class _Unpacked:
    """Frames that are native once their own compression is undone.

    unpack : (the encoded frame, length it must have) to native bytes.
    """

    def __init__(self, unpack: Callable[[bytes, int], bytes]) -> None:
        self._unpack = unpack

    def as_array(self, src: Dataset, *, index: int, view_only: bool) -> Pixels:
        count = int(src.get("NumberOfFrames") or 1)
        encoded = get_frame(src.PixelData, index, number_of_frames=count)
        bits = src.Rows * src.Columns * int(src.get("SamplesPerPixel") or 1) * src.BitsAllocated
        native = self._unpack(encoded, -(-bits // 8))
        one = Dataset()
        for keyword in _IMAGE_PIXEL:
            if keyword in src:
                one[keyword] = src[keyword]
        return cast(Pixels, _array(one, native, ExplicitVRLittleEndian))


class _Shifted:
    """Native values that lie between HighBit and the bits below it, not at bit 0."""

    def as_array(self, src: Dataset, *, index: int, view_only: bool) -> Pixels:
        decoder = get_decoder(src.file_meta.TransferSyntaxUID)
        pixels, properties = decoder.as_array(
            src,
            index=index,
            correct_unused_bits=False,  # type: ignore[arg-type]
        )
        values = pixels << (src.BitsAllocated - 1 - src.HighBit)
        return values >> (src.BitsAllocated - src.BitsStored), cast(dict[str, Any], properties)


def _offset_bits(dataset: Dataset) -> bool:
    """Tell whether HighBit is above the bits stored (PS3.5 8.1.1 until 2014)."""
    high, stored = dataset.get("HighBit"), dataset.get("BitsStored")
    allocated = dataset.get("BitsAllocated")
    if not all(isinstance(bits, int) for bits in (high, stored, allocated)):
        return False
    return "PixelData" in dataset and 1 <= stored <= high < allocated


def _inflated(frame: bytes, size: int) -> bytes:
    """Inflate a frame (RFC 1951), not further than it may be long."""
    native = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size + 1)
    if not size <= len(native):
        raise ValueError("the inflated frame is too short")
    return native[:size]


def _run_lengths(frame: bytes, size: int) -> bytes:
    """Undo run lengths over bytes of packed bits: a picture of one row of them."""
    row = Dataset()
    row.Rows, row.Columns, row.SamplesPerPixel = 1, size, 1
    row.PhotometricInterpretation, row.PixelRepresentation = "MONOCHROME2", 0
    row.BitsAllocated = row.BitsStored = 8
    row.HighBit = 7
    pixels, _ = _array(row, encapsulate([frame]), RLELossless)
    return cast(bytes, pixels.tobytes())


def _array(description: Dataset, pixel_data: bytes, syntax: UID) -> Any:
    """Decode the one frame of pixel data that `description` describes."""
    description.file_meta = FileMetaDataset()
    description.file_meta.TransferSyntaxUID = syntax
    description.add_new("PixelData", "OB", pixel_data + b"\0" * (len(pixel_data) % 2))
    return get_decoder(syntax).as_array(description, index=0)


def little_endian(dataset: Dataset) -> None:
    """Turn the words of a big endian data set round, in place, sequences included.

    pydicom converts numbers, but writes OW and its kin as they came: a palette would change its
    colours. Pixel data are left alone: their decoder knows the byte order.
    """
    for tag in list(dataset.keys()):
        if tag.group == 0x7FE0:
            continue
        try:
            element = dataset[tag]
        except Exception:  # noqa: S112 -- the decode boundary: de-identification drops it
            continue
        if element.VR == "SQ":
            for item in element.value:
                little_endian(item)
        elif element.VR in _WORD_BYTES and len(element.value or b"") % _WORD_BYTES[element.VR] == 0:
            words = np.frombuffer(element.value or b"", f">u{_WORD_BYTES[element.VR]}")
            element.value = words.astype(words.dtype.newbyteorder("<")).tobytes()
