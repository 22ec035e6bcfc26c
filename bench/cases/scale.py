"""A view of a million sources beside one of a thousand: deciding, memory, start."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.figures import (
    Detail,
    Figure,
    Row,
    ours_at_most,
    ratio_at_most,
)
from bench.scale.decide import ANEW, Started
from bench.scale.entities import Size
from bench.scale.write import Written

SMALL = Size(sources=1_000, apps=1_000, revocations=1_000)
LARGE = Size(sources=1_000_000, apps=100_000, revocations=1_000_000)
LESS = Size(sources=50_000, apps=5_000, revocations=50_000)

TIMES = 3

MEGABYTE = 1e6
MILLISECOND = 1e-3
MICROSECOND = 1e-6


class Worker:
    """A process that has started from a snapshot and decides when asked to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def decide(self) -> float:
        """Seconds for one decision, over many."""
        return await self._ask("again")

    async def decide_anew(self) -> float:
        """As `decide`, right after every app has changed."""
        return await self._ask(ANEW)

    async def _ask(self, for_what: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(for_what.encode() + b"\n")
        return msgspec.json.decode(await self.line(), type=float)

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise CannotMeasure("a worker ended")
        return line


async def run(bench: Bench) -> list[Row]:
    large = bench.pick(full=LARGE, quick=LESS)
    folders = {}
    for name, size in (("large", large), ("small", SMALL)):
        folders[name] = bench.folder / name
        folders[name].mkdir()
        written = await _written(bench, size, folders[name])
        if name == "large":
            of_large = written
    async with AsyncExitStack() as stack:
        workers, started = {}, {}
        for name, folder in folders.items():
            workers[name] = await stack.enter_async_context(_worker(bench, folder))
            started[name] = msgspec.json.decode(
                await workers[name].line(), type=Started
            )
            await workers[name].line()
        # In the third of a second of a round a machine is as quick as it happens to be.
        decided = await bench.alternate(
            {name: worker.decide for name, worker in workers.items()}, times=TIMES
        )
        anew = await bench.alternate(
            {name: worker.decide_anew for name, worker in workers.items()}
        )
    return _rows(large, decided, anew, of_large, started["large"])


def _rows(
    size: Size,
    decided: dict[str, list[float]],
    anew: dict[str, list[float]],
    written: Written,
    started: Started,
) -> list[Row]:
    what = (
        f"{size.sources:,} sources, {size.apps:,} apps,"
        f" {size.revocations:,} live revocations"
    )
    return [
        Row(
            what=f"decision in a view of {what}",
            unit="us",
            ours=_figure(decided["large"], MICROSECOND),
            peer="1,000 of each",
            theirs=_figure(decided["small"], MICROSECOND),
            target=ratio_at_most(1.25),
        ),
        Row(
            what="the same, right after every app has changed",
            unit="us",
            ours=_figure(anew["large"], MICROSECOND),
            peer="1,000 of each",
            theirs=_figure(anew["small"], MICROSECOND),
        ),
        Row(
            what="start from a snapshot of it",
            unit="s",
            ours=Figure.of([started.seconds]),
            target=ours_at_most(15),
            details=(Detail("files", written.file_bytes / MEGABYTE, "MB"),),
        ),
        Row(
            what="memory of it",
            unit="MB",
            ours=Figure.of([started.resident / MEGABYTE]),
            details=(
                Detail("a source with its key", written.source_bytes, "B"),
                Detail("an app with its key", written.app_bytes, "B"),
                Detail("a revocation", written.revocation_bytes, "B"),
            ),
        ),
        Row(
            what="pause of the worker that writes the snapshot",
            unit="ms",
            ours=_figure(written.pauses, MILLISECOND),
            details=(
                Detail("until it is written", _figure(written.seconds, 1).median, "s"),
            ),
        ),
        Row(
            what="full collection of garbage, were it not frozen",
            unit="ms",
            ours=_figure([written.collection_seconds], MILLISECOND),
        ),
    ]


def _figure(seconds: list[float] | tuple[float, ...], unit: float) -> Figure:
    return Figure.of(each / unit for each in seconds)


async def _written(bench: Bench, size: Size, folder: Path) -> Written:
    numbers = (size.sources, size.apps, size.revocations)
    process = await _python(bench, "bench.scale.write", *map(str, numbers), str(folder))
    printed, _ = await process.communicate()
    if process.returncode:
        raise CannotMeasure("the snapshot could not be written")
    return msgspec.json.decode(printed, type=Written)


@asynccontextmanager
async def _worker(bench: Bench, folder: Path) -> AsyncIterator[Worker]:
    process = await _python(bench, "bench.scale.decide", str(folder))
    try:
        yield Worker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _python(
    bench: Bench, module: str, *arguments: str
) -> asyncio.subprocess.Process:
    """A program of ours on the core of what is under test."""
    return await asyncio.create_subprocess_exec(
        *bench.cores.command_under_test,
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
