"""The command line of the service."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import click

from token_issuer.application import create_application
from token_issuer.foundation import SERVICE
from token_issuer.key_commands import opened_keeper
from token_issuer.key_keeper import KeyKeeper
from token_issuer.key_life import RotationRefused
from token_issuer.schemas import migrate_database
from token_issuer.settings import PREFIX, Settings
from tollgate import logs
from tollgate.database import LOST, UNDONE
from tollgate.errors import Unavailable
from tollgate.http.server import run_server
from tollgate.migrations import MigrationRefused
from tollgate.settings import settings_or_exit


@click.group()
def main() -> None:
    """token-issuer: mints and revokes access tokens.

    Settings are environment variables, listed in docs/settings.md.
    """


@main.command()
def serve() -> None:
    """Answer requests until SIGTERM."""
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure(SERVICE)
    run_server(create_application(settings), settings.listener)


@main.command()
def migrate() -> None:
    """Bring the database up to date, as its owner."""
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure(SERVICE)
    if settings.owner_database_url is None:
        sys.exit(f"{PREFIX}_OWNER_DATABASE_URL is not set")
    try:
        asyncio.run(
            migrate_database(
                settings.owner_database_url.reveal(), settings.database_url.reveal()
            )
        )
    except MigrationRefused as refusal:
        sys.exit(str(refusal))
    except (*LOST, *UNDONE) as error:
        sys.exit(f"the database cannot be reached: {type(error).__name__}")


@main.command("rotate-signing-key")
def rotate_signing_key() -> None:
    """Let the announced key sign from now on, and retire the one that does."""
    _change_keys(lambda keeper: keeper.rotate())


@main.command(
    "compromise-signing-key",
    # A kid is a thumbprint in base64url: one in 64 begins with a hyphen.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("kid")
def compromise_signing_key(kid: str) -> None:
    """End every token that was signed with the key KID, at once."""
    _change_keys(lambda keeper: keeper.compromise(kid))


def _change_keys(change: Callable[[KeyKeeper], Awaitable[None]]) -> None:
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure(SERVICE)

    async def run() -> None:
        async with opened_keeper(settings) as keeper:
            await change(keeper)

    try:
        asyncio.run(run())
    except (RotationRefused, Unavailable) as refusal:
        sys.exit(str(refusal))


if __name__ == "__main__":
    main(prog_name="token_issuer")
