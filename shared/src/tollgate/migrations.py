"""Applies numbered SQL files to a schema, once each, in order.

Run by a command of each service with the owner's role, never at the start of a service.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from tollgate.database import Connection

LOCK = 7_205_759_403
"""Advisory lock: one migration at a time in a database."""


class MigrationRefused(Exception):
    """The database is not as these files left it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """`number` orders the files of one schema; not every schema has every number."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migration(package: str, file_name: str) -> Migration:
    """The migration in `<package>/migrations/<NNNN_name>.sql`."""
    source = files(package).joinpath("migrations", file_name)
    number, _, name = file_name.removesuffix(".sql").partition("_")
    return Migration(int(number), name, source.read_text(encoding="utf-8"))


def event_log_migrations(*, by_month: bool = False) -> list[Migration]:
    """What makes a schema a log; `by_month` for one whose old months may go."""
    files = [
        "0001_events_by_month.sql" if by_month else "0001_events.sql",
        "0002_append.sql",
        *(["0003_prune_commands.sql"] if by_month else []),
        "0004_append_groups.sql",
        "0005_append_groups.sql",
    ]
    return [read_migration("tollgate.eventlog", name) for name in files]


async def migrate(
    connection: Connection,
    schema: str,
    migrations: Sequence[Migration],
    *,
    service_role: str | None = None,
) -> int:
    """Bring `schema` up to date in one transaction; how many files were applied.

    `service_role` may then read every table and call every function of the schema, and
    nothing else. Raises `MigrationRefused` if an applied file has changed since or the
    database is newer than these files.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '30s'")
        await connection.execute("SET LOCAL statement_timeout = '10min'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.execute(f"SET LOCAL search_path = {schema}, pg_temp")
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS migrations (
                number     integer     PRIMARY KEY,
                name       text        NOT NULL,
                checksum   text        NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        )
        applied = {
            row["number"]: row["checksum"]
            for row in await connection.fetch("SELECT number, checksum FROM migrations")
        }
        _refuse_strangers(schema, applied, migrations)
        pending = [each for each in migrations if each.number not in applied]
        for migration in pending:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO migrations (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
        if service_role is not None:
            await _grant(connection, schema, service_role)
    return len(pending)


def _refuse_strangers(
    schema: str, applied: dict[int, str], migrations: Sequence[Migration]
) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, checksum in sorted(applied.items()):
        if number not in known:
            raise MigrationRefused(
                f"schema {schema} has migration {number}, which this version lacks"
            )
        if known[number].checksum != checksum:
            raise MigrationRefused(
                f"migration {number} of schema {schema} has changed since it was"
                " applied"
            )


async def _grant(connection: Connection, schema: str, role: str) -> None:
    quoted: str = await connection.fetchval("SELECT quote_ident($1)", role)
    for grant in (
        f"GRANT USAGE ON SCHEMA {schema} TO {quoted}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {quoted}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {quoted}",
    ):
        await connection.execute(grant)
