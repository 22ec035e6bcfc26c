"""The command line of the service."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import asyncpg
import click
import msgspec

from app_registry import bootstrap
from app_registry.application import create_application
from app_registry.settings import PREFIX, Settings
from tollgate import logs
from tollgate.errors import DomainError
from tollgate.eventlog import AppendOutcomeUnknown, AppendRefused, LogUnavailable
from tollgate.http.server import run_server
from tollgate.migrations import MigrationRefused
from tollgate.settings import settings_or_exit


@click.group()
def main() -> None:
    """app-registry: who the apps are, and who may administer them.

    Settings are environment variables, listed in docs/settings.md.
    """


@main.command()
def serve() -> None:
    """Answer requests until SIGTERM."""
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure("app-registry")
    run_server(create_application(settings), settings.listener)


@main.command()
def migrate() -> None:
    """Bring the database up to date, as its owner."""
    settings = settings_or_exit(Settings, PREFIX)
    if settings.owner_database_url is None:
        sys.exit(f"wrong settings: {PREFIX}_OWNER_DATABASE_URL is not set")
    try:
        applied = asyncio.run(
            bootstrap.migrate(settings.owner_database_url, settings.database_url)
        )
    except MigrationRefused as error:
        sys.exit(f"nothing was changed: {error}")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        sys.exit(f"the database cannot be migrated: {error!r}")
    click.echo(f"{applied} migrations applied")


@main.command()
@click.option("--workspace", required=True, help="Name of the workspace.")
@click.option("--name", required=True, help="Name of the owner.")
@click.option("--email", required=True, help="Email address of the owner.")
@click.option(
    "--token-name",
    default="first",
    show_default=True,
    help="What the access token is called where tokens are listed.",
)
@click.option(
    "--expires-in",
    type=click.IntRange(min=1, max=3650),
    metavar="DAYS",
    help="Days until the access token expires; never, if not given.",
)
@click.option(
    "--add",
    is_flag=True,
    help="Add the owner to the workspace of that name if there is one.",
)
def create_owner(
    *,
    workspace: str,
    name: str,
    email: str,
    token_name: str,
    expires_in: int | None,
    add: bool,
) -> None:
    """Make a workspace with its first owner, and print the owner's access token.

    It is printed once, as JSON: {"workspace_id", "member_id", "access_token"}. A
    workspace of that name that exists already is left as it is, unless --add.
    """
    settings = settings_or_exit(Settings, PREFIX)
    now = datetime.now(UTC)
    request = bootstrap.OwnerRequest(
        workspace=workspace,
        name=name,
        email=email,
        token_name=token_name,
        expires_at=None if expires_in is None else now + timedelta(days=expires_in),
        add=add,
    )
    try:
        created = asyncio.run(
            bootstrap.create_owner(settings.database_url, request, now)
        )
    except DomainError as refusal:
        sys.exit(f"nothing was recorded: {refusal}")
    except (LogUnavailable, AppendRefused) as error:
        sys.exit(f"nothing was recorded: {error}")
    except asyncpg.PostgresError as error:
        sys.exit(f"nothing was recorded (is the database migrated?): {error}")
    except AppendOutcomeUnknown as error:
        sys.exit(f"it is not known whether the owner was recorded: {error}")
    click.echo(msgspec.json.encode(created))


if __name__ == "__main__":
    main(prog_name="app_registry")
