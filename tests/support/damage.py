"""Damaged variants of files: the same seed damages the same bytes."""

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

HEADER_BYTES = 2_000
"""Where the description of the pixels mostly lies."""


def damaged(paths: Sequence[Path], seed: int) -> bytes:
    """Return one of the files, damaged in one way."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(paths).read_bytes())
    rng.choice(WAYS)(data, rng)
    return bytes(data)


def _flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 32)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _header_flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(min(len(data), HEADER_BYTES))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _cut_near_the_end(data: bytearray, rng: random.Random) -> None:
    del data[-rng.randint(1, min(64, len(data))) :]


def _long_lengths(data: bytearray, rng: random.Random) -> None:
    """Put a great number where a length or a size may stand."""
    great = rng.choice([0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0xFFFF, 0x10000])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, min(len(data), HEADER_BYTES) - 4)) & ~1
        data[at : at + 4] = struct.pack("<I", great)


def _description_changed(data: bytearray, rng: random.Random) -> None:
    """Change numbers that describe the pixels: group 0028, little endian, as they lie there."""
    for element in (0x02, 0x08, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103):
        at = data.find(struct.pack("<HH", 0x0028, element))
        if at >= 0 and at + 10 <= len(data) and rng.random() < 0.4:
            data[at + 8 : at + 10] = struct.pack("<H", rng.choice([0, 1, 3, 7, 255, 4096, 65535]))


def _piece_missing(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 64)]


def _piece_twice(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randint(1, 512)]


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flipped,
    _header_flipped,
    _cut,
    _cut_near_the_end,
    _long_lengths,
    _description_changed,
    _piece_missing,
    _piece_twice,
)
