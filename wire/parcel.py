"""Values between two processes, written so that reading them can run no code.

A process that parses what strangers sent may have been taken over by it. What it answers is read
as numbers, texts, arrays and the dataclasses that its task says it yields: no name in it is looked
up, nothing in it is called but their constructors. (Pickle would do whatever the bytes say.)

A parcel is a list of parts: the first is JSON, the others are the bytes and arrays it speaks of.
Whatever is not a JSON scalar is a list that begins with its tag.
"""

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from wire.errors import FrameError, Reason
from wire.frame import Attributes

Part = bytes | memoryview
Kinds = dict[str, type]

ARRAYS = "biuf"
"""Kinds of numpy that are nothing but numbers."""


class Garbled(Exception):
    """The parts are no parcel, or hold what was not expected: nothing of them is used."""


def kinds_of(task: Callable[..., Any]) -> Kinds:
    """Return the dataclasses that a task's annotations speak of, and those in their fields."""
    found: Kinds = {}
    left = [Attributes, *typing.get_type_hints(task).values()]
    while left:
        kind = left.pop()
        left.extend(typing.get_args(kind))
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            name = f"{kind.__module__}.{kind.__qualname__}"
            if name not in found:
                found[name] = kind
                left.extend(typing.get_type_hints(kind).values())
    return found


def pack(value: object) -> list[Part]:
    """Return the parts of a value.

    Raises
    ------
    TypeError   it holds something else than `unpack` gives back.
    """
    parts: list[Part] = [b""]
    parts[0] = json.dumps(_written(value, parts)).encode()
    return parts


def unpack(parts: Sequence[bytes], kinds: Kinds) -> Any:
    """Return the value of some parts; arrays in it are read-only.

    Raises
    ------
    Garbled   they are not a parcel, or hold another dataclass than `kinds`.
    """
    try:
        return _read(json.loads(parts[0]), parts, kinds)
    except Exception as error:  # whatever hostile bytes do to a parser, it ends here
        raise Garbled(type(error).__name__) from error


def _written(value: Any, parts: list[Part]) -> Any:
    match value:
        case Reason():
            return ["reason", value.value]
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case bytes() | bytearray() | memoryview():
            return ["bytes", _added(memoryview(value), parts)]
        case np.ndarray():
            array = np.ascontiguousarray(value)
            number = _added(array.reshape(-1).view(np.uint8).data, parts)
            return ["array", number, array.dtype.str, list(value.shape)]
        case tuple() | list():
            return [type(value).__name__, *(_written(item, parts) for item in value)]
        case UUID():
            return ["uuid", value.hex]
        case datetime():
            return ["time", value.isoformat()]
        case Path():
            return ["path", str(value)]
        case FrameError():
            return ["error", *(_written(item, parts) for item in value.args)]
    if dataclasses.is_dataclass(value):
        kind = type(value)
        fields = (getattr(value, field.name) for field in dataclasses.fields(value))
        name = f"{kind.__module__}.{kind.__qualname__}"
        return ["of", name, *(_written(item, parts) for item in fields)]
    raise TypeError(f"a {type(value).__name__} goes into no parcel")


def _added(part: Part, parts: list[Part]) -> int:
    parts.append(part)
    return len(parts) - 1


def _read(node: Any, parts: Sequence[bytes], kinds: Kinds) -> Any:
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise TypeError
        return node
    tag, *rest = node
    if tag in _LEAVES:
        return _LEAVES[tag](*rest)
    if tag == "bytes":
        return parts[rest[0]]
    if tag == "array":
        return _array(parts[rest[0]], *rest[1:])
    if tag == "of":
        return kinds[rest[0]](*_each(rest[1:], parts, kinds))
    return _GROUPS[tag](_each(rest, parts, kinds))


def _each(nodes: list[Any], parts: Sequence[bytes], kinds: Kinds) -> Iterator[Any]:
    return (_read(node, parts, kinds) for node in nodes)


def _array(part: bytes, dtype: str, shape: list[int]) -> Any:
    kind = np.dtype(dtype)
    if kind.kind not in ARRAYS:
        raise TypeError
    return np.frombuffer(part, kind).reshape(shape)


_LEAVES: dict[str, Callable[[str], Any]] = {
    "reason": Reason,
    "uuid": UUID,
    "time": datetime.fromisoformat,
    "path": Path,
}
_GROUPS: dict[str, Callable[[Iterator[Any]], Any]] = {
    "tuple": tuple,
    "list": list,
    "error": lambda items: FrameError(*items),
}
