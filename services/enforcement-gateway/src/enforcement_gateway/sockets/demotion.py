"""Connections that wait while others are served: their last request was refused.

A multilevel feedback queue with two levels (ADR 47). Whoever was refused is demoted,
and heard for a share of the time, and of what others leave for half, in the order in
which they came. Whoever is admitted is promoted.
"""

import select
from collections import deque
from collections.abc import Callable

from enforcement_gateway.sockets.watched import Watched

SHARE = 0.25
"""Of the loop's time, for those who are demoted, while others have work for all of it:
so much is left to whoever is refused and comes back with a better token."""

LOT = 16
"""Connections that are heard before others have their turn: half a millisecond."""

LOT_AT_REST = 64
"""The same, while nothing was let in for `REST_SECONDS`."""

REST_SECONDS = 0.05
"""Without any that are let in, until those who are demoted have all of the time."""

MOST_SAVED = 0.005
"""Seconds of theirs that were not used and are kept for them."""

MOST_OWED = 0.1
"""Seconds that they can have taken in advance, as by signatures of one lot."""

_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
"""Of the bits of epoll: the client says no more."""

_EARNED = SHARE / (1 - SHARE)
"""Seconds for them, of each that others take."""


class Demoted(Watched):
    """Stands in the place of a connection while that is demoted."""

    __slots__ = ("_events", "_waiting", "_watched")

    def __init__(self, watched: Watched, waiting: "Waiting") -> None:
        super().__init__()
        self._watched = watched
        self._waiting = waiting
        self._events = 0

    def on_ready(self, events: int) -> None:
        """Keep it until its turn: the kernel does not repeat itself.

        Who says no more is heard at once, so that its place is another's.
        """
        waiting = self._waiting
        waiting.told += 1
        if events & _ENDED:
            self._events |= events
            self.hear()
            return
        if not self._events:
            waiting.queue.append(self)
        self._events |= events

    def hear(self) -> None:
        """It is its turn, if it has not been heard since it was queued."""
        events, self._events = self._events, 0
        if events:
            self._watched.on_ready(events)


class Waiting:
    """Those who are demoted and have something to say, and the time that is theirs.

    `queue` is in the order in which the kernel told of them, and `told` how many times
    it did since `start`. Their balance grows while others are heard or waited for; all
    else that the loop does counts against it, for it is theirs, as most signatures are,
    or little.
    """

    __slots__ = (
        "_balance",
        "_clock",
        "_let_in",
        "_others_until",
        "_since",
        "_were_let_in",
        "queue",
        "told",
    )

    def __init__(self, let_in: Callable[[], int], clock: Callable[[], float]) -> None:
        """`let_in` tells how many requests were let in so far.

        `clock` is in seconds, and never goes back.
        """
        self.queue: deque[Demoted] = deque()
        self.told = 0
        self._let_in = let_in
        self._were_let_in = -1  # what it said last
        self._clock = clock
        self._balance = 0.0
        self._others_until = 0.0  # from then on they count as being at rest
        self._since = clock()

    def patience(self, timeout: float | None) -> float | None:
        """Seconds for which the kernel is waited for: `timeout`, or less for these.

        Who was let in is mostly back within less: to hear a lot in each gap would take
        from them what they can use.
        """
        if not self.queue:
            return timeout
        for_others = 0.0
        if not self.is_at_rest():
            for_others = max(-self._balance, 0.0)
        return for_others if timeout is None else min(timeout, for_others)

    def is_at_rest(self) -> bool:
        """Whether nothing was let in for `REST_SECONDS`, as far as is known."""
        return self._since >= self._others_until

    def start(self) -> None:
        """The kernel is about to be heard, for which it was waited until now."""
        now = self._clock()
        if self.queue:
            self._balance = min(self._balance + now - self._since, MOST_SAVED)
        self.told = 0
        self._since = now

    def note_others(self) -> None:
        """Others were heard since `start`."""
        now = self._clock()
        earned = (now - self._since) * _EARNED
        self._balance = min(self._balance + earned, MOST_SAVED)
        were_let_in = self._let_in()
        if were_let_in != self._were_let_in:
            self._were_let_in = were_let_in
            self._others_until = now + REST_SECONDS
        self._since = now

    def note_own(self) -> None:
        """The rest of this turn of the loop is over, in which they were heard."""
        now = self._clock()
        self._balance = max(self._balance - (now - self._since), -MOST_OWED)
        self._since = now

    def pass_over(self) -> None:
        """What was done since is neither theirs nor that of others."""
        self._since = self._clock()

    def due(self, *, others: bool) -> int:
        """How many may be heard now at most; `others`: of all else some had to be."""
        if not others and self.is_at_rest():
            self._balance = 0.0
            return LOT_AT_REST
        return LOT if self._balance > 0.0 else 0

    def hear(self, most: int) -> None:
        """As many of them as there are, or as that."""
        queue = self.queue
        for _ in range(min(most, len(queue))):
            demoted = queue.popleft()
            demoted.hear()
