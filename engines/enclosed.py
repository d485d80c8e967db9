"""Whether an ONNX file is all there is: a tensor may lie in another file, anywhere on the disk.

``external_data`` of a tensor names a file that the runtime opens by itself: past the checksum of
the model, and with ``../`` or an absolute path past its folder. The models here are small, none
needs it, so every file that uses it is refused. The file is walked as protocol buffers are laid
out (https://protobuf.dev/programming-guides/encoding/) by the numbers of onnx.proto: no runtime
has seen it by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engines.errors import CatalogueError

MAX_DEPTH = 64
"""Of graphs within graphs; a path is refused above it."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of TensorProto
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
KEY, VALUE = 1, 2  # of StringStringEntryProto

_SHAPE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Where tensors are: message -> {field: message}."""


class _Broken(Exception):
    """The bytes are no protocol buffer."""


def check_enclosed(data: bytes, path: Path) -> None:
    """See that an ONNX file needs no other file.

    Parameters
    ----------
    data : its bytes.
    path : its name, for the message.

    Raises
    ------
    CatalogueError  a tensor of it lies elsewhere, or it cannot be walked.
    """
    try:
        _walk(memoryview(data), "model", path, 0)
    except _Broken as error:
        raise CatalogueError(f"{path}: not a whole ONNX file ({error}).") from error


def _walk(message: memoryview, kind: str, path: Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _Broken("graphs nested too deeply")
    for field, wire, value in _fields(message):
        if kind == "tensor":
            if (field == EXTERNAL_DATA) or (field == DATA_LOCATION and value != 0):
                raise CatalogueError(
                    f"{path}: a tensor of it lies in another file{_location(message)}. Save the "
                    "model with all its tensors inside (onnx.save, save_as_external_data=False)."
                )
        elif (inner := _SHAPE[kind].get(field)) is not None:
            if wire != LENGTH or not isinstance(value, memoryview):
                raise _Broken("a message has another type")
            _walk(value, inner, path, depth + 1)


def _location(tensor: memoryview) -> str:
    """Return where a tensor says it lies, for the message."""
    for field, _, entry in _fields(tensor):
        if field == EXTERNAL_DATA and isinstance(entry, memoryview):
            words = {n: bytes(v) for n, _, v in _fields(entry) if isinstance(v, memoryview)}
            if words.get(KEY) == b"location":
                return f", {words.get(VALUE, b'')[:200].decode(errors='replace')!r}"
    return ""


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield (number, wire type, value) of each field."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = _varint(message, at)
        elif wire == LENGTH:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            value, at = message[at : at + size], at + size
        else:
            raise _Broken(f"wire type {wire}")
        if at > len(message):
            raise _Broken("it ends early")
        yield number, wire, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _Broken("it ends early")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Broken("a number without end")
