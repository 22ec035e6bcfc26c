"""Alternating rounds: ours, the peer, ours, the peer.

A machine drifts by more within minutes than what is to be told apart. Whoever takes
turns drifts together, so that only numbers of one run are compared.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

MeasuredT = TypeVar("MeasuredT")


async def alternate(
    contenders: Mapping[str, Callable[[], Awaitable[MeasuredT]]], rounds: int
) -> dict[str, list[MeasuredT]]:
    """What each contender measured in each round, in the order given."""
    measured: dict[str, list[MeasuredT]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            measured[name].append(await measure())
    return measured
