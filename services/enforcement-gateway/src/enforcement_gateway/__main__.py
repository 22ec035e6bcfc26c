"""The command line of the service."""

import click
from aiohttp import web

from enforcement_gateway.application import create_application
from enforcement_gateway.settings import PREFIX, Settings
from tollgate import logs
from tollgate.settings import settings_or_exit


@click.group()
def main() -> None:
    """enforcement-gateway: admits or denies a batch, then forwards it.

    Settings are environment variables, listed in docs/settings.md.
    """


@main.command()
def serve() -> None:
    """Answer requests until SIGTERM."""
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure("enforcement-gateway")
    web.run_app(
        create_application(),
        host=settings.host,
        port=settings.status_port,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main(prog_name="enforcement_gateway")
