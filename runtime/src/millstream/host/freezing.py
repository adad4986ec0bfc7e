"""What a template does last, so that its children share its pages.

Each page that a child writes to becomes its own, and a fault in its start. Measured, with what else was tried, in
docs/decisions/memory-of-a-child.md.
"""

import ctypes
import gc
import os
import sys

from millstream.host import output

PIECES = (*(1 << bits for bits in range(19, 10, -1)), *range(1008, 8, -16))
"""Bytes, from the largest on: what is left of a hole is filled by smaller ones, down to the least that malloc gives."""
BEYOND = 1 << 20  # bytes: more than any hole
HEAP = 1 << 26  # bytes: what is further away than this is not in the same heap
MOST_PIECES = 20_000


def freeze() -> None:
    """Let nothing that is there be looked at, moved or filled up by a child."""
    output.ready()
    gc.collect()
    fill_holes()
    clear_type_cache()
    gc.freeze()


def fill_holes() -> int:
    """Take the free pieces between the objects of this process's heap for good; give how many bytes.

    Else a child's allocations go there, each to a page of its own. Pages that nobody had are filled from end to end.
    Only the C library of GNU is known to give the lowest hole that fits.
    """
    if not _is_glibc():
        return 0
    library = ctypes.CDLL(None)
    malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(("malloc", library))
    free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(("free", library))
    end = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_ssize_t)(("sbrk", library))(0) or 0
    top = malloc(BEYOND) or 0
    if abs(end - top) > HEAP:  # what is so large is mapped on its own, by the operator's settings
        free(top)
        return 0
    filled = 0
    pieces = iter(range(MOST_PIECES))
    for size in PIECES:
        for _ in pieces:
            piece = malloc(size) or 0
            if not 0 < top - piece < HEAP:  # no hole of this size is left
                free(piece)
                break
            filled += size
    free(top)
    return filled


def clear_type_cache() -> None:
    """Let go of the names that the interpreter keeps of its last look-ups of attributes: a child's look-up would take
    the place of one, and count down a name on some other page."""
    clear = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
    clear()


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError):  # another system, another C library
        return False
