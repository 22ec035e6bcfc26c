"""The turns of the event loop: those whom the kernel told of are heard one by one.

Nothing else runs in the meantime: no event is folded, no poll is answered. So what was
found of the view at the beginning of a turn is what it says until the turn is over.
"""


class Turn:
    """The one that is under way. `number` is another each time, and 0 between two."""

    __slots__ = ("_begun", "number")

    def __init__(self) -> None:
        self._begun = 0
        self.number = 0

    def begin(self) -> None:
        self._begun += 1
        self.number = self._begun

    def end(self) -> None:
        self.number = 0


turn = Turn()
"""That of this process, which has one loop."""
