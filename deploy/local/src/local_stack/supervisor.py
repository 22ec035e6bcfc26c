"""Starts the whole stack, keeps it running, and stops it in order."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from local_stack.choices import Choices
from local_stack.databases import (
    Database,
    database_exists,
    describe_database,
    ensure_database,
)
from local_stack.failures import CannotStart
from local_stack.ledger import Ledger
from local_stack.memory import (
    rabbitmq_ports,
    recall,
    settle_ports,
    settle_servers,
)
from local_stack.postgres import Postgres
from local_stack.progress import Progress
from local_stack.rabbitmq import RabbitMQ
from local_stack.rabbitmq_definitions import (
    APP_REGISTRY,
    OPERATOR,
    SERVICES,
    TOKEN_ISSUER,
)
from local_stack.rabbitmq_installation import ensure_installation
from local_stack.server import Server
from local_stack.service_process import ServiceProcess
from local_stack.service_settings import (
    HEALTH_PORTS,
    Addresses,
    addresses,
    environment_of,
    module_of,
    settle_secrets,
)

_WATCH_INTERVAL = 0.2
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_LONG_LIFE = 60.0  # seconds after which a crash counts as the first again
_LARGEST_LOG = 10_000_000
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stack:
    """Everything that belongs to one `make run`. `local` is the `.local` folder."""

    def __init__(self, local: Path, choices: Choices, progress: Progress) -> None:
        self.local = local
        self.progress = progress
        self._choices = choices
        self._state = local / "state"
        self._memory_path = self._state / "memory.json"
        self.logs = self._state / "logs"
        self._ledger = Ledger(self._state / "processes.json")
        self._servers: list[Server] = []  # in the order in which they were made
        self._databases: dict[str, Database] = {}
        self._amqp_url_of: Callable[[str], str] = _no_broker
        self._broker_is_known = asyncio.Event()  # known, not yet started
        self.memory = recall(self._memory_path)

    @property
    def addresses(self) -> Addresses:
        return addresses(self.memory)

    @property
    def database_urls(self) -> dict[str, str]:
        """For an administrator, by the name of the database."""
        return {database.name: database.url for database in self._databases.values()}

    @property
    def amqp_url(self) -> str:
        """For an administrator."""
        return self._amqp_url_of(OPERATOR)

    @property
    def upstream_log(self) -> Path:
        return self._state / "tracking-api" / "events.ndjson"

    def remember(self) -> None:
        self.memory.save(self._memory_path)

    async def start(self) -> None:
        """Bring everything up; returns when the last service is ready."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.upstream_log.parent.mkdir(exist_ok=True)
        _shorten_logs(self.logs)
        for name in await asyncio.to_thread(self._ledger.end_leftovers):
            self.progress.tell(name, "ended: it was left by a run that was killed")
        given = self._choices.database_url
        settle_servers(self.memory, _address(given.reveal()) if given else None)
        settle_ports(self.memory, self._choices)
        settle_secrets(self.memory)
        self.remember()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_broker())
            group.create_task(self._start_databases())
            group.create_task(self._start_tracking_api())
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:  # each waits by itself for those it reads from
                group.create_task(self._start_service(service))

    async def watch(self) -> None:
        """Start again whatever stops by itself, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in self._servers:
                group.create_task(self._keep_running(server))

    async def stop(self) -> None:
        """Stop everything in the reverse order, so that nobody loses who it needs."""
        for server in reversed(self._servers):
            if server.is_running():
                self.progress.tell(server.name, "stopping")
            if not await asyncio.to_thread(server.retire):
                self.progress.tell(server.name, "did not stop in time and was killed")

    async def run_command(self, service: str, *arguments: str) -> str:
        """What a service's command line prints; its logs go where they always go."""
        return await asyncio.to_thread(self._run_command, service, arguments)

    async def _start_broker(self) -> None:
        given = self._choices.amqp_url
        if given is not None:
            url = given.reveal()
            self.progress.tell("RabbitMQ", f"given: {_address(url)}")
            self._amqp_url_of = lambda _user: url
            self._broker_is_known.set()
            return
        installation = await asyncio.to_thread(
            ensure_installation,
            self.local / "rabbitmq",
            lambda what: self.progress.tell("RabbitMQ", what),
        )
        server = RabbitMQ(
            self._state / "rabbitmq",
            installation=installation,
            ledger=self._ledger,
            ports=rabbitmq_ports(self.memory),
        )
        self._amqp_url_of = server.url_of
        self._broker_is_known.set()
        await self._start(server)

    async def _start_databases(self) -> None:
        url = await self._database_server()
        try:
            for service in (APP_REGISTRY, TOKEN_ISSUER):
                self._databases[service] = await self._database(url, module_of(service))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise CannotStart(f"the Postgres {_address(url)} fails: {error}") from None
        await self._broker_is_known.wait()  # a service starts with all its settings
        async with asyncio.TaskGroup() as group:
            for service in self._databases:
                group.create_task(self._migrate(service))

    async def _database_server(self) -> str:
        given = self._choices.database_url
        if given is not None:
            self.progress.tell("Postgres", f"given: {_address(given.reveal())}")
            return given.reveal()
        server = Postgres(
            self._state / "postgres",
            ledger=self._ledger,
            port=self.memory.ports["postgres"],
        )
        await self._start(server)
        return server.url

    async def _database(self, server_url: str, name: str) -> Database:
        ours = f"{name}_owner" in self.memory.secrets
        if not ours and await database_exists(server_url, name):
            raise CannotStart(
                f"the Postgres {_address(server_url)} has a database {name} that "
                "another copy made: drop it there, or use another server"
            )
        database = describe_database(
            server_url,
            name,
            owner_password=self.memory.secret(f"{name}_owner"),
            service_password=self.memory.secret(f"{name}_service"),
        )
        self.remember()
        await ensure_database(server_url, database)
        return database

    async def _migrate(self, service: str) -> None:
        await self.run_command(service, "migrate")
        self.progress.tell(service, "database is up to date")

    async def _start_tracking_api(self) -> None:
        port = self.memory.ports["upstream"]
        log = str(self.upstream_log)
        server = ServiceProcess(
            "tracking API",
            "local_stack",
            ["tracking-api", "--port", str(port), "--log", log],
            log=self._log_of("tracking-api"),
            ledger=self._ledger,
            environment={},
            health_port=port,
        )
        await self._start(server)

    async def _start_service(self, service: str) -> None:
        server = ServiceProcess(
            service,
            module_of(service),
            ["serve"],
            log=self._log_of(service),
            ledger=self._ledger,
            environment=self._environment_of(service),
            health_port=self.memory.ports[HEALTH_PORTS[service]],
        )
        await self._start(server)

    async def _start(self, server: Server) -> None:
        self._servers.append(server)
        self.progress.tell(server.name, "starting")
        await asyncio.to_thread(server.start)
        self.progress.tell(server.name, f"ready, process {server.pid}")

    async def _keep_running(self, server: Server) -> None:
        backoff = _FIRST_BACKOFF
        while True:
            began = time.monotonic()
            code = await _exit_code_of(server)
            if time.monotonic() - began > _LONG_LIFE:
                backoff = _FIRST_BACKOFF
            self.progress.tell(
                server.name,
                f"ended by itself ({_how(code)}), starting again in {backoff:g} s; "
                f"its log is {server.log}",
            )
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
            try:
                await asyncio.to_thread(server.start)
            except CannotStart as failure:
                self.progress.tell(server.name, str(failure).splitlines()[0])
            else:
                self.progress.tell(server.name, f"ready, process {server.pid}")

    def _run_command(self, service: str, arguments: Sequence[str]) -> str:
        log = self._log_of(service)
        with log.open("ab") as errors:
            done = subprocess.run(
                [sys.executable, "-m", module_of(service), *arguments],
                check=False,
                env={**os.environ, **self._environment_of(service)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        if done.returncode:
            last = (log.read_text(errors="replace").splitlines() or ["no output"])[-1]
            raise CannotStart(f"{service}: {arguments[0]} failed ({last}), see {log}")
        return done.stdout

    def _environment_of(self, service: str) -> dict[str, str]:
        return environment_of(
            service,
            self.memory,
            self._databases.get(service),
            self._amqp_url_of(service),
            self._state,
        )

    def _log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"


async def supervise(
    stack: Stack, when_ready: Callable[[Stack], Awaitable[None]]
) -> None:
    """Start the stack, do `when_ready`, and stay until told to stop.

    However it ends, everything is stopped in order. Raises `CannotStart`.
    """
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in _STOP_SIGNALS:
        loop.add_signal_handler(signum, told_to_stop.set)
    work = asyncio.create_task(_work(stack, when_ready))
    waiting = asyncio.create_task(told_to_stop.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    work.cancel()
    await asyncio.wait({work})
    await stack.stop()
    if not work.cancelled():
        _raise_first(work.exception())


async def _work(stack: Stack, when_ready: Callable[[Stack], Awaitable[None]]) -> None:
    await stack.start()
    await when_ready(stack)
    await stack.watch()


def _raise_first(error: BaseException | None) -> None:
    """Of several things that failed side by side, one tells enough."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


async def _exit_code_of(server: Server) -> int:
    while (code := server.exit_code()) is None:  # noqa: ASYNC110  # wakes nobody
        await asyncio.sleep(_WATCH_INTERVAL)
    return code


def _shorten_logs(folder: Path) -> None:
    for log in folder.glob("*.log"):
        if log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.old"))


def _no_broker(user: str) -> str:
    raise CannotStart(f"no broker is known yet for {user}")


def _address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
