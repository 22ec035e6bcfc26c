"""Memory that moved to huge pages holds what it held."""

import asyncio
import sys
from datetime import timedelta

import pytest

from tollgate.background import running
from tollgate.projections import huge_pages
from tollgate.projections.huge_pages import (
    HUGE_PAGE,
    _regions,
    stay_on_huge_pages,
    use_huge_pages,
)


def test_what_the_process_holds_stays_as_it_is() -> None:
    held = [bytes([number % 251]) * 4096 for number in range(4096)]
    moved = use_huge_pages()
    assert moved % HUGE_PAGE == 0
    assert all(each == bytes([number % 251]) * 4096 for number, each in enumerate(held))


def test_a_small_process_is_left_as_it_is() -> None:
    assert use_huge_pages(at_least=sys.maxsize) == 0


async def test_what_comes_later_is_moved_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, enough = [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def noting(at_least: int) -> int:
        asked.append(at_least)
        if len(asked) == 3:
            loop.call_soon_threadsafe(enough.set)
        return use_huge_pages(at_least)

    monkeypatch.setattr(huge_pages, "use_huge_pages", noting)
    async with running(stay_on_huge_pages(timedelta(0), at_least=HUGE_PAGE)):
        async with asyncio.timeout(60):
            await enough.wait()
    assert set(asked) == {HUGE_PAGE}


def test_only_private_memory_without_a_file_is_moved_in_whole_pages() -> None:
    maps = """\
7f0000000000-7f0000500000 rw-p 00000000 00:00 0
7f0001100000-7f0001400000 rw-p 00000000 00:00 0 \n\
7f0002000000-7f0002100000 rw-p 00000000 00:00 0
7f0003000000-7f0003400000 r--p 00000000 00:00 0
7f0004000000-7f0004400000 rw-s 00000000 00:00 0
7f0005000000-7f0005400000 rw-p 00000000 fe:00 17 /usr/lib/libc.so
560000100000-560000600000 rw-p 00000000 00:00 0                          [heap]
7ffd00000000-7ffd00400000 rw-p 00000000 00:00 0                          [stack]
"""
    assert [(hex(start), length // HUGE_PAGE) for start, length in _regions(maps)] == [
        ("0x7f0000000000", 2),
        ("0x7f0001200000", 1),
        ("0x560000200000", 2),
    ]
