"""The environment of each service: what the launcher tells it, in its own words."""

from base64 import b64encode, urlsafe_b64decode
from pathlib import Path

import msgspec

from local_stack.databases import Database
from local_stack.memory import Memory
from local_stack.ports import LOOPBACK
from local_stack.rabbitmq_definitions import (
    APP_REGISTRY,
    ENFORCEMENT_GATEWAY,
    TOKEN_ISSUER,
)

# Whose /readyz is asked, by the name under which its port is remembered.
HEALTH_PORTS = {
    APP_REGISTRY: "registry",
    TOKEN_ISSUER: "issuer",
    ENFORCEMENT_GATEWAY: "gateway_status",
}


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything listens."""

    registry: str
    issuer: str
    gateway: str
    gateway_status: str
    upstream: str


def addresses(memory: Memory) -> Addresses:
    return Addresses(
        **{
            name: f"http://{LOOPBACK}:{memory.ports[name]}"
            for name in Addresses.__struct_fields__
        }
    )


def module_of(service: str) -> str:
    """What `python -m` starts, which is also the name of the service's database."""
    return service.replace("-", "_")


def environment_of(
    service: str, memory: Memory, database: Database | None, amqp_url: str, state: Path
) -> dict[str, str]:
    """All that a service cannot guess; the rest stays at its defaults.

    `state` is the folder where whatever outlives a run is kept.
    """
    settings = {"AMQP_URL": amqp_url}
    if database is not None:
        settings["DATABASE_URL"] = database.service_url
        settings["OWNER_DATABASE_URL"] = database.owner_url
    match service:
        case "app-registry":
            settings |= _app_registry(memory)
        case "token-issuer":
            settings |= _token_issuer(memory, state)
        case "enforcement-gateway":
            settings |= _enforcement_gateway(memory, state)
        case _:
            raise ValueError(service)
    prefix = module_of(service).upper()
    return {f"{prefix}_{name}": value for name, value in settings.items()}


def settle_secrets(memory: Memory) -> None:
    """Make every secret that services share, so that each is told the same."""
    memory.secret(_KEY_ENCRYPTION_KEY)
    for owner, readers in _READERS.items():
        for reader in readers:
            _feed_secret(memory, reader, owner)


def _app_registry(memory: Memory) -> dict[str, str]:
    return {
        "PORT": str(memory.ports["registry"]),
        "ISSUER_URL": addresses(memory).issuer,
        "ISSUER_FEED_SECRET": _feed_secret(memory, APP_REGISTRY, TOKEN_ISSUER),
        "FEED_READERS": _feed_readers(memory, APP_REGISTRY),
    }


def _token_issuer(memory: Memory, state: Path) -> dict[str, str]:
    where = addresses(memory)
    key = urlsafe_b64decode(memory.secret(_KEY_ENCRYPTION_KEY) + "=")
    return {
        "PORT": str(memory.ports["issuer"]),
        "ISSUER": where.issuer,
        "REGISTRY_URL": where.registry,
        "REGISTRY_FEED_SECRET": _feed_secret(memory, TOKEN_ISSUER, APP_REGISTRY),
        "FEED_READERS": _feed_readers(memory, TOKEN_ISSUER),
        "KEY_ENCRYPTION_KEYS": b64encode(key).decode(),
        "SNAPSHOT_PATH": str(state / "token-issuer.snapshot"),
    }


def _enforcement_gateway(memory: Memory, state: Path) -> dict[str, str]:
    where = addresses(memory)
    return {
        "PORT": str(memory.ports["gateway"]),
        "STATUS_PORT": str(memory.ports["gateway_status"]),
        "UPSTREAM_URL": where.upstream,
        "ISSUER": where.issuer,
        "ISSUER_URL": where.issuer,
        "ISSUER_FEED_SECRET": _feed_secret(memory, ENFORCEMENT_GATEWAY, TOKEN_ISSUER),
        "REGISTRY_URL": where.registry,
        "REGISTRY_FEED_SECRET": _feed_secret(memory, ENFORCEMENT_GATEWAY, APP_REGISTRY),
        "SNAPSHOT_PATH": str(state / "enforcement-gateway.snapshot"),
    }


class _Reading(msgspec.Struct, frozen=True):
    """What a reader of a feed may see of it."""

    logs: tuple[str, ...]
    whole: bool


# Who reads the logs of whom.
_READERS = {
    APP_REGISTRY: {
        TOKEN_ISSUER: _Reading(("registry",), whole=True),
        ENFORCEMENT_GATEWAY: _Reading(("registry",), whole=False),
    },
    TOKEN_ISSUER: {
        APP_REGISTRY: _Reading(("tokens", "issuance"), whole=True),
        ENFORCEMENT_GATEWAY: _Reading(("tokens",), whole=False),
    },
}
_KEY_ENCRYPTION_KEY = "key encryption key"


def _feed_readers(memory: Memory, owner: str) -> str:
    """Who may read the logs of `owner`, as its setting `feed_readers` has it."""
    readers = [
        {
            "name": name,
            "secrets": [_feed_secret(memory, name, owner)],
            "logs": reading.logs,
            "whole": reading.whole,
        }
        for name, reading in _READERS[owner].items()
    ]
    return msgspec.json.encode(readers).decode()


def _feed_secret(memory: Memory, reader: str, owner: str) -> str:
    """The credential with which `reader` reads the logs of `owner`."""
    return memory.secret(f"feed of {owner} for {reader}")
