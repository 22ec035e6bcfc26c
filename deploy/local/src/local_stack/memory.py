"""What a run leaves to the next one: ports, passwords, keys, the demo workspace.

Written whole and atomically after every step, readable by its owner only.
"""

import os
from pathlib import Path
from secrets import token_urlsafe

import msgspec

from local_stack.choices import PREFIX, Choices
from local_stack.failures import CannotStart
from local_stack.ports import free_ports, is_free
from local_stack.rabbitmq import Ports

_VERSION = 1


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """An app that may send events to a source, as `stack.json` tells it."""

    source_id: str
    write_key: str
    client_id: str
    kid: str
    private_key_path: str


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    workspace_id: str
    token: str


class Memory(msgspec.Struct, kw_only=True):
    """Change it, then `save`."""

    version: int = _VERSION
    servers: str = ""  # where the state lives, besides this folder
    ports: dict[str, int] = {}
    secrets: dict[str, str] = {}
    owner: Owner | None = None
    demo: Demo | None = None

    def secret(self, name: str) -> str:
        """The secret called `name`, made at its first use and the same ever after."""
        return self.secrets.setdefault(name, token_urlsafe(32))

    def save(self, path: Path) -> None:
        write_private(path, msgspec.json.format(msgspec.json.encode(self)))


def recall(path: Path) -> Memory:
    """The memory at `path`, or an empty one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except msgspec.MsgspecError as error:
        raise CannotStart(
            f"{path} cannot be read ({error}): `make clean-local` starts afresh"
        ) from None


def settle_ports(memory: Memory, choices: Choices) -> None:
    """Choose a port for everything: the chosen one, else last time's, else a free one.

    A chosen port must be free, the others need not.
    """
    wanted = [
        "registry",
        "issuer",
        "gateway",
        "gateway_status",
        "upstream",
        "postgres",
        "amqp",
        "distribution",
        "epmd",
    ]
    fresh = iter(free_ports(len(wanted)))
    for name in wanted:
        chosen: int | None = getattr(choices, f"{name}_port", None)
        if chosen is not None and not is_free(chosen):
            raise CannotStart(
                f"port {chosen} is taken: stop what listens there, "
                f"or set {PREFIX}_{name.upper()}_PORT to another"
            )
        remembered = memory.ports.get(name)
        if remembered is not None and not is_free(remembered):
            remembered = None
        memory.ports[name] = chosen or remembered or next(fresh)


def settle_servers(memory: Memory, given_database: str | None) -> None:
    """Refuse to go on with the state of one database server on another."""
    servers = given_database or "started here"
    if memory.servers and memory.servers != servers:
        raise CannotStart(
            f"the state of this copy lives on the Postgres {memory.servers}: "
            f"use that one (see {PREFIX}_DATABASE_URL), or `make clean-local` first"
        )
    memory.servers = servers


def rabbitmq_ports(memory: Memory) -> Ports:
    return Ports(
        amqp=memory.ports["amqp"],
        distribution=memory.ports["distribution"],
        epmd=memory.ports["epmd"],
    )


def write_private(path: Path, content: bytes) -> None:
    """Replace the file at `path`, with mode 0600 from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
