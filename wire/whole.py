"""Whether a file holds all of its last element: pydicom passes over what is missing in silence."""

import io

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

UNDEFINED = 0xFFFFFFFF
"""Length of an element that ends with a delimiter."""

_DELIMITERS = (b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd")
"""Tag of a sequence delimitation item, little and big endian."""


def cut_off(data: bytes, dataset: Dataset) -> bool:
    """Tell whether a file ends inside an element.

    Parameters
    ----------
    dataset : what pydicom read of `data`.
    """
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return False  # zlib has told
    file = io.BytesIO(data)
    read_preamble(file, force=True)
    end = file.tell()
    for _ in data_element_generator(file, False, True, lambda tag, vr, length: tag.group != 2):
        end = file.tell()
    file.seek(end)
    implicit_vr, little_endian = dataset.original_encoding
    try:
        for element in data_element_generator(file, bool(implicit_vr), bool(little_endian)):
            end = file.tell()
            if not _whole(element, data[end - 8 : end - 4]):
                return True
    except EOFError:
        return True
    return end < len(data)


def _whole(element: RawDataElement | DataElement, delimiter: bytes) -> bool:
    """Tell whether an element ends as it says; one with a length, or a sequence without."""
    if isinstance(element, RawDataElement):
        return element.length == UNDEFINED or len(element.value or b"") == element.length
    return delimiter in _DELIMITERS
