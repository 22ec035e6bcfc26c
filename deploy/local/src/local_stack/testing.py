"""Servers for the tests: given by URL, else local binaries, else containers.

`SERVICES=env`, `local` or `docker` forces one of the three, and then its failure is an
error. What is started here is private to the run and gone after it.

- `TOLLGATE_TEST_DATABASE_URL`: a Postgres, as one who may make databases and roles
- `TOLLGATE_TEST_AMQP_URL`: a virtual host that nobody else uses meanwhile
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from local_stack import containers
from local_stack.failures import CannotStart
from local_stack.ledger import Ledger
from local_stack.postgres import SETTINGS_OF_A_TEST, Postgres
from local_stack.rabbitmq import RabbitMQ
from local_stack.rabbitmq_definitions import OPERATOR
from local_stack.rabbitmq_installation import ensure_installation

DATABASE_URL = "TOLLGATE_TEST_DATABASE_URL"
AMQP_URL = "TOLLGATE_TEST_AMQP_URL"
# For a test module each. Made at boot one costs 30 ms of CPU; one made later
# costs half a second of rabbitmqctl.
_VIRTUAL_HOSTS = 16

ServerT = TypeVar("ServerT")
LocalServerT = TypeVar("LocalServerT", Postgres, RabbitMQ)


class Source(StrEnum):
    """Where the servers come from."""

    ENV = "env"
    LOCAL = "local"
    DOCKER = "docker"


class VirtualHost(msgspec.Struct, frozen=True):
    """A virtual host with the two exchanges, and URLs to it."""

    name: str
    url: str  # as an administrator
    url_of: Callable[[str], str]  # as app-registry, token-issuer, enforcement-gateway
    has_service_users: bool  # False where the broker was given by URL


class Broker:
    """The broker of a run of the tests, wherever it comes from."""

    def __init__(
        self,
        url_of: Callable[[str, str], str],
        virtual_hosts: Sequence[str],
        *,
        has_service_users: bool = True,
    ) -> None:
        self._url_of = url_of
        self._unused = iter(virtual_hosts)
        self._has_service_users = has_service_users
        self.url = url_of(OPERATOR, "/")  # of `/`, or as it was given

    def new_virtual_host(self) -> VirtualHost:
        """One that no other test has used; with a given URL always the one it names."""
        name = next(self._unused, None) if self._has_service_users else "/"
        if name is None:
            raise CannotStart("every virtual host is used: raise _VIRTUAL_HOSTS")
        return VirtualHost(
            name=name,
            url=self._url_of(OPERATOR, name),
            url_of=lambda user: self._url_of(user, name),
            has_service_users=self._has_service_users,
        )


class TestRun:
    """One run of the tests: its folder, and the servers it starts there."""

    __test__ = False  # not a test itself

    def __init__(self, local: Path) -> None:
        """`local` is the `.local` folder of the copy under test."""
        self._local = local
        runs = local / "tests"
        runs.mkdir(parents=True, exist_ok=True)
        self._closing = ExitStack()
        with (runs / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _sweep(runs)
            self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
            self._closing.callback(shutil.rmtree, self._folder)
            alive = self._closing.enter_context((self._folder / "alive").open("w"))
            fcntl.flock(alive, fcntl.LOCK_EX)
        self._ledger = Ledger(self._folder / "processes.json")
        self._servers: list[Postgres | RabbitMQ] = []

    def close(self) -> None:
        """End whatever was started and remove its data."""
        self._closing.close()

    def logs(self) -> str:
        """The last lines of every server started here."""
        return "\n".join(
            f"--- {server.log}\n{server.tail(40)}" for server in self._servers
        )

    def open_postgres(self) -> str:
        """The URL of a Postgres, as one who may create databases and roles."""
        return first_that_works(
            from_environment=os.environ.get(DATABASE_URL),
            from_binaries=lambda: self.start_postgres().url,
            from_container=lambda: containers.start_postgres(self._closing),
            variable=DATABASE_URL,
        )

    def open_broker(self) -> Broker:
        url = os.environ.get(AMQP_URL)
        names = [f"test-{number}" for number in range(_VIRTUAL_HOSTS)]
        return first_that_works(
            from_environment=_given(url) if url else None,
            from_binaries=lambda: Broker(self.start_rabbitmq(names).url_of, names),
            from_container=lambda: Broker(
                containers.start_rabbitmq(self._closing, ["/", *names]), names
            ),
            variable=AMQP_URL,
        )

    def start_postgres(self) -> Postgres:
        """A server of its own from local binaries, started."""
        server = Postgres(
            self._fresh_folder("postgres"),
            ledger=self._ledger,
            settings=SETTINGS_OF_A_TEST,
        )
        return self._start(server)

    def start_rabbitmq(self, virtual_hosts: list[str] | None = None) -> RabbitMQ:
        """A node of its own from local binaries, started; it always has `/`."""
        server = RabbitMQ(
            self._fresh_folder("rabbitmq"),
            installation=ensure_installation(self._local / "rabbitmq"),
            ledger=self._ledger,
            virtual_hosts=["/", *(virtual_hosts or [])],
        )
        return self._start(server)

    def _start(self, server: LocalServerT) -> LocalServerT:
        self._servers.append(server)
        self._closing.callback(server.discard)
        server.start()
        return server

    def _fresh_folder(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))


def _sweep(runs: Path) -> None:
    """Remove what killed runs left. A run that lives holds the lock in its folder."""
    for folder in runs.glob("run-*"):
        with (folder / "alive").open("a") as alive:
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            Ledger(folder / "processes.json").end_leftovers()
            shutil.rmtree(folder)


def first_that_works(
    *,
    from_environment: ServerT | None,
    from_binaries: Callable[[], ServerT],
    from_container: Callable[[], ServerT],
    variable: str,
) -> ServerT:
    """What was given, else local binaries, else a container; or what is forced."""
    forced = _forced_source()
    if forced in {None, Source.ENV} and from_environment is not None:
        return from_environment
    match forced:
        case Source.ENV:
            raise CannotStart(f"SERVICES=env, but {variable} is not set: set it")
        case Source.LOCAL:
            return from_binaries()
        case Source.DOCKER:
            return from_container()
        case None:
            try:
                return from_binaries()
            except CannotStart as without_docker:
                try:
                    return from_container()
                except CannotStart as with_docker:
                    raise CannotStart(f"{without_docker}\n{with_docker}") from None


def _given(url: str) -> Broker:
    return Broker(lambda _user, _virtual_host: url, (), has_service_users=False)


def _forced_source() -> Source | None:
    word = os.environ.get("SERVICES")
    try:
        return Source(word) if word else None
    except ValueError:
        raise CannotStart(f"SERVICES={word}: use env, local or docker") from None
