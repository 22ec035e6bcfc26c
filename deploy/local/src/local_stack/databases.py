"""Databases with an owner, who migrates, and a service, which may only connect.

What the service may do inside is granted by the owner's migrations.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import msgspec


class Database(msgspec.Struct, frozen=True):
    """An empty database and URLs to it, one for each role."""

    name: str
    url: str  # as the superuser
    owner: str
    owner_url: str
    service: str
    service_url: str


async def create_database(server_url: str, name: str) -> Database:
    """Make the database `name` with the roles `<name>_owner` and `<name>_service`.

    `server_url` names a role that may create both. Names and passwords are our own:
    they are quoted by what they are made of.
    """
    owner, service = f"{name}_owner", f"{name}_service"
    passwords = {role: secrets.token_urlsafe(24) for role in (owner, service)}
    connection = await asyncpg.connect(server_url)
    try:
        for role, password in passwords.items():
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        # A superuser may give away what it owns; anyone else only to a role it is in.
        await connection.execute(f"GRANT {owner} TO CURRENT_USER")
        await connection.execute(f"CREATE DATABASE {name} OWNER {owner}")
        await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {service}")
    finally:
        await connection.close()
    return Database(
        name=name,
        url=_url(server_url, name),
        owner=owner,
        owner_url=_url(server_url, name, f"{owner}:{passwords[owner]}"),
        service=service,
        service_url=_url(server_url, name, f"{service}:{passwords[service]}"),
    )


async def drop_database(server_url: str, database: Database) -> None:
    """Remove the database with its roles, whoever is connected."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(
            f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)"
        )
        for role in (database.owner, database.service):
            await connection.execute(f"DROP ROLE IF EXISTS {role}")
    finally:
        await connection.close()


@asynccontextmanager
async def temporary_database(server_url: str) -> AsyncIterator[Database]:
    """A database under a name of its own, gone afterwards."""
    database = await create_database(server_url, f"tollgate_{secrets.token_hex(6)}")
    try:
        yield database
    finally:
        await drop_database(server_url, database)


def _url(server_url: str, database: str, credentials: str | None = None) -> str:
    parts = urlsplit(server_url)
    address = parts.netloc.rpartition("@")[2]
    netloc = f"{credentials}@{address}" if credentials else parts.netloc
    return parts._replace(netloc=netloc, path=f"/{database}").geturl()
