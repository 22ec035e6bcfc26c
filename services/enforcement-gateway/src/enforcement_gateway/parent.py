"""The parent of the workers: starts them, restarts them, adds up what they count.

It owns the status port and nothing else, so a worker that dies takes no answer about
the others with it.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import structlog

from enforcement_gateway.counters import Tally, WouldBeDenial
from enforcement_gateway.reports import MAX_LINE, Report, decode_report
from enforcement_gateway.worker import CONTROL_FD

REPORT_INTERVAL = 1.0
"""Seconds between reports that nobody asked for: what a dead worker counted is lost
from the last one on."""

REPORT_TIMEOUT = 2.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
STEADY = 30.0
"""Seconds of life after which a worker's end counts as its first again."""

STOP_MARGIN = timedelta(seconds=5)
"""What a worker gets beyond its draining time before it is killed."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Worker:
    """A process, the socket to it, and the last that it said."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    last: Report | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0

    async def ask(self) -> Report | None:
        """Its report now; None if it does not answer in time, or has ended."""
        try:
            async with asyncio.timeout(REPORT_TIMEOUT), self.asking:
                if self.writer.is_closing():  # it was buried while others waited
                    return None
                self.asked += 1
                self.writer.write(b"%d\n" % self.asked)
                await self.writer.drain()
                report = decode_report(await self.reader.readline())
                while report.asked != self.asked:  # an answer nobody waited for
                    report = decode_report(await self.reader.readline())
            self.last = report
        except (TimeoutError, ConnectionError, ValueError, msgspec.MsgspecError):
            return None
        return self.last


class Workers:
    """All workers, by their number."""

    def __init__(self, count: int, *, drain_time: timedelta) -> None:
        self._count = count
        self._drain_time = drain_time
        self._running: dict[int, Worker] = {}
        self._of_the_dead = Tally()
        self._stopping = False
        self.restarts = 0

    @property
    def count(self) -> int:
        return self._count

    async def reports(self) -> list[Report]:
        """Those of all workers that answer now."""
        workers = list(self._running.values())
        answers = await asyncio.gather(*(each.ask() for each in workers))
        return [answer for answer in answers if answer is not None]

    async def is_ready(self) -> bool:
        """Whether every worker listens and knows enough to decide."""
        reports = await self.reports()
        return len(reports) == self._count and all(
            each.listening and each.view.ready for each in reports
        )

    def tally(self) -> Tally:
        """What all workers counted, those that are gone included."""
        total = msgspec.json.decode(msgspec.json.encode(self._of_the_dead), type=Tally)
        for worker in self._running.values():
            if worker.last is not None:
                total.add(worker.last.tally)
        return total

    def samples(self) -> list[WouldBeDenial]:
        """What `report` let through lately, newest first."""
        return sorted(
            (
                sample
                for worker in self._running.values()
                if worker.last is not None
                for sample in worker.last.samples
            ),
            key=lambda sample: -sample.at,
        )

    async def run(self) -> None:
        """Keep every worker running until cancelled; then stop them, draining."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._count):
                    tasks.create_task(self._keep(number))
                tasks.create_task(self._collect())
        finally:
            await self._stop()

    async def drain(self) -> None:
        """Stop the workers: they finish what they accepted. Their counts stay."""
        await self._stop()

    async def _keep(self, number: int) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            worker = await _start(number)
            self._running[number] = worker
            if self._stopping:
                _tell_to_stop(worker)
            code = await worker.process.wait()
            self._bury(number)
            if self._stopping:
                return
            self.restarts += 1
            if loop.time() - started > STEADY:
                pause = FIRST_PAUSE
            logger.error("worker ended", worker=number, code=code, pause=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _bury(self, number: int) -> None:
        worker = self._running.pop(number)
        worker.writer.close()
        if worker.last is not None:
            self._of_the_dead.add(worker.last.tally, gone=True)

    async def _collect(self) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL)
            await self.reports()

    async def _stop(self) -> None:
        self._stopping = True
        workers = list(self._running.values())
        for worker in workers:
            _tell_to_stop(worker)
        patience = (self._drain_time + STOP_MARGIN).total_seconds()
        await asyncio.gather(*(_end(worker, patience) for worker in workers))


async def _start(number: int) -> Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "enforcement_gateway",
            "worker",
            str(number),
            env={**os.environ, CONTROL_FD: str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            # A Ctrl-C is for the parent, which tells the workers in its own time.
            start_new_session=True,
        )
    reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE)
    logger.info("worker started", worker=number, pid=process.pid)
    return Worker(process, reader, writer)


def _tell_to_stop(worker: Worker) -> None:
    with contextlib.suppress(ProcessLookupError):
        worker.process.send_signal(signal.SIGTERM)


async def _end(worker: Worker, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await worker.process.wait()
    except TimeoutError:
        logger.warning("worker killed, it did not stop in time", pid=worker.process.pid)
        worker.process.kill()
        await worker.process.wait()
    worker.writer.close()
