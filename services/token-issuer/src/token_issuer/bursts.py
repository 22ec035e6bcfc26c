"""Work that is done for many requests at once, step by step.

A signature fills the caches of a CPU with its own code and tables, and leaves them cold
for everything else. Requests come in bursts, let go together by the commit that the
ones before them waited for; a step of each costs half as much when it is taken for all
of them in one go. The less there is to a step, the more of it stays in the caches: what
a signature is over is prepared in one step, and signed in the next.

A burst is cut into lots, so that the database works on what the first lot wants of it
while the next is being computed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from tollgate.eventlog import Outcome

LOT = 16
"""Enough to keep the caches warm. With more the database would wait for its first lot
longer, and then work on it for longer than it takes to compute what is left."""


class Work(Protocol):
    """Whoever asked is told by `done`; the last step tells it, or sees to that."""

    @property
    def done(self) -> Outcome: ...


WorkT = TypeVar("WorkT", bound=Work)
ArrivalT = TypeVar("ArrivalT")


class Arrivals(Generic[ArrivalT]):
    """Those who arrive in turns of the loop that follow each other, taken in one go.

    That is when a turn has brought nobody more, or `enough` are there. A client that
    connects, and one that sends, is seen a few turns after those who came before it:
    a lot of whoever is there makes the next turn long, and lots small.
    """

    def __init__(
        self, take: Callable[[list[ArrivalT]], object], *, enough: int = LOT
    ) -> None:
        self._take = take
        self._enough = enough
        self._here: list[ArrivalT] = []

    def add(self, arrival: ArrivalT) -> None:
        if not self._here:
            asyncio.get_running_loop().call_soon(self._take_or_wait, 0)
        self._here.append(arrival)

    def _take_or_wait(self, before: int) -> None:
        """`before`: how many were there a turn ago."""
        count = len(self._here)
        if before < count < self._enough:
            asyncio.get_running_loop().call_soon(self._take_or_wait, count)
            return
        here, self._here = self._here, []
        self._take(here)


class ForAll(Generic[WorkT]):
    """A step that is taken once for all of a lot who have come that far.

    What it raises ends the work of all of them.
    """

    def __init__(self, step: Callable[[Sequence[WorkT]], object]) -> None:
        self._step = step

    def take(self, works: list[WorkT]) -> list[WorkT]:
        """Those that go on."""
        try:
            self._step(works)
        except Exception as error:  # noqa: BLE001 - it is the callers'
            for work in works:
                if not work.done.done():
                    work.done.set_exception(error)
            return []
        return works


class _ForEach(Generic[WorkT]):
    """What a step raises ends the work that it was taken for, and that alone."""

    def __init__(self, step: Callable[[WorkT], object]) -> None:
        self._step = step

    def take(self, works: list[WorkT]) -> list[WorkT]:
        """Those that go on."""
        step, have_ended = self._step, False
        for work in works:
            try:
                step(work)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                work.done.set_exception(error)
                have_ended = True
        return [each for each in works if not each.done.done()] if have_ended else works


class Burst(Generic[WorkT]):
    """Takes work through `steps`, which neither wait nor take long.

    A step is taken for one after the other, unless it is `ForAll`.
    """

    def __init__(
        self, *steps: Callable[[WorkT], object] | ForAll[WorkT], lot: int = LOT
    ) -> None:
        self._steps = [
            step if isinstance(step, ForAll) else _ForEach(step) for step in steps
        ]
        self._lot = lot
        self._asked: list[WorkT] = []

    def take(self, work: WorkT) -> None:
        """Begin with it once whoever runs now has had their say."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._serve)
        self._asked.append(work)

    def _serve(self) -> None:
        lot, self._asked = self._asked[: self._lot], self._asked[self._lot :]
        # For some there is no patience left, or nobody waits for them any more.
        going_on = [work for work in lot if not work.done.done()]
        for step in self._steps:
            if not going_on:
                break
            going_on = step.take(going_on)
        if self._asked:
            loop = asyncio.get_running_loop()
            # What is written in one turn of the loop is sent at its end: let it pass.
            loop.call_soon(loop.call_soon, self._serve)
