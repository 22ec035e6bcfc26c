"""Databases with an owner, who migrates, and a service, which may only connect.

What the service may do inside is granted by the owner's migrations.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import msgspec


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A database and URLs to it, one for each role."""

    name: str
    url: str  # as whoever made it
    owner: str
    owner_url: str
    service: str
    service_url: str


def describe_database(
    server_url: str, name: str, *, owner_password: str, service_password: str
) -> Database:
    """The database `name` with the roles `<name>_owner` and `<name>_service`."""
    owner, service = f"{name}_owner", f"{name}_service"
    return Database(
        name=name,
        url=_url(server_url, name),
        owner=owner,
        owner_url=_url(server_url, name, f"{owner}:{owner_password}"),
        service=service,
        service_url=_url(server_url, name, f"{service}:{service_password}"),
    )


async def database_exists(server_url: str, name: str) -> bool:
    connection = await asyncpg.connect(server_url)
    try:
        return await _exists(connection, "pg_database", "datname", name)
    finally:
        await connection.close()


async def ensure_database(server_url: str, database: Database) -> None:
    """Make the database and its roles, as far as they are missing.

    `server_url` names a role that may. Names and passwords are our own, made of
    characters that need no quoting.
    """
    connection = await asyncpg.connect(server_url)
    try:
        for role, url in (
            (database.owner, database.owner_url),
            (database.service, database.service_url),
        ):
            known = await _exists(connection, "pg_roles", "rolname", role)
            await connection.execute(
                f"{'ALTER' if known else 'CREATE'} ROLE {role} "
                f"LOGIN PASSWORD '{urlsplit(url).password}'"
            )
        if not await _exists(connection, "pg_database", "datname", database.name):
            # Unless it is a superuser, the creator must be in the role it gives to.
            await connection.execute(f"GRANT {database.owner} TO CURRENT_USER")
            await connection.execute(
                f"CREATE DATABASE {database.name} OWNER {database.owner}"
            )
        for statement in (
            f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {database.name} TO {database.service}",
        ):
            await connection.execute(statement)
    finally:
        await connection.close()


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
    """An empty database under a name of its own, gone afterwards."""
    database = describe_database(
        server_url,
        f"tollgate_{secrets.token_hex(6)}",
        owner_password=secrets.token_urlsafe(24),
        service_password=secrets.token_urlsafe(24),
    )
    try:
        await ensure_database(server_url, database)
        yield database
    finally:
        await drop_database(server_url, database)


async def _exists(
    connection: "asyncpg.Connection[asyncpg.Record]",
    catalog: str,
    column: str,
    name: str,
) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {catalog} WHERE {column} = $1)"  # noqa: S608
    found: bool = await connection.fetchval(query, name)
    return found


def _url(server_url: str, database: str, credentials: str | None = None) -> str:
    parts = urlsplit(server_url)
    address = parts.netloc.rpartition("@")[2]
    netloc = f"{credentials}@{address}" if credentials else parts.netloc
    return parts._replace(netloc=netloc, path=f"/{database}").geturl()
