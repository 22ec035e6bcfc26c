"""The schemas of this service's database: two logs, and the table of private keys."""

from urllib.parse import unquote, urlsplit

import structlog

from token_issuer.key_store import SCHEMA, key_migrations
from tollgate.database import connect
from tollgate.migrations import event_log_migrations, migrate

logger = structlog.get_logger(__name__)


async def migrate_database(owner_url: str, service_url: str) -> None:
    """Bring every schema up to date as its owner.

    The role in `service_url` may then read, and call what writes. Raises
    `MigrationRefused`, or one of `LOST` and `UNDONE`.
    """
    service_role = unquote(urlsplit(service_url).username or "") or None
    connection = await connect(owner_url, application_name="token-issuer migrate")
    try:
        for schema, migrations in (
            ("tokens", event_log_migrations()),
            ("issuance", event_log_migrations(by_month=True)),
            (SCHEMA, key_migrations()),
        ):
            count = await migrate(
                connection, schema, migrations, service_role=service_role
            )
            logger.info("schema migrated", schema=schema, migrations=count)
    finally:
        await connection.close()
