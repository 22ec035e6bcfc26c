"""How often somebody may do something, counted in bounded memory.

A bucket leaks at a steady rate and holds a minute's worth, so that a client may spend
at once what it is given for a minute (the generic cell rate algorithm). Each process
counts for itself.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

CAPACITY = 10_000
"""Names remembered; the one that was silent for longest is forgotten first."""

MINUTE = 60.0


class RateLimit:
    """`per_minute` of something for each name."""

    def __init__(
        self,
        per_minute: int,
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cost = MINUTE / per_minute
        self._capacity = capacity
        self._clock = clock
        self._full_until: OrderedDict[str, float] = OrderedDict()
        """When the bucket of each name will have leaked empty."""

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._full_until)

    def wait_for(self, name: str) -> timedelta | None:
        """How long until one more is allowed; None if it is allowed now."""
        if name not in self._full_until:
            return None
        now = self._clock()
        return self._wait(self._empty_at(name, now), now)

    def take(self, name: str) -> timedelta | None:
        """As `wait_for`; if one more is allowed, it is counted."""
        now = self._clock()
        empty_at = self._empty_at(name, now)
        wait = self._wait(empty_at, now)
        if wait is None:
            self._note(name, empty_at)
        return wait

    def count(self, name: str) -> None:
        """One more of `name`, allowed or not."""
        self._note(name, self._empty_at(name, self._clock()))

    def _wait(self, empty_at: float, now: float) -> timedelta | None:
        excess = empty_at + self._cost - now - MINUTE
        # A billionth of a second is rounding, not excess.
        return timedelta(seconds=excess) if excess > 1e-9 else None  # noqa: PLR2004

    def _note(self, name: str, empty_at: float) -> None:
        self._full_until[name] = empty_at + self._cost
        self._full_until.move_to_end(name)
        if len(self._full_until) > self._capacity:
            self._full_until.popitem(last=False)

    def _empty_at(self, name: str, now: float) -> float:
        empty_at = self._full_until.get(name, now)
        if empty_at <= now:
            return now
        # However many came, a full bucket is all there is to wait for.
        return min(empty_at, now + MINUTE)
