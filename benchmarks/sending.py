"""Files to a listener by C-STORE, byte for byte as a scanner wrote them.

One association for each file, for its class and transfer syntax alone. Nothing is decoded on the
way out: what is broken in a file is still broken where it arrives.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filereader import read_dataset, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom import AE, _config
from pynetdicom.association import Association

from wire import part10
from wire.errors import FrameError

TITLE = "CONFORMANCE"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Header:
    """What a C-STORE has to name. "" where the file does not say.

    offset : of the data set in the file.
    whole : the file has a preamble, and a header that names all three.
    """

    sop_class: str
    instance: str
    syntax: str
    offset: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one file: the status of its C-STORE, or in words why it was not sent."""

    status: int | None
    words: str = ""

    def __str__(self) -> str:
        if self.status is None:
            return f"not sent: {self.words}"
        return f"{self.status:04X} {self.words}".strip()


def header_of(path: Path) -> Header:
    """Read what a file says of itself: its file meta information, else its data set."""
    try:
        with part10.guard("reading the header"), path.open("rb") as file:
            preamble = read_preamble(file, force=True)
            meta = read_dataset(file, False, True, stop_when=lambda tag, vr, size: tag.group != 2)
            offset = file.tell()
            said = [meta.get(k) for k in ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")]
            sop_class, instance, syntax = map(_clean, (*said, meta.get("TransferSyntaxUID")))
            if sop_class and instance and syntax:
                return Header(sop_class, instance, syntax, offset, whole=preamble is not None)
            dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            return Header(
                sop_class or _clean(dataset.get("SOPClassUID")),
                instance or _clean(dataset.get("SOPInstanceUID")),
                syntax or part10.SYNTAX_AS_READ[dataset.original_encoding],
                offset,
                whole=False,
            )
    except FrameError:
        return Header("", "", "", 0, whole=False)


def send(path: Path, header: Header, address: tuple[str, int], called: str) -> Stored:
    """Send one file; see the module."""
    for value, name in (
        (header.sop_class, "SOP Class UID"),
        (header.instance, "SOP Instance UID"),
        (header.syntax, "transfer syntax"),
    ):
        if not value:
            return Stored(None, f"no {name}")
    ae = AE(TITLE)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT_S
    ae.add_requested_context(header.sop_class, header.syntax)
    association = ae.associate(*address, ae_title=called)
    if not association.is_established:
        if association.rejected_contexts:
            return Stored(None, "this SOP class or transfer syntax is not taken")
        return Stored(None, "no association")
    try:
        return _stored(association, path, header)
    finally:
        association.release()


def _stored(association: Association, path: Path, header: Header) -> Stored:
    with _as_it_is(), _with_header(path, header) as whole:
        answer = association.send_c_store(whole)
    if "Status" not in answer:
        return Stored(None, "the association was lost before an answer came")
    return Stored(int(answer.Status), str(answer.get("ErrorComment", "")))


@contextmanager
def _as_it_is() -> Iterator[None]:
    """Let pynetdicom send the bytes of a file without parsing them."""
    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        yield
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before


@contextmanager
def _with_header(path: Path, header: Header) -> Iterator[Path]:
    """Yield the file, or a copy with the header that it lacks before the same data set."""
    if header.whole:
        yield path
        return
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(header.sop_class)
    meta.MediaStorageSOPInstanceUID = UID(header.instance)
    meta.TransferSyntaxUID = UID(header.syntax)
    with tempfile.NamedTemporaryFile(suffix=".dcm") as copy:
        copy.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(DicomFileLike(copy), meta, enforce_standard=False)
        copy.write(path.read_bytes()[header.offset :])
        copy.flush()
        yield Path(copy.name)


def _clean(value: object) -> str:
    return str(value or "").strip(" \0")
