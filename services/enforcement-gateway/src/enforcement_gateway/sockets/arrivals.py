"""Connections that wait to be taken, and the share of the time that is theirs.

Whoever comes is taken, and heard if it has spoken already, after those who are
connected, in lots. A lot costs the share of the time that it would have if nobody came
back; whoever is let in costs nothing (ADR 44).
"""

from collections.abc import Callable
from typing import Protocol

from enforcement_gateway.sockets.demotion import Waiting

SHARE = 0.25
"""Of all the time, for those who come and of whom nothing is let in, while anything is
let in: nobody else can use the time that it takes to find that out."""

LOT = 16
"""Connections that are taken before others have their turn: half a millisecond."""

LOT_AT_REST = 64
"""The same, while nothing is let in."""

MOST_OWED = 0.1
"""Seconds that are left to others at most, however long a lot took: a process can have
been stopped meanwhile."""

_FOR_OTHERS = (1 - SHARE) / SHARE
"""Seconds that are left to others, for each that was theirs."""


class Entrance(Protocol):
    """Where they come."""

    def take(self, most: int) -> int:
        """Take as many as there are, or as that; how many that were.

        Fewer: the kernel has to tell before there are more.
        """


class Arrivals:
    """Those who wait at the entrances of one listener.

    While somebody does, this stands in `arriving`, which the loop looks at.
    """

    __slots__ = (
        "_arriving",
        "_clock",
        "_each",
        "_entrances",
        "_others_until",
        "_since",
        "_taken",
        "_waiting",
        "_welcomed",
        "_were_welcomed",
    )

    def __init__(
        self,
        waiting: Waiting,
        arriving: "list[Arrivals]",
        welcomed: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        """`welcomed` tells how many were let in so far, of all that have come.

        `clock` is in seconds, and never goes back.
        """
        self._waiting = waiting
        self._arriving = arriving
        self._welcomed = welcomed
        self._were_welcomed = welcomed()
        self._clock = clock
        self._entrances: list[Entrance] = []  # where somebody waits
        self._taken = 0  # of the last lot
        self._each = 0.0  # seconds that one of it took
        self._others_until = 0.0  # when they have had their share for those before
        self._since = clock()

    def come(self, entrance: Entrance) -> None:
        """The kernel tells that somebody is there."""
        self._waiting.told += 1
        if not self._entrances:
            self._arriving.append(self)
        self._entrances.append(entrance)

    def leave(self, entrance: Entrance) -> None:
        """Nobody is taken there any more, or not for now."""
        if entrance in self._entrances:
            self._entrances.remove(entrance)
            if not self._entrances:
                self._arriving.remove(self)

    def patience(self, timeout: float | None) -> float:
        """Seconds for which others may be waited for: `timeout`, or less for these."""
        for_others = 0.0
        if not self._waiting.is_at_rest():
            for_others = max(self._others_until - self._clock(), 0.0)
        return for_others if timeout is None else min(timeout, for_others)

    def due(self) -> int:
        """How many may be taken now."""
        self._since = self._clock()
        if self._waiting.is_at_rest():
            return LOT_AT_REST
        self._repay()
        return LOT if self._since >= self._others_until else 0

    def take(self, most: int) -> None:
        """As many as there are, or as that."""
        self._taken = 0
        entrances = self._entrances[:]
        for entrance in entrances:
            share = -(-most // len(entrances))
            found = entrance.take(share)
            self._taken += found
            if found < share:
                self.leave(entrance)

    def pay(self) -> None:
        """They were heard: the next lot waits for as long as this one cost."""
        now = self._clock()
        took = now - self._since
        self._each = took / max(self._taken, 1)
        self._others_until = now + min(took * _FOR_OTHERS, MOST_OWED)
        self._repay()

    def _repay(self) -> None:
        """Whoever was let in cost nothing."""
        welcomed = self._welcomed()
        repaid = (welcomed - self._were_welcomed) * self._each
        self._others_until -= repaid * _FOR_OTHERS
        self._were_welcomed = welcomed
