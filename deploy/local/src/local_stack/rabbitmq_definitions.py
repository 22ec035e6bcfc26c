"""What exists on a broker and who may do what there, as RabbitMQ imports it at boot.

A relay writes to the exchange of its own service's log. A subscriber binds queues named
`tollgate.<service>.<anything>` to the exchanges, reads them, and writes to no exchange:
to bind a queue takes write permission on the queue and read permission on the exchange.
RabbitMQ looks at names only, not at what they name, so each service keeps to itself
whatever begins with its own prefix.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping

import msgspec

OPERATOR = "operator"
APP_REGISTRY = "app-registry"
TOKEN_ISSUER = "token-issuer"
ENFORCEMENT_GATEWAY = "enforcement-gateway"
SERVICES = (APP_REGISTRY, TOKEN_ISSUER, ENFORCEMENT_GATEWAY)

_EXCHANGES = ("tollgate.registry", "tollgate.tokens")
_EXCHANGE_WRITTEN_BY = {
    APP_REGISTRY: "tollgate.registry",
    TOKEN_ISSUER: "tollgate.tokens",
}
_ANYTHING = ".*"


class _User(msgspec.Struct):
    name: str
    password_hash: str
    hashing_algorithm: str
    tags: list[str]


class _VirtualHost(msgspec.Struct):
    name: str


class _Permission(msgspec.Struct):
    user: str
    vhost: str
    configure: str
    write: str
    read: str


class _Exchange(msgspec.Struct):
    name: str
    vhost: str
    type: str = "topic"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: dict[str, str] = {}


class Definitions(msgspec.Struct):
    """A file for `load_definitions` or `rabbitmqctl import_definitions`."""

    users: list[_User]
    vhosts: list[_VirtualHost]
    permissions: list[_Permission]
    exchanges: list[_Exchange]

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def definitions(
    virtual_hosts: Iterable[str], passwords: Mapping[str, str]
) -> Definitions:
    """The two exchanges and everyone's permissions in each of `virtual_hosts`.

    `passwords` holds one for each service, and one for the operator, who may do all.
    """
    names = list(virtual_hosts)
    return Definitions(
        users=[
            _User(
                name=name,
                password_hash=_hash_of(password),
                hashing_algorithm="rabbit_password_hashing_sha256",
                tags=["administrator"] if name == OPERATOR else [],
            )
            for name, password in passwords.items()
        ],
        vhosts=[_VirtualHost(name) for name in names],
        permissions=[
            permission
            for vhost in names
            for permission in (
                _Permission(OPERATOR, vhost, _ANYTHING, _ANYTHING, _ANYTHING),
                *(_permission(service, vhost) for service in SERVICES),
            )
        ],
        exchanges=[
            _Exchange(exchange, vhost) for vhost in names for exchange in _EXCHANGES
        ],
    )


def _permission(service: str, vhost: str) -> _Permission:
    own_queues = rf"tollgate\.{service}\..*"
    own_exchange = _EXCHANGE_WRITTEN_BY.get(service)
    owned = _any_of(own_queues, *([re.escape(own_exchange)] if own_exchange else []))
    return _Permission(
        user=service,
        vhost=vhost,
        configure=owned,  # a relay declares its exchange anew if somebody deleted it
        write=owned,
        read=_any_of(own_queues, *map(re.escape, _EXCHANGES)),
    )


def _any_of(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"


def _hash_of(password: str) -> str:
    """RabbitMQ's own format: base64 of a salt, then SHA-256 of salt and password."""
    salt = os.urandom(4)
    return base64.b64encode(
        salt + hashlib.sha256(salt + password.encode()).digest()
    ).decode()
