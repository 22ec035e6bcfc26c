"""Fills a view, writes its snapshot as a worker does, and says what that cost.

`python -m bench.scale.write SOURCES APPS REVOCATIONS FOLDER` prints one `Written`.
"""

import asyncio
import gc
import sys
import time
from pathlib import Path

import msgspec

from bench.scale.entities import Filled, Size, fill
from bench.scale.views import snapshot_of, view_of
from tollgate.testing.keys import signing_key

TICK = 0.0005
WRITES = 2
SIGNING_KEY = "signing-key.pem"


class Written(msgspec.Struct, frozen=True):
    """Seconds, bytes, and bytes of memory for each of a kind."""

    pauses: tuple[float, ...]
    seconds: tuple[float, ...]
    file_bytes: int
    source_bytes: float
    app_bytes: float
    revocation_bytes: float
    collection_seconds: float


async def measure(size: Size, folder: Path) -> Written:
    key = signing_key()
    (folder / SIGNING_KEY).write_text(key.to_pem())
    filled = fill(size, key)
    gc.collect()  # a first look untracks what holds no references
    started = time.perf_counter()
    gc.collect()
    collection = time.perf_counter() - started
    pauses, seconds = [], []
    for number in range(WRITES):
        pause, took = await _write(filled, number, folder)
        pauses.append(pause)
        seconds.append(took)
    return Written(
        tuple(pauses),
        tuple(seconds),
        size_of_files(folder),
        filled.source_bytes,
        filled.app_bytes,
        filled.revocation_bytes,
        collection,
    )


def size_of_files(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.glob("view.snapshot*"))


async def _write(filled: Filled, number: int, folder: Path) -> tuple[float, float]:
    """The longest time for which the loop stood still, and that until all was saved."""
    view = view_of(filled.registry, filled.tokens, bytes([number]) * 32)
    gc.collect()  # of our own making, not now
    watching = asyncio.create_task(_longest_pause())
    await asyncio.sleep(10 * TICK)
    started = time.perf_counter()
    await snapshot_of(view, folder).save()
    took = time.perf_counter() - started
    watching.cancel()
    return await watching, took


async def _longest_pause() -> float:
    longest = 0.0
    last = time.perf_counter()
    try:
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            longest, last = max(longest, now - last - TICK), now
    except asyncio.CancelledError:
        return longest


if __name__ == "__main__":
    *numbers, folder = sys.argv[1:]
    print(
        msgspec.json.encode(
            asyncio.run(measure(Size(*map(int, numbers)), Path(folder)))
        ).decode()
    )
