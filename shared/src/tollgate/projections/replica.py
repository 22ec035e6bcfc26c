"""A state with its place in a log: takes events strictly one after another.

Nothing here reads or waits. Whatever arrives, in whatever order and however often, the
state is that of the log up to `position`, because only the event that follows, with the
hash that follows, changes it.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

from tollgate.eventlog.chain import ChainBroken, genesis, link
from tollgate.events import RecordedEvent, UnreadableEvent

REMEMBERED = 1024
"""Hashes kept of events already taken, to tell a duplicate from another history."""


class State(Protocol):
    """What events are folded into, changed in place."""

    def apply(self, recorded: RecordedEvent) -> None:
        """Fold in the next event, or raise `UnreadableEvent` and change nothing."""


StateT = TypeVar("StateT", bound=State)


class Hole(Exception):
    """Events before this one have not been taken yet."""


class Diverged(Exception):
    """The log has, or has not, at `position` what it had before: another history."""

    def __init__(self, position: int) -> None:
        super().__init__(f"another history at position {position}")
        self.position = position


class Replica(Generic[StateT]):
    """`hash` is that of the event at `position`, or of the genesis at 0."""

    def __init__(
        self,
        log: str,
        state: StateT,
        *,
        position: int = 0,
        last: bytes | None = None,
    ) -> None:
        self.log = log
        self.state = state
        self.position = position
        self.hash = genesis(log) if last is None else last
        self._hashes: deque[bytes] = deque([self.hash], maxlen=REMEMBERED)

    def take(self, recorded: RecordedEvent) -> bool:
        """Apply `recorded` if it is the next; False if it was taken before.

        Raises `Hole` if it comes too early, `Diverged` if another event was taken at
        its place, `ChainBroken` if it does not follow from the last one, and
        `UnreadableEvent` if the state cannot take it. Then nothing has changed.
        """
        if recorded.position <= self.position:
            known = self.hash_at(recorded.position)
            if known is not None and known.hex() != recorded.hash:
                raise Diverged(recorded.position)
            return False
        if recorded.position > self.position + 1:
            raise Hole(f"{recorded.position} came after {self.position}")
        following = link(self.hash, recorded)
        if following.hex() != recorded.hash:
            raise ChainBroken(recorded.position, "the event does not follow")
        self._apply(recorded)
        self.position = recorded.position
        self.hash = following
        self._hashes.append(following)
        return True

    def hash_at(self, position: int) -> bytes | None:
        """The hash taken at `position`; None if it is not, or no longer, known."""
        back = self.position - position
        if 0 <= back < len(self._hashes):
            return self._hashes[-1 - back]
        return None

    def _apply(self, recorded: RecordedEvent) -> None:
        try:
            self.state.apply(recorded)
        except UnreadableEvent:
            raise
        except Exception as error:
            # A fault of ours in one event must not end the process, to end it again
            # at every start: it stops here and ages out, like any unreadable event.
            raise UnreadableEvent(
                f"event {recorded.position} could not be applied"
            ) from error
