"""`.local/stack.json`: where everything is, for scripts."""

from pathlib import Path

import msgspec

from local_stack.memory import Demo, write_private


class StackFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a script needs to use a running stack, administrators' secrets included."""

    registry_url: str
    issuer_url: str
    gateway_url: str
    gateway_status_url: str
    upstream_url: str
    upstream_log: str
    database_urls: dict[str, str]
    amqp_url: str
    owner_token: str
    workspace_id: str
    demo: Demo

    def write(self, path: Path) -> None:
        write_private(path, msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def read_stack_file(path: Path) -> StackFile:
    return msgspec.json.decode(path.read_bytes(), type=StackFile)
