"""What a decode process and its parent say to one another: messages through a pipe and a memory."""

import mmap
import struct
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from wire.parcel import Garbled, Kinds, pack, unpack

SHARED_BYTES = 4 << 20
"""Memory that both share: some CT slices, not a mammogram, as it is not given back."""

MAX_BYTES = 256 << 20
"""Of one part of a message: a child that claims more is not believed."""

MAX_PARTS = 64

READY = b"ready"
"""What a child says first."""

_IN_PIPE, _IN_MEMORY = b"p", b"m"
_COUNT, _SIZE = struct.Struct("<I"), struct.Struct("<Q")


@dataclass(slots=True, eq=False)
class Channel:
    """One end of a pipe, and memory that both ends see.

    The arguments of a call and its first item lie in the memory where they fit: for most files
    that is all there is to say, and a pipe copies it four times, in small pieces. Nobody has to
    wait for the memory: the arguments were read when the first item is put there, and the next
    ones are put there only when all items were read. Later items go through the pipe.
    """

    pipe: Connection
    memory: mmap.mmap
    kinds: Kinds

    def send(self, message: object, *, in_memory: bool = False) -> None:
        """Send a message; `in_memory`: its parts through the memory, where they fit."""
        parts = pack(message)
        sizes = _COUNT.pack(len(parts)) + b"".join(_SIZE.pack(len(part)) for part in parts)
        if in_memory and len(sizes) + sum(map(len, parts)) <= len(self.memory):
            self.memory.seek(0)
            for part in parts:
                self.memory.write(part)
            self.pipe.send_bytes(_IN_MEMORY + sizes)
            return
        self.pipe.send_bytes(_IN_PIPE + sizes)
        for part in parts:
            self.pipe.send_bytes(part)

    def receive(self) -> Any:
        """Return what the other end sent.

        Raises
        ------
        Garbled        it is no message of ours.
        OSError, EOFError  the other end is gone, or claims too much.
        """
        head = self.pipe.recv_bytes(1 + _COUNT.size + MAX_PARTS * _SIZE.size)
        sizes = _sizes(head[1:])
        if head[:1] == _IN_PIPE:
            return unpack([self.pipe.recv_bytes(size) for size in sizes], self.kinds)
        if sum(sizes) > len(self.memory):
            raise Garbled("more than the memory holds")
        self.memory.seek(0)
        return unpack([self.memory.read(size) for size in sizes], self.kinds)


def _sizes(told: bytes) -> list[int]:
    """Return how long the parts of a message are."""
    if len(told) < _COUNT.size or len(told) != _COUNT.size + _COUNT.unpack_from(told)[0] * 8:
        raise Garbled("no sizes")
    sizes = [size for (size,) in _SIZE.iter_unpack(told[_COUNT.size :])]
    if not sizes or sum(sizes) > MAX_BYTES:
        raise Garbled("too large, or nothing")
    return sizes
