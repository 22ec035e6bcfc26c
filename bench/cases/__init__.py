"""Every case, in the order of the table.

A case is a module with `async def run(bench: Bench) -> list[Row]`. It starts what it
needs and leaves nothing running. What keeps it from measuring is a `CannotMeasure`.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bench.cases import gateway
from bench.measuring.context import Bench
from bench.measuring.figures import Row


class Case(NamedTuple):
    name: str  # on the command line
    title: str  # above its rows
    run: Callable[[Bench], Awaitable[list[Row]]]
    shares: str = ""  # with which of its neighbours it shares what `Bench.shared` keeps


CASES: tuple[Case, ...] = (
    Case("gateway", "Gateway, 1.5 KB batch of 5 events", gateway.run, "gateway"),
)
