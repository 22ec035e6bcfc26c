"""Where the services and logs are: what `make run` writes to `.local/stack.json`."""

from pathlib import Path

import click
import msgspec

DEFAULT = Path(".local/stack.json")


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """The client of the demo workspace."""

    client_id: str | None = None
    kid: str | None = None
    private_key_path: str | None = None


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """What is known; what is missing is asked for by an option."""

    registry_url: str | None = None
    issuer_url: str | None = None
    owner_token: str | None = None
    database_urls: dict[str, str] = {}
    demo: Demo | None = None


def read_stack(path: Path | None) -> Stack:
    """The stack at `path`, or the one of this folder, or one that knows nothing."""
    if path is None:
        if not DEFAULT.exists():
            return Stack()
        path = DEFAULT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stack)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise click.ClickException(f"{path} is not a stack file") from None


def required(value: str | None, option: str) -> str:
    """`value`, or one line that says which option is missing."""
    if value is None:
        raise click.UsageError(
            f"{option} is missing, and no stack is running here (see --stack)"
        )
    return value
