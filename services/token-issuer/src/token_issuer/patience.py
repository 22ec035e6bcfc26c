"""Passing trouble is waited out for a while, by so many requests and no more.

A client that is told to come back later signs a new assertion and loses its place;
most trouble (a database that restarts, a projection that catches up) is over sooner.
"""

import asyncio
from collections import OrderedDict
from datetime import timedelta
from types import TracebackType

from tollgate.errors import Unavailable

MAX_HELD = 1000


class Patience:
    """`limit` is for the whole of a request, `max_held` for the process.

    All are given equally long, so who came first is due first, and one timer serves
    everybody.
    """

    def __init__(self, limit: timedelta, max_held: int = MAX_HELD) -> None:
        self._limit = limit.total_seconds()
        self._max_held = max_held
        self._due: OrderedDict[asyncio.Timeout, float] = OrderedDict()
        """When patience ends with those it has not ended with yet, the first first."""
        self._timer: asyncio.TimerHandle | None = None
        self.held = 0

    def hold(self) -> "_Hold":
        """Run the body for as long as there is patience; then `Unavailable`."""
        return _Hold(self)

    def begin(self, timeout: asyncio.Timeout) -> None:
        """One more is held."""
        if self.held >= self._max_held:
            raise Unavailable("too many requests are waiting")
        self.held += 1
        loop = asyncio.get_running_loop()
        due = self._due[timeout] = loop.time() + self._limit
        if self._timer is None:
            self._timer = loop.call_at(due, self._end_with_who_is_due)

    def end(self, timeout: asyncio.Timeout) -> None:
        """One is held no more."""
        self.held -= 1
        self._due.pop(timeout, None)

    def _end_with_who_is_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._due:
            timeout, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._end_with_who_is_due)
                return
            del self._due[timeout]
            timeout.reschedule(now)


class _Hold:
    __slots__ = ("_patience", "_timeout")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._patience.begin(self._timeout)
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._patience.end(self._timeout)
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise Unavailable("the service cannot answer now") from None
