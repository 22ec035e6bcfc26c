"""Passing trouble is waited out for a while, by so many requests and no more.

A client that is told to come back later signs a new assertion and loses its place;
most trouble (a database that restarts, a projection that catches up) is over sooner.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from tollgate.errors import Unavailable

MAX_HELD = 1000


class Patience:
    """`limit` is for the whole of a request, `max_held` for the process."""

    def __init__(self, limit: timedelta, max_held: int = MAX_HELD) -> None:
        self._limit = limit
        self._max_held = max_held
        self.held = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Run the body for as long as there is patience; then `Unavailable`."""
        if self.held >= self._max_held:
            raise Unavailable("too many requests are waiting")
        self.held += 1
        try:
            async with asyncio.timeout(self._limit.total_seconds()):
                yield
        except TimeoutError:
            raise Unavailable("the service cannot answer now") from None
        finally:
            self.held -= 1
