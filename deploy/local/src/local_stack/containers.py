"""Test servers in containers, for machines with Docker and without local binaries."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from urllib.parse import quote

from local_stack.failures import CannotStart
from local_stack.rabbitmq_definitions import OPERATOR, SERVICES, definitions

_POSTGRES_IMAGE = "postgres:18-alpine"
_RABBITMQ_IMAGE = "rabbitmq:4-alpine"
_START_TIMEOUT = timedelta(seconds=90)


def start_postgres(closing: ExitStack) -> str:
    """The URL of a Postgres in a container, which ends with `closing`."""
    password = secrets.token_urlsafe(24)
    address = _start(
        closing,
        _POSTGRES_IMAGE,
        port=5432,
        # It starts a first time to make its data folder, then for good.
        ready_when=("ready to accept connections", 2),
        environment={"POSTGRES_PASSWORD": password},
    )
    return f"postgresql://postgres:{password}@{address}/postgres"


def start_rabbitmq(
    closing: ExitStack, virtual_hosts: list[str]
) -> Callable[[str, str], str]:
    """A RabbitMQ in a container, which ends with `closing`.

    Returns the function that makes the URL of a user and a virtual host.
    """
    passwords = {name: secrets.token_urlsafe(24) for name in (OPERATOR, *SERVICES)}
    address = _start(
        closing,
        _RABBITMQ_IMAGE,
        port=5672,
        ready_when=("Server startup complete", 1),
        files={
            "/etc/rabbitmq/tollgate.json": definitions(
                virtual_hosts, passwords
            ).encode(),
            "/etc/rabbitmq/conf.d/20-tollgate.conf": (
                b"load_definitions = /etc/rabbitmq/tollgate.json\n"
            ),
        },
    )

    def url_of(user: str, virtual_host: str) -> str:
        return f"amqp://{user}:{passwords[user]}@{address}/{quote(virtual_host, '')}"

    return url_of


def _start(
    closing: ExitStack,
    image: str,
    *,
    port: int,
    ready_when: tuple[str, int],
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Start a container and wait for its log; `host:port` as seen from here."""
    # Development dependencies: `make run` and `make bench` are installed without them.
    try:
        from docker.errors import (  # type: ignore[import-untyped]  # noqa: PLC0415
            DockerException,
        )
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415
        from testcontainers.core.wait_strategies import (  # noqa: PLC0415
            LogMessageWaitStrategy,
        )
    except ImportError:
        raise CannotStart(
            f"no container from {image}: `make install` sets up what starts one"
        ) from None

    message, times = ready_when
    try:
        container = (
            DockerContainer(image)
            .with_exposed_ports(port)
            .with_envs(**(environment or {}))
            .waiting_for(
                LogMessageWaitStrategy(message, times).with_startup_timeout(
                    _START_TIMEOUT
                )
            )
        )
        for path, content in (files or {}).items():
            container.with_copy_into_container(content, path)
        closing.enter_context(container)
    except (DockerException, RuntimeError, TimeoutError) as error:
        raise CannotStart(
            f"no container from {image} ({error}): start Docker, "
            "or see local_stack/testing.py for the other ways to give the tests servers"
        ) from error
    host = container.get_container_host_ip()
    return f"{host}:{container.get_exposed_port(port)}"
