"""Every case, in the order of the table (`bench.running` says that of a run).

A case is a module with `async def run(bench: Bench) -> list[Row]`. It starts what it
needs and leaves nothing running. What keeps it from measuring is a `CannotMeasure`.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bench.cases import (
    broker,
    gateway,
    gateway_bodies,
    gateway_floods,
    gateway_requests,
    gateway_tokens,
    gateway_under_flood,
    gateway_workers,
    log,
    replay,
    revocation,
    scale,
    tokens,
)
from bench.measuring.context import Bench
from bench.measuring.figures import Row


class Case(NamedTuple):
    name: str  # on the command line
    title: str  # above its rows
    run: Callable[[Bench], Awaitable[list[Row]]]
    shares: str = ""  # with which of its neighbours it shares what `Bench.shared` keeps
    has_limits: bool = False  # on a time and not on a ratio: it goes first


GATEWAY = "gateway"

CASES: tuple[Case, ...] = (
    Case("gateway", "Gateway: 1.5 KB batch of 5 events", gateway.run, GATEWAY),
    Case("gateway-tokens", "Gateway: many tokens", gateway_tokens.run, GATEWAY),
    Case(
        "gateway-requests",
        "Gateway: requests that differ, many connections",
        gateway_requests.run,
        GATEWAY,
    ),
    Case("gateway-bodies", "Gateway: large batches", gateway_bodies.run, GATEWAY),
    Case("gateway-workers", "Gateway: several workers", gateway_workers.run, GATEWAY),
    Case(
        "gateway-floods",
        "Gateway: floods of bad tokens, each different",
        gateway_floods.run,
        GATEWAY,
    ),
    Case(
        "gateway-under-flood",
        "Gateway: valid traffic in a flood",
        gateway_under_flood.run,
        GATEWAY,
    ),
    Case("log", "Appends through the log", log.run, has_limits=True),
    Case("replay", "A projection rebuilt from its log", replay.run),
    Case("tokens", "Token endpoint", tokens.run, has_limits=True),
    Case(
        "revocation",
        "Revocation over four workers",
        revocation.run,
        has_limits=True,
    ),
    Case("broker", "Events through the broker", broker.run),
    Case("scale", "A view of a million sources", scale.run, has_limits=True),
)
