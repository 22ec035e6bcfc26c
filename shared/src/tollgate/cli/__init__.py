"""`tollgate`: what administrators, auditors and clients do from a terminal.

Where everything is comes from `.local/stack.json` (written by `make run`), from another
file of that shape (`--stack`), or from options and `TOLLGATE_…` variables.
"""

from pathlib import Path

import click

from tollgate.cli.audit import audit
from tollgate.cli.stack import Stack, read_stack
from tollgate.cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--stack",
    "stack_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="TOLLGATE_STACK",
    help="Where the services are, as `make run` writes it [.local/stack.json].",
)
@click.version_option(package_name="tollgate")
@click.pass_context
def main(context: click.Context, stack_path: Path | None) -> None:
    """OAuth 2.0 in front of event tracking: audit the log, mint a token."""
    context.obj = read_stack(stack_path)


main.add_command(audit)
main.add_command(token)

__all__ = ["Stack", "main"]
