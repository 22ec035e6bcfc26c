"""The command line of the service."""

import click
from aiohttp import web

from app_registry.application import create_application
from app_registry.settings import PREFIX, Settings
from tollgate import logs
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
    web.run_app(
        create_application(),
        host=settings.host,
        port=settings.port,
        access_log=None,
        print=None,
    )


@main.command()
def migrate() -> None:
    """Bring the database up to date, as its owner."""
    settings_or_exit(Settings, PREFIX)


if __name__ == "__main__":
    main(prog_name="app_registry")
