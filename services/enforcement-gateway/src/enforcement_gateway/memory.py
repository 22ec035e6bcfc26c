"""What the worker asks of the C library's memory."""

import ctypes

KEPT: int = 64 * 1024 * 1024
"""Octets of freed memory that are kept for the next large bodies: of as many the start
may have come at once."""

LARGEST_KEPT: int = 4 * 1024 * 1024
"""Octets: what is larger comes from the kernel and goes back there each time."""

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Do not give the memory of each large body back to the kernel.

    glibc returns what is freed at the end of its heap, and the kernel then clears it
    page by page for the next body: for one of 400 KB that takes longer than inflating
    it. False where the C library is another, and does as it does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT) and mallopt(_M_TRIM_THRESHOLD, KEPT)
    )
