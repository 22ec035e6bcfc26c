"""The environment of each service: what the launcher tells it, in its own words."""

from base64 import b64encode, urlsafe_b64decode

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
    service: str, memory: Memory, database: Database | None, amqp_url: str
) -> dict[str, str]:
    """All that a service cannot guess; the rest stays at its defaults."""
    settings = {"AMQP_URL": amqp_url, "PORT": str(memory.ports[_PORTS[service]])}
    if database is not None:
        settings["DATABASE_URL"] = database.service_url
        settings["OWNER_DATABASE_URL"] = database.owner_url
    match service:
        case "app-registry":
            settings["ISSUER_URL"] = addresses(memory).issuer
            settings["ISSUER_FEED_SECRET"] = feed_secret(memory, service, TOKEN_ISSUER)
            settings["FEED_READERS"] = _readers_of(memory, service, "registry")
        case "token-issuer":
            where = addresses(memory)
            key = urlsafe_b64decode(memory.secret(_KEY_ENCRYPTION_KEY) + "=")
            settings["ISSUER"] = where.issuer
            settings["REGISTRY_URL"] = where.registry
            settings["REGISTRY_FEED_SECRET"] = feed_secret(
                memory, service, APP_REGISTRY
            )
            settings["FEED_READERS"] = _readers_of(
                memory, service, "tokens", "issuance"
            )
            settings["KEY_ENCRYPTION_KEYS"] = b64encode(key).decode()
        case "enforcement-gateway":
            where = addresses(memory)
            settings["STATUS_PORT"] = str(memory.ports["gateway_status"])
            settings["ISSUER"] = settings["ISSUER_URL"] = where.issuer
            settings["REGISTRY_URL"] = where.registry
            settings["UPSTREAM_URL"] = where.upstream
            for owner in (APP_REGISTRY, TOKEN_ISSUER):
                name = f"{_SHORT[owner].upper()}_FEED_SECRET"
                settings[name] = feed_secret(memory, service, owner)
        case _:
            pass
    prefix = module_of(service).upper()
    return {f"{prefix}_{name}": value for name, value in settings.items()}


def settle_secrets(memory: Memory) -> None:
    """Make every secret that services share, so that each is told the same."""
    memory.secret(_KEY_ENCRYPTION_KEY)
    for owner, readers in _READERS.items():
        for reader in readers:
            feed_secret(memory, reader, owner)


def feed_secret(memory: Memory, reader: str, owner: str) -> str:
    """The credential with which `reader` reads the logs of `owner`."""
    return memory.secret(f"feed of {owner} for {reader}")


def _readers_of(memory: Memory, owner: str, *logs: str) -> str:
    """Who may read the logs of `owner`, as its setting `feed_readers` has it."""
    readers = [
        {
            "name": reader,
            "secrets": [feed_secret(memory, reader, owner)],
            "logs": logs,
            "whole": whole,
        }
        for reader, whole in _READERS[owner].items()
    ]
    return msgspec.json.encode(readers).decode()


# Who reads the logs of whom, and whether it sees whole rows.
_READERS = {
    APP_REGISTRY: {TOKEN_ISSUER: True, ENFORCEMENT_GATEWAY: False},
    TOKEN_ISSUER: {APP_REGISTRY: True, ENFORCEMENT_GATEWAY: False},
}
_KEY_ENCRYPTION_KEY = "key encryption key"
_SHORT = {APP_REGISTRY: "registry", TOKEN_ISSUER: "issuer"}
_PORTS = {
    APP_REGISTRY: "registry",
    TOKEN_ISSUER: "issuer",
    ENFORCEMENT_GATEWAY: "gateway",
}
