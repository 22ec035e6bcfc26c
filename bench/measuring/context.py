"""What every case is given."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    closing,
    contextmanager,
)
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from bench import LOCAL
from bench.measuring.cores import Cores
from bench.measuring.programs import Program
from bench.measuring.rounds import MeasuredT, alternate
from local_stack.ledger import Ledger
from local_stack.testing import Broker, TestRun

ChoiceT = TypeVar("ChoiceT")
SharedT = TypeVar("SharedT")

ROUNDS = 5
QUICK_ROUNDS = 1


class Servers(NamedTuple):
    """Where a case makes databases and takes a virtual host of its own."""

    postgres_url: str
    broker: Broker


class Bench:
    """One run: how thorough it is, where things run, and a folder for what they need.

    `programs` collects the versions of what takes part, by name.
    """

    def __init__(
        self,
        *,
        quick: bool,
        cores: Cores,
        folder: Path,
        report: Callable[[str], None],
        rounds: int | None = None,
    ) -> None:
        self.quick = quick
        self.cores = cores
        self.folder = folder
        self.rounds = rounds or (QUICK_ROUNDS if quick else ROUNDS)
        self.report = report
        self.programs: dict[str, str] = {}
        self.ledger = Ledger(folder / "processes.json")
        self._shared: dict[object, object] = {}
        self._closing = AsyncExitStack()
        self._servers: Servers | None = None
        self._ending = ExitStack()

    def pick(self, full: ChoiceT, quick: ChoiceT) -> ChoiceT:
        """What depends on how thorough the run is: `bench.pick(full=60, quick=10)`."""
        return quick if self.quick else full

    async def alternate(
        self,
        contenders: Mapping[str, Callable[[], Awaitable[MeasuredT]]],
        *,
        usual: int = ROUNDS,
        times: int = 1,
    ) -> dict[str, list[MeasuredT]]:
        """Measure each contender in turn, round by round.

        `usual` is for what is steady or long: the rounds of a full run, unless their
        number was asked for. `times` is for what is short or decides much: so many
        times the rounds there are of other things.
        """
        rounds = min(self.rounds, usual) if self.rounds <= ROUNDS else self.rounds
        return await alternate(contenders, times * rounds)

    async def shared(
        self, open_: Callable[["Bench"], AbstractAsyncContextManager[SharedT]]
    ) -> SharedT:
        """What several cases use: opened by the first, left open for the next.

        It is closed by `close_shared`, before a case that shares nothing with them.
        """
        if open_ not in self._shared:
            entered = await self._closing.enter_async_context(open_(self))
            self._shared[open_] = entered
        return cast(SharedT, self._shared[open_])

    async def close_shared(self) -> None:
        self._shared.clear()
        await self._closing.aclose()

    async def servers(self) -> Servers:
        """Postgres and RabbitMQ as for tests, on the cores of the load.

        Started for the first case that asks, they serve all others until `close`.
        """
        if self._servers is None:
            run = self._ending.enter_context(closing(TestRun(LOCAL)))
            self._servers = Servers(
                *await asyncio.gather(
                    asyncio.to_thread(run.open_postgres),
                    asyncio.to_thread(run.open_broker),
                )
            )
        return self._servers

    def close(self) -> None:
        """End the servers."""
        self._ending.close()

    @contextmanager
    def running(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        port: int,
        environment: Mapping[str, str],
        under_test: bool = False,
    ) -> Iterator[Program]:
        """A program that takes connections on `port`, until the block ends."""
        program = Program(
            name,
            command,
            port=port,
            log=self.folder / f"{name}.log",
            ledger=self.ledger,
            environment=environment,
            inside=self.cores.command_under_test if under_test else (),
        )
        try:
            program.start()
            yield program
        finally:
            program.stop()


@contextmanager
def open_bench(
    *, quick: bool, report: Callable[[str], None], rounds: int | None = None
) -> Iterator[Bench]:
    """A run, with this process moved off the core of the program under test."""
    cores = Cores.of_this_machine()
    cores.leave_to_the_program_under_test()
    runs = LOCAL / "bench"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
    bench = Bench(quick=quick, cores=cores, folder=folder, report=report, rounds=rounds)
    try:
        yield bench
    finally:
        bench.close()
        shutil.rmtree(folder)
