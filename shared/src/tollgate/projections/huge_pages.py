"""Backs what a process holds in memory by huge pages, where the system has them.

A view of a million entities is read at random: with pages of 4 KiB the processor
misses its table of pages at almost every step, and a fork copies that table for some
25 ms. With pages of 2 MiB both is over at once.
"""

import asyncio
import ctypes
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from tollgate.background import in_thread

HUGE_PAGE = 2 * 1024 * 1024

INTERVAL = timedelta(seconds=30)

LARGE = 128 * 1024 * 1024
"""Bytes of private memory from which on a process looks again and again."""

_MADV_COLLAPSE = 25
"""Linux 6.1 and later, madvise(2): now, whatever is set for transparent huge pages."""

_MAPS = Path("/proc/self/maps")
_ANONYMOUS = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *(?:\[heap\])?$", re.MULTILINE
)


def use_huge_pages(at_least: int = 0) -> int:
    """Move private memory to huge pages; how many bytes of it. 0 where it cannot be.

    Nothing is moved where it would be fewer than `at_least`. It copies what is not on
    such pages yet, a second a gigabyte: for a thread, and for all of it after a large
    state was read and before anything is served from it.
    """
    try:
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        regions = list(_regions(_MAPS.read_text(encoding="ascii", errors="replace")))
    except (OSError, AttributeError):
        return 0
    if sum(length for _, length in regions) < at_least:
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(
        length
        for start, length in regions
        if madvise(start, length, _MADV_COLLAPSE) == 0
    )


async def stay_on_huge_pages(
    interval: timedelta = INTERVAL, at_least: int = LARGE
) -> None:
    """Move what has come since to huge pages, again and again until cancelled.

    What is asked at every request comes last: tokens that were verified, and what was
    looked up for them. Where nothing has come this takes a millisecond or two.
    """
    while True:
        await asyncio.sleep(interval.total_seconds())
        await in_thread(use_huge_pages, at_least)


def _regions(maps: str) -> Iterator[tuple[int, int]]:
    """Start and length of each anonymous region, in whole huge pages within it."""
    for found in _ANONYMOUS.finditer(maps):
        first, end = (int(text, 16) for text in found.groups())
        start = -(-first // HUGE_PAGE) * HUGE_PAGE
        length = (end - start) // HUGE_PAGE * HUGE_PAGE
        if length > 0:
            yield start, length
