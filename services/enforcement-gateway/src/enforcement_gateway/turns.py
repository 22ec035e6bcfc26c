"""The turns of the event loop: those whom the kernel told of are heard one by one.

Nothing else runs in the meantime: no event is folded, no poll is answered. What can be
done for all of them together is put off until everybody was heard.
"""

from collections.abc import Callable


class Turn:
    """Whether one `is_under_way`, and what is put off until everybody was heard.

    `number` is that of the last one: what is asked once in each is remembered by it.
    """

    __slots__ = ("_put_off", "is_under_way", "number")

    def __init__(self) -> None:
        self.is_under_way = False
        self.number = 0
        self._put_off: list[Callable[[], None]] = []

    def begin(self) -> None:
        self.is_under_way = True
        self.number += 1

    def put_off(self, work: Callable[[], None]) -> None:
        """Have it done at the end of the turn that is under way; without one, now.

        At the end of one it must not raise.
        """
        if self.is_under_way:
            self._put_off.append(work)
        else:
            work()

    def end(self) -> None:
        """Do what was put off: nobody is heard any more."""
        while self._put_off:
            self._put_off.pop(0)()
        self.is_under_way = False


turn = Turn()
"""That of this process, which has one loop."""
