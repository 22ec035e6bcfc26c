"""`make run` and what goes with it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import click

from local_stack import tracking_api
from local_stack.admin_api import ApiRefused
from local_stack.choices import read_choices
from local_stack.claim import claim, is_claimed
from local_stack.demo import StoryBroken, tell_story
from local_stack.failures import CannotStart
from local_stack.progress import Progress
from local_stack.screen import screen
from local_stack.seed import seed
from local_stack.stack_file import describe, read_stack_file
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
def demo() -> None:
    """Tell the story with the official SDK, against the stack that runs here."""
    local = LOCAL.resolve()
    if not (is_claimed(local / "run.lock") and (local / "stack.json").exists()):
        raise CannotStart("nothing runs in this copy: `make run` first, elsewhere")
    try:
        asyncio.run(tell_story(read_stack_file(local / "stack.json")))
    except (StoryBroken, ApiRefused) as failure:
        sys.exit(f"\nthe story ends here: {failure}")


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
    """Make the demo workspace if there is none, and tell where everything is."""
    await seed(stack)
    path = stack.local / "stack.json"
    described = describe(stack)
    described.write(path)
    stack.progress.print(screen(described, path, stack.logs))


if __name__ == "__main__":
    try:
        main(prog_name="local_stack")
    except CannotStart as failure:
        sys.exit(f"tollgate: {failure}")
