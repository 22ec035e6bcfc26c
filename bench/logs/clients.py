"""Clients of a log, on the core of the program under test."""

import asyncio
import sys
from typing import TypeVar

import msgspec

from bench import ROOT
from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure

T = TypeVar("T")


class Client:
    """A process that says when it is ready, and measures when it is told to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, bench: Bench, module: str, *arguments: object) -> "Client":
        process = await asyncio.create_subprocess_exec(
            *bench.cores.command_under_test,
            sys.executable,
            "-m",
            module,
            *map(str, arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        client = cls(process)
        await client.line()
        return client

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def result(self, of: type[T]) -> T:
        """What it measured; it has ended then."""
        line = await self.line()
        await self._process.wait()
        return msgspec.json.decode(line, type=of)

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise CannotMeasure("a client of the log ended early")
        return line
