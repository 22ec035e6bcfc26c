"""wrk: what it is told to send, and what came back."""

import asyncio
import math
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench.measuring.context import Bench
from bench.measuring.failures import CannotMeasure
from bench.measuring.processes import CoreTimes, core_times
from bench.peers.debian import installed

CONNECTIONS = 64
HOLE = "{hole}"
"""Stands in a request where something else is to stand each time."""

REST_SECONDS = 0.2
"""How long a connection of a paced load rests before a request, on average."""

_ANSWER_SECONDS = 0.02  # in which a connection of a paced load waits for its answer

_SCRIPTS = Path(__file__).with_name("lua")
_PATIENCE = 30  # seconds for one answer


class Script(Enum):
    """How the requests of a file are sent."""

    SAME = "same.lua"
    ROTATE = "rotate.lua"
    FILL = "fill.lua"
    PACED = "paced.lua"


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in files, and over how many connections they go."""

    name: str
    script: Script
    files: tuple[Path, ...]
    connections: int = CONNECTIONS
    sent: dict[int, int] = {}
    """How many to each port so far: the next run goes on after them."""

    def over(self, connections: int) -> "Load":
        """The same requests over so many connections."""
        return replace(self, connections=connections)

    def paced(self, rate: float) -> "Load":
        """The same requests, about `rate` a second of them."""
        if self.script is not Script.FILL:
            raise ValueError(f"{self.name} has no hole, and only such can be paced")
        connections = math.ceil(rate * (REST_SECONDS + _ANSWER_SECONDS))
        return replace(self, script=Script.PACED, connections=connections)


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk counted. `refused` answers had a status of 400 or more."""

    requests: int
    microseconds: int
    refused: int
    failed: int  # connections and requests that got no answer
    p50: int  # of the latency, in microseconds
    p99: int
    core: CoreTimes = CoreTimes(0, 0)  # what the core under test worked meanwhile

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.microseconds * 1e6

    @property
    def busy(self) -> float:
        """The share of the time in which the core under test had work."""
        return (self.core.programs + self.core.kernel) / self.microseconds * 1e6

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
                f"{what}: {self.failed} of {self.requests} requests got no answer"
            )


def same(bench: Bench, name: str, request: bytes) -> Load:
    """One request over and over."""
    return Load(name=name, script=Script.SAME, files=(_file(bench, name, request),))


def rotating(bench: Bench, name: str, requests: Iterable[bytes]) -> Load:
    """Many requests in turn."""
    lines = b"".join(b"%d\n%b" % (len(request), request) for request in requests)
    return Load(name=name, script=Script.ROTATE, files=(_file(bench, name, lines),))


def traced(bench: Bench, name: str, request: bytes) -> Load:
    """One request, with a trace id in its `HOLE` that no request had before."""
    return Load(name=name, script=Script.FILL, files=(_file(bench, name, request),))


def filled(bench: Bench, name: str, request: bytes, fillings: Iterable[str]) -> Load:
    """One request, with the next of the fillings in its `HOLE`."""
    lines = "".join(f"{filling}\n" for filling in fillings).encode()
    files = (_file(bench, name, request), _file(bench, f"{name} fillings", lines))
    return Load(name=name, script=Script.FILL, files=files)


async def offer(bench: Bench, load: Load, port: int, seconds: float) -> Answers:
    """As much of the load as is answered, for so long (whole seconds)."""
    wrk = installed("wrk", bench)
    process = await asyncio.create_subprocess_exec(
        wrk.path,
        "--threads=1",
        f"--connections={load.connections}",
        f"--duration={seconds:.0f}s",
        f"--timeout={_PATIENCE}s",
        f"--script={_SCRIPTS / load.script.value}",
        f"http://127.0.0.1:{port}/",
        "--",
        str(load.sent.get(port, 0)),
        *map(str, load.files),
        env={**wrk.environment, "LUA_PATH": f"{_SCRIPTS}/?.lua"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    before = core_times(bench.cores.under_test)
    said, _ = await process.communicate()
    worked = core_times(bench.cores.under_test).since(before)
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        answers = msgspec.json.decode(last, type=Answers)
    except msgspec.MsgspecError:
        raise CannotMeasure(f"wrk failed ({load.name}): {last}") from None
    load.sent[port] = load.sent.get(port, 0) + answers.requests + load.connections
    return replace(answers, core=worked)


def _file(bench: Bench, name: str, data: bytes) -> Path:
    file = bench.folder / f"{name.replace(' ', '-')}.load"
    file.write_bytes(data)
    return file
