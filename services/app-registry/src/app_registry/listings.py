"""Ids in the order in which things were made, to be read page by page.

The place of a thing is the position of the event that made it. Places only grow, so a
new one goes to the end and a page is found by bisection: nothing is sorted, and what is
not on the page is not looked at.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TypeAlias

Place: TypeAlias = tuple[int, str]
"""A position, and the id of what was made there."""


class Listing:
    """One such order. What is gone is taken out."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._ids: list[str] = []
        self._position_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, position: int, item_id: str) -> None:
        """`position` is greater than that of everything added before."""
        self._positions.append(position)
        self._ids.append(item_id)
        self._position_of[item_id] = position

    def remove(self, item_id: str) -> None:
        position = self._position_of.pop(item_id, None)
        if position is not None:
            index = bisect_left(self._positions, position)
            del self._positions[index], self._ids[index]

    def place_of(self, item_id: str) -> Place | None:
        position = self._position_of.get(item_id)
        return None if position is None else (position, item_id)

    def after(self, position: int) -> Iterator[Place]:
        """What was made after `position`. Not to be mixed with changes."""
        start = bisect_right(self._positions, position)
        for index in range(start, len(self._ids)):
            yield self._positions[index], self._ids[index]
