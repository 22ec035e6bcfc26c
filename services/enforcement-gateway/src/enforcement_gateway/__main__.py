"""The command line of the service."""

import os

import click

from enforcement_gateway.application import WORKERS, create_application
from enforcement_gateway.settings import PREFIX, Settings
from enforcement_gateway.worker import CONTROL_FD, SERVICE, run_worker
from tollgate import logs
from tollgate.http.server import run_server
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
    logs.configure(SERVICE)
    application = create_application(settings)
    run_server(
        application, settings.status_listener, before_end=application[WORKERS].drain
    )


@main.command(hidden=True)
@click.argument("number", type=int)
def worker(number: int) -> None:
    """One of the processes that `serve` starts."""
    control_fd = int(os.environ.pop(CONTROL_FD))
    settings = settings_or_exit(Settings, PREFIX)
    logs.configure(SERVICE)
    run_worker(settings, control_fd=control_fd, writes_snapshot=number == 0)


if __name__ == "__main__":
    main(prog_name="enforcement_gateway")
