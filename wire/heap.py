"""Memory of processes that run for months: what is kept, and what is not looked through again.

A frame is half a megabyte, copied several times. glibc gives such blocks back to the kernel as they
are freed, and each page of the next frame is a fault again. Kept, they are used again.
"""

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of <malloc.h>

MAPPED_BYTES = 32 << 20
"""Blocks below it come from the heap; the most that glibc takes."""

KEPT_BYTES = 64 << 20
"""Free memory at the end of a heap that is not given back."""


def keep() -> None:
    """Let this process keep what it frees."""
    _set(M_MMAP_THRESHOLD, MAPPED_BYTES)
    _set(M_TRIM_THRESHOLD, KEPT_BYTES)


def one_arena() -> None:
    """Let all threads take memory from one place.

    glibc gives each thread its own, which gives the memory of each PDU back to the kernel and asks
    for it again. Only one thread runs Python at a time anyway.
    """
    _set(M_ARENA_MAX, 1)


def _set(setting: int, value: int) -> None:
    """Change a setting of glibc; another C library has none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(setting, value)


def settle() -> None:
    """Spare the garbage collector all there is now: every thread stands still while it looks.

    What is in no cycle is freed all the same, once nobody has it any more.
    """
    gc.freeze()
