"""`make run` and what goes with it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import click

from local_stack import tracking_api
from local_stack.choices import read_choices
from local_stack.claim import claim
from local_stack.failures import CannotStart
from local_stack.progress import Progress
from local_stack.supervisor import Stack, supervise

LOCAL = Path(".local")


@click.group()
def main() -> None:
    """A whole tollgate on this machine, in the folder `.local` of this copy."""


@main.command()
def run() -> None:
    """Start everything and stay in the foreground until Ctrl-C."""
    local = LOCAL.resolve()
    progress = Progress()
    with claim(local / "run.lock"):
        stack = Stack(local, read_choices(os.environ), progress)
        progress.print(f"tollgate: starting in {local}")
        asyncio.run(supervise(stack, _introduce))
    progress.print("tollgate: stopped; `make run` goes on with the same state")


@main.command()
def forget() -> None:
    """Remove logs, keys and settings of earlier runs."""
    local = LOCAL.resolve()
    with claim(local / "run.lock"):
        shutil.rmtree(local / "state", ignore_errors=True)
        (local / "stack.json").unlink(missing_ok=True)


@main.command("tracking-api")
@click.option("--port", type=int, required=True)
@click.option("--log", type=click.Path(path_type=Path), required=True)
def serve_tracking_api(port: int, log: Path) -> None:
    """Take and keep whatever is sent, in place of a real tracking API."""
    tracking_api.serve(port, log)


async def _introduce(stack: Stack) -> None:
    stack.progress.print("tollgate: everything runs, Ctrl-C stops it")


if __name__ == "__main__":
    try:
        main(prog_name="local_stack")
    except CannotStart as failure:
        sys.exit(f"tollgate: {failure}")
