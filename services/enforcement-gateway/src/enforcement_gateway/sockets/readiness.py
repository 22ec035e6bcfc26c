"""What the kernel tells is ready: the connections of the data path, then all else.

The loop asks this instead of a selector of the standard library. A connection of the
data path is told at once and by itself; for it no handle is made and put in a queue.
"""

import select
import selectors
import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from enforcement_gateway.sockets import kernel
from enforcement_gateway.sockets.arrivals import Arrivals
from enforcement_gateway.sockets.demotion import Demoted, Waiting
from enforcement_gateway.sockets.watched import Watched
from enforcement_gateway.turns import turn

MOST_AT_ONCE = 512
"""Descriptors that are told before the loop comes to its other work."""

USUAL = select.EPOLLIN | select.EPOLLOUT
"""Something came, and there is room for what is to be sent."""

_USUAL = USUAL  # a plain number in C
_DESCRIPTOR = itemgetter(0)


class Readiness:
    """A `selectors.BaseSelector`, without the base that C could not have.

    The standard library's own selector, with all that the loop has registered, stands
    within as one more descriptor.
    """

    __slots__ = (
        "_arriving",
        "_clock",
        "_demoted",
        "_epoll",
        "_others",
        "_others_descriptor",
        "_turn",
        "_waiting",
        "_watched",
        "written",
    )

    def __init__(
        self, let_in: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`let_in` tells how many requests were let in so far.

        `clock` is in seconds, and never goes back.
        """
        self._epoll = select.epoll()
        self._others = selectors.EpollSelector()
        self._others_descriptor = self._others.fileno()
        self._epoll.register(self._others_descriptor, select.EPOLLIN)
        self._turn = turn
        self._watched: dict[int, Watched] = {}
        self._demoted: dict[int, Watched] = {}  # those of them who are, themselves
        self._waiting = Waiting(let_in, clock)
        self._arriving: list[Arrivals] = []
        self._clock = clock
        self.written: list[Watched] = []  # always the same one: each of them adds to it

    def watch(self, descriptor: int, watched: Watched, events: int) -> None:
        """Tell it from now on."""
        self._watched[descriptor] = watched
        self._epoll.register(descriptor, events)

    def watch_again(self, descriptor: int, events: int) -> None:
        """Tell it once more what is told once."""
        self._epoll.modify(descriptor, events)

    def new_arrivals(self, welcomed: Callable[[], int]) -> Arrivals:
        """Of a listener; `welcomed` tells how many were let in so far."""
        return Arrivals(self._waiting, self._arriving, welcomed, self._clock)

    def forget(self, descriptor: int) -> None:
        """Tell it no more, not even what the kernel has said already."""
        if self._watched.pop(descriptor, None) is not None:
            self._demoted.pop(descriptor, None)
            self._epoll.unregister(descriptor)

    def demote(self, descriptor: int, watched: Watched) -> None:
        """Tell it when nobody else has to be told, or for a share of the time."""
        self._watched[descriptor] = Demoted(watched, self._waiting)
        self._demoted[descriptor] = watched

    def promote(self, descriptor: int, watched: Watched) -> None:
        """Tell it as all others again, and still what it was to be told before."""
        self._watched[descriptor] = watched
        self._demoted.pop(descriptor, None)

    # --- asked by the loop ---

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Tell who is ready, and return what else is. `timeout` in seconds."""
        waiting = self._waiting
        waiting.note_own()
        if self.written:  # by a task; what that leads to must not wait for the kernel
            self._flush()
            timeout = 0
        timeout = waiting.patience(timeout)
        for arrivals in self._arriving:
            timeout = arrivals.patience(timeout)
        told = self._epoll.poll(-1 if timeout is None else timeout, MOST_AT_ONCE)
        waiting.start()
        at_once = bool(self._demoted) and self._may_all_be_heard(told)
        heard, others = self._hear(told, self._demoted if at_once else self._watched)
        if at_once:
            return others
        heard -= waiting.told
        if heard:
            waiting.note_others()
        if self._arriving:
            self._hear_arrivals()
        while waiting.queue:
            most = waiting.due(others=heard > 0)
            if most:
                self._hear_demoted(most)
            if not (most and heard):
                break
            waiting.note_own()  # there may be time left for one more lot
        return others

    def _hear(
        self, told: list[tuple[int, int]], by_descriptor: dict[int, Watched]
    ) -> tuple[int, list[tuple[selectors.SelectorKey, int]]]:
        """In one turn; how many of them were connections, and what else is ready.

        What is usual is done here: a call would cost the interpreter as much again.
        """
        heard = len(told)
        others: list[tuple[selectors.SelectorKey, int]] = []
        usual, most = _USUAL, kernel.READ_SIZE
        self._turn.begin()
        try:
            for descriptor, events in told:
                try:
                    watched = by_descriptor[descriptor]
                except KeyError:  # it was forgotten since, or is that of all else
                    heard -= 1
                    if descriptor == self._others_descriptor:
                        others = self._others.select(0)
                    elif descriptor in self._watched:  # it was promoted since
                        self._watched[descriptor].on_ready(events)
                    continue
                receive = watched.receive
                if receive is None or events != usual:
                    watched.on_ready(events)
                    continue
                try:
                    data = kernel.receive(descriptor, most)
                except OSError as error:
                    watched.go_on(error)
                    continue
                if not data or len(data) == most:
                    watched.go_on(data)
                    continue
                try:
                    receive(data)
                except Exception as error:  # noqa: BLE001 - the loop serves the others
                    watched.fail(error)
        finally:
            self._turn.end()
        if self.written:
            self._flush()
        return heard, others

    def _may_all_be_heard(self, told: list[tuple[int, int]]) -> bool:
        """Whether all of them are demoted, and nobody has to wait."""
        waiting, demoted = self._waiting, self._demoted
        return (
            not (waiting.queue or self._arriving)
            and all(map(demoted.__contains__, map(_DESCRIPTOR, told)))
            and len(told) <= waiting.due(others=False)
        )

    def _hear_arrivals(self) -> None:
        """In a turn of their own, as they have a share of the time of their own."""
        for arrivals in self._arriving[:]:
            most = arrivals.due()
            if most:
                self._turn.begin()
                try:
                    arrivals.take(most)
                finally:
                    self._turn.end()
                if self.written:
                    self._flush()
                arrivals.pay()
        self._waiting.pass_over()

    def _hear_demoted(self, most: int) -> None:
        """In a turn of their own: those before have their answers already."""
        self._turn.begin()
        try:
            self._waiting.hear(most)
        finally:
            self._turn.end()
        if self.written:
            self._flush()

    def _flush(self) -> None:
        """All that was written goes out together, when everyone was told.

        Whom it is for may sleep, and is then woken once and finds more, instead of
        being woken, and going back to sleep, for each.
        """
        written = self.written[:]
        self.written.clear()
        for watched in written:
            watched.flush()

    def register(
        self, fileobj: int, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._others.register(fileobj, events, data)

    def unregister(self, fileobj: int) -> selectors.SelectorKey:
        return self._others.unregister(fileobj)

    def modify(
        self, fileobj: int, events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._others.modify(fileobj, events, data)

    def get_key(self, fileobj: int) -> selectors.SelectorKey:
        return self._others.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._others.get_map()

    def close(self) -> None:
        self._watched.clear()
        self._epoll.close()
        self._others.close()
