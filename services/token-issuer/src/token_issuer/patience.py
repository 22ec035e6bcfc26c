"""Passing trouble is waited out for a while, by so many requests and no more.

A client that is told to come back later signs a new assertion and loses its place;
most trouble (a database that restarts, a projection that catches up) is over sooner.
"""

import asyncio
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from tollgate.errors import Unavailable

MAX_HELD = 1000


class Held(Protocol):
    def cut_short(self) -> None:
        """Patience has ended: so does the waiting, with `out_of_patience`."""
        ...


def out_of_patience() -> Unavailable:
    return Unavailable("the service cannot answer now")


class Patience:
    """`limit` is for the whole of a request, `max_held` for the process.

    All are given equally long, so who came first is due first, and one timer serves
    everybody.
    """

    def __init__(self, limit: timedelta, max_held: int = MAX_HELD) -> None:
        self._limit = limit.total_seconds()
        self._max_held = max_held
        self._due: dict[Held, float] = {}
        """When patience ends with those it has not ended with yet, the first first."""
        self._timer: asyncio.TimerHandle | None = None
        self.held = 0

    def hold(self) -> "Hold":
        """Run the body for as long as there is patience; then `Unavailable`."""
        return Hold(self)

    def begin(self, held: Held) -> None:
        """One more is held."""
        if self.held >= self._max_held:
            raise Unavailable("too many requests are waiting")
        self.held += 1
        loop = asyncio.get_running_loop()
        due = self._due[held] = loop.time() + self._limit
        if self._timer is None:
            self._timer = loop.call_at(due, self._end_with_who_is_due)

    def end(self, held: Held) -> None:
        """One is held no more."""
        self.held -= 1
        self._due.pop(held, None)

    def _end_with_who_is_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._due:
            held, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._end_with_who_is_due)
                return
            del self._due[held]
            held.cut_short()


class Hold:
    """What `asyncio.timeout` does, with one timer for everybody."""

    __slots__ = ("_cancelling", "_is_over", "_patience", "_task")

    _task: "asyncio.Task[object]"
    _cancelling: int

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("there is no task to be cut short")
        self._patience.begin(self)
        self._task = task
        self._cancelling = task.cancelling()

    def cut_short(self) -> None:
        """Patience has ended: so does what the task waits for."""
        self._is_over = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._patience.end(self)
        # As in asyncio.timeout: only if nobody else has cancelled the task as well.
        if (
            self._is_over
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise out_of_patience() from None
