r"""Data elements as the bytes they are in Explicit VR Little Endian, the only form in `frames`.

To have pydicom read the value of every element and write it again takes longer than all else that
happens to a CT slice; and for nearly every element of nearly every device the bytes that come out
are those that went in. What is told here is for which: only for these is the work left out, so
that a message is the same, byte for byte, as if every value had been read.
"""

import re
import struct
from collections.abc import Iterable
from functools import lru_cache

from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

UNDEFINED = 0xFFFFFFFF
"""Length of an element that ends with a delimiter."""

_PADDED_WITH_NUL = {"UI", "OB", "OW", "UN"}
_SHORT = struct.Struct("<HH2sH").pack
_LONG = struct.Struct("<HH2sHL").pack

_VALUE = rb"[!-\[\]-~](?:[ -\[\]-~]*[!-\[\]-~])?"
_DECIMAL = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?"


def _values(value: bytes, padding: bytes) -> re.Pattern[bytes]:
    r"""Return what matches values between ``\``, with no space that reading would take away."""
    return re.compile(rb"(?:" + value + rb"(?:\\" + value + rb")*)?" + padding)


_ASCII = _values(_VALUE, b" ?")  # the same in every character set
_WORDS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "SH", "ST", "TM", "UC", "UT")
_TEXTS = dict.fromkeys(_WORDS, _ASCII) | {
    "DS": _values(_DECIMAL, b" ?"),
    "IS": _values(rb"[+-]?\d{1,9}", b" ?"),
    "UI": _values(rb"[0-9.]+", b"\0?"),
}
_BYTES_EACH = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "SV": 8, "UV": 8} | (
    dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW"), 2)
)


def raw(tag: int | str, value: bytes, vr: str | None = None) -> RawDataElement:
    """Return an element whose value is made of these bytes, padded to even length.

    Parameters
    ----------
    tag : or keyword.
    vr : None for that of the dictionary.
    """
    tag = Tag(tag)
    vr = vr or dictionary_VR(tag)
    if len(value) % 2:
        value += b"\0" if vr in _PADDED_WITH_NUL else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def sequence(keyword: str, items: Iterable[Iterable[RawDataElement]]) -> RawDataElement:
    """Return a sequence of items, each made of elements in order of their tags."""
    value = b""
    for item in items:
        body = b"".join(part for element in item for part in encoded(element))
        value += struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
    return raw(keyword, value)


def is_encoded(element: DataElement | RawDataElement) -> bool:
    """Say whether the value of an element stands as bytes in Explicit VR Little Endian."""
    return (
        isinstance(element, RawDataElement)
        and element.VR is not None
        and element.length != UNDEFINED
        and element.is_little_endian
    )


def verbatim(element: DataElement | RawDataElement) -> RawDataElement | None:
    """Return the element for writing in Explicit VR Little Endian without reading its value.

    None where that would not give the bytes that reading and writing gives: the value is not as
    the standard has it (its padding included), its bytes are in another order, or its VR depends
    on other elements. None for sequences.
    """
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED:
        return None
    known = known_vr(int(element.tag))
    if len(known) != 2 or known == "SQ" or not element.is_little_endian:  # "US or SS"
        return None
    vr, value = element.VR or known, element.value or b""
    if form := _TEXTS.get(vr):
        same = len(value) % 2 == 0 and form.fullmatch(value) is not None
    else:
        size = _BYTES_EACH.get(vr)
        same = size is not None and len(value) % size == 0
    if not same:
        return None
    return element if element.VR and element.value else raw(element.tag, value, vr)


def ascii_text(element: DataElement | RawDataElement | None) -> str | None:
    r"""Return the text of an element that was not read yet, values joined by ``\``, no padding.

    None where the value must be read by pydicom: it is not ASCII, not as the standard has it, or
    not of the VR that the dictionary says.
    """
    if not isinstance(element, RawDataElement):
        return None
    known = known_vr(int(element.tag))
    form, value = _TEXTS.get(known), element.value or b""
    if form is None or element.VR not in (None, known) or not form.fullmatch(value):
        return None
    return value.rstrip(b" \0").decode("ascii")


@lru_cache(maxsize=4096)
def known_vr(tag: int) -> str:
    """Return the VR that the standard's dictionary says; KeyError where it does not know it."""
    return dictionary_VR(tag)


def encoded(
    element: DataElement | RawDataElement, character_set: str | list[str] = default_encoding
) -> list[bytes]:
    """Return the bytes of an element, in parts.

    Parameters
    ----------
    element : one with a value, or one that `is_encoded`.
    character_set : of text that is encoded now: SpecificCharacterSet.
    """
    if isinstance(element, RawDataElement):
        value = element.value or b""
        return [_header(element.tag, element.VR or "UN", len(value)), value]
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_data_element(buffer, element, character_set)
    return [buffer.getvalue()]


def _header(tag: int, vr: str, length: int) -> bytes:
    """Return tag, VR and length: PS3.5 7.1.2, and 6.2.2 for what is too long for its VR."""
    group, element = tag >> 16, tag & 0xFFFF
    if vr not in EXPLICIT_VR_LENGTH_32 and length <= 0xFFFF:
        return _SHORT(group, element, vr.encode("ascii"), length)
    name = vr if vr in EXPLICIT_VR_LENGTH_32 else "UN"
    return _LONG(group, element, name.encode("ascii"), 0, length)
