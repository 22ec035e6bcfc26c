"""wrk: what it is told to send, and what came back."""

import asyncio
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import msgspec

from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.peers.debian import installed

CONNECTIONS = 64
TRACE_ID = "{trace id}"
"""Stands in a request where `Script.TRACE` puts an id that no request had before."""

_SCRIPTS = Path(__file__).with_name("lua")
_PATIENCE = 30  # seconds for one answer


class Script(Enum):
    """How the requests of a file are sent."""

    SAME = "same.lua"
    ROTATE = "rotate.lua"
    TRACE = "trace.lua"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in a file, and over how many connections they go."""

    name: str
    script: Script
    file: Path
    connections: int = CONNECTIONS


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk counted. `refused` answers had a status of 400 or more."""

    requests: int
    microseconds: int
    refused: int
    failed: int  # connections and requests that got no answer
    p50: int  # of the latency, in microseconds
    p99: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.microseconds * 1e6

    def require_passed(self, what: str) -> "Answers":
        """Raise `CannotMeasure` unless every request passed."""
        self._require_answers(what)
        if self.refused:
            raise CannotMeasure(f"{what}: {self.refused} of {self.requests} refused")
        return self

    def require_refused(self, what: str) -> "Answers":
        """Raise `CannotMeasure` unless every request was refused."""
        self._require_answers(what)
        passed = self.requests - self.refused
        if passed:
            raise CannotMeasure(f"{what}: {passed} of {self.requests} passed")
        return self

    def _require_answers(self, what: str) -> None:
        if self.failed or not self.requests:
            raise CannotMeasure(
                f"{what}: {self.failed} requests of {self.requests} got no answer"
            )


def same(bench: Bench, name: str, request: bytes, **how: int) -> Load:
    """One request over and over, with a new `TRACE_ID` each time if it holds one."""
    script = Script.TRACE if TRACE_ID.encode() in request else Script.SAME
    return _load(bench, name, script, request, **how)


def rotating(bench: Bench, name: str, requests: Iterable[bytes], **how: int) -> Load:
    """Many requests in turn."""
    lines = b"".join(b"%d\n%b" % (len(request), request) for request in requests)
    return _load(bench, name, Script.ROTATE, lines, **how)


async def offer(bench: Bench, load: Load, port: int, seconds: float) -> Answers:
    """As much of the load as is answered, for so long."""
    wrk = installed("wrk", bench)
    process = await asyncio.create_subprocess_exec(
        wrk.path,
        "--threads=1",
        f"--connections={load.connections}",
        f"--duration={max(round(seconds), 1)}s",
        f"--timeout={_PATIENCE}s",
        f"--script={_SCRIPTS / load.script.value}",
        f"http://127.0.0.1:{port}/",
        "--",
        str(load.file),
        env={**wrk.environment, "LUA_PATH": f"{_SCRIPTS}/?.lua"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(last, type=Answers)
    except msgspec.MsgspecError:
        raise CannotMeasure(f"wrk failed ({load.name}): {last}") from None


def _load(
    bench: Bench,
    name: str,
    script: Script,
    data: bytes,
    *,
    connections: int = CONNECTIONS,
) -> Load:
    file = bench.folder / f"{name.replace(' ', '-')}.requests"
    file.write_bytes(data)
    return Load(name=name, script=script, file=file, connections=connections)
