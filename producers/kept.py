r"""What may stay in a frame of what the profile's table does not name: numbers, codes, no words.

Table E.1-1 of PS3.15 lists what the standard knows to identify people. People write names into
other attributes, too: a comment on a calibration, the label of a segment, the name of a beam. No
machine that reads a frame needs such words, so the words that may stay are listed here, and what
is no number, code or UID must not look like one.
"""

import re
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword

MOST_TAGS = 4096
"""Remembered: the tags of all devices of a hospital. A hostile file may name more."""

# In none of these is a backslash, which stands between values, and all are ASCII: no character set
# can hide anything in them.
_NAME_OF_A_PRODUCT = r"[ -\[\]-~]{0,64}"
_CODE = r"(?![^\\]*[A-Za-z]{4})[!-\[\]-~]{0,16}"
_TYPES_OF_VALUES = "HU|HU_MOD|OD|US|MGML|Z_EFF|ED|EDW|PCT|"
_SCHEMES = (
    "DCM|SCT|SRT|SNM3|SNM|LN|UCUM|RADLEX|FMA|UMLS|NCIt|NEU|BARI|MDC|I9|I9C|I10|I10P|C4|C5|CD2|ACR|"
)
"""Coding schemes of PS3.16 Table 8-1 that images use."""


WORDS: dict[int | None, str] = {
    tag_for_keyword(keyword): pattern
    for keyword, pattern in {
        # what the machine is: engines learn from machines
        "Manufacturer": _NAME_OF_A_PRODUCT,
        "ManufacturerModelName": _NAME_OF_A_PRODUCT,
        "SoftwareVersions": _NAME_OF_A_PRODUCT,
        "ConvolutionKernel": r"[ -\[\]-~]{0,16}",
        # what the values mean (PS3.3 C.11.1.1.2)
        "RescaleType": _TYPES_OF_VALUES,
        "ModalityLUTType": _TYPES_OF_VALUES,
        "SpecificCharacterSet": r"ISO[ _-](2022[ _-])?IR[ _-]?[0-9]{1,3}|(ISO 2022 )?GBK|GB18030|",
        # codes without their meaning, which is free text: digits, or letters as SNOMED RT and UCUM
        "CodeValue": _CODE,
        "CodingSchemeDesignator": rf"{_SCHEMES}99[A-Z]{{1,4}}",
        "CodingSchemeVersion": _CODE,
        # code strings that real devices write in small letters, and that decide what is scored
        "Modality": r"[A-Za-z]{0,16}",
        "BodyPartExamined": r"[A-Za-z0-9 _-]{0,16}",
        "BurnedInAnnotation": r"[A-Za-z]{0,3}",
        "RecognizableVisualFeatures": r"[A-Za-z]{0,3}",
    }.items()
}
"""Texts that may stay, and how each value of them looks."""

_INSTEAD = dict.fromkeys(map(tag_for_keyword, ("RescaleType", "ModalityLUTType")), "OTHER")
"""What is put where a value may not stay and must not be missing: without a type, numbers may count
as Hounsfield units."""

_BYTES = {
    tag_for_keyword(f"{segmented}{colour}PaletteColorLookupTableData")
    for colour in ("Red", "Green", "Blue", "Alpha")
    for segmented in ("", "Segmented")
} | {tag_for_keyword("LUTData")}
"""Bytes that may stay; the pixels are put back later. Any others may spell a name."""

_SHAPES = {
    "CS": r"[A-Z0-9 _]{0,16}",
    "UI": r"[0-9A-Fa-f.]{0,64}",  # some take a hash for a UID
    "DS": r"[0-9+\-Ee. ]{0,32}",  # 16 by the standard, more by many a device
    "IS": r"[0-9+\-. ]{0,16}",
}
"""What a value of these VRs looks like, whatever a file holds in it (PS3.5 Table 6.2-1)."""

_KINDS = {
    **dict.fromkeys("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split(), "text"),
    **dict.fromkeys("AT FD FL SL SS SV UL US UV".split(), "number"),
    **dict.fromkeys("OB OD OF OL OV OW UN".split(), "bytes"),
    "SQ": "sequence",
}


def is_text(claimed_vr: str) -> bool:
    """Tell whether values of a VR are texts."""
    return _KINDS.get(claimed_vr) == "text"


@lru_cache(maxsize=MOST_TAGS)
def decide(tag: int, claimed_vr: str) -> str:
    """Return ``keep``, ``check`` (see `fitting`) or ``remove`` for what the table does not name.

    Parameters
    ----------
    tag : that the standard's dictionary knows.
    claimed_vr : what the file says that it is.
    """
    vrs = dictionary_VR(tag).split(" or ")
    kind = _KINDS.get(claimed_vr)
    if kind not in {_KINDS.get(vr) for vr in vrs}:
        return "remove"  # a text where a number belongs is a text nobody expects
    if kind == "bytes":
        return "keep" if tag in _BYTES else "remove"
    if kind == "text":
        return "check" if tag in WORDS or vrs[0] in _SHAPES else "remove"
    return "keep"


def fitting(tag: int, words: str) -> str:
    r"""Return a text that is to be checked without the values that may not stay.

    Parameters
    ----------
    words : all values, joined by ``\`` as in a file; so is what is returned.
    """
    one, all_of_them = _shapes(tag)
    if all_of_them.fullmatch(words):
        return words
    values = words.split("\\")
    stay = [bool(one.fullmatch(value)) for value in values]
    if not any(stay) and tag not in _INSTEAD:
        return ""
    instead = _INSTEAD.get(tag, "")
    return "\\".join(value if fits else instead for value, fits in zip(values, stay, strict=True))


@lru_cache(maxsize=MOST_TAGS)
def _shapes(tag: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what matches one value with its padding, and what matches all of them."""
    shape = WORDS.get(tag) or _SHAPES[dictionary_VR(tag)]
    one = rf"[ \0]*+(?:{shape})[ \0]*+"  # possessive: a hostile value costs no more than its length
    return re.compile(one), re.compile(rf"{one}(?:\\{one})*+")
