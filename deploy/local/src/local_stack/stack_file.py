"""`.local/stack.json`: where everything is, for scripts."""

from pathlib import Path

import msgspec

from local_stack.memory import Demo, write_private
from local_stack.supervisor import Stack


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


def describe(stack: Stack) -> StackFile:
    """What a running, seeded stack is."""
    where, owner, demo = stack.addresses, stack.memory.owner, stack.memory.demo
    assert owner is not None  # noqa: S101  # seeded
    assert demo is not None  # noqa: S101
    return StackFile(
        registry_url=where.registry,
        issuer_url=where.issuer,
        gateway_url=where.gateway,
        gateway_status_url=where.gateway_status,
        upstream_url=where.upstream,
        upstream_log=str(stack.upstream_log),
        database_urls=stack.database_urls,
        amqp_url=stack.amqp_url,
        owner_token=owner.token,
        workspace_id=owner.workspace_id,
        demo=demo,
    )


def read_stack_file(path: Path) -> StackFile:
    return msgspec.json.decode(path.read_bytes(), type=StackFile)
