"""Keeps a fault that repeats from filling the log."""

import time

EVERY = 60.0
"""Seconds between two lines about the same fault."""


class Limiter:
    """Admits the first of a series, then one a minute, until `reset`."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._next = 0.0

    def admits(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._every
        return True

    def reset(self) -> bool:
        """The fault has passed; whether it had been told of."""
        told, self._next = self._next > 0, 0.0
        return told
