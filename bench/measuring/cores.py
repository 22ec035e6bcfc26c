"""Who runs where: the program under test on a core of its own, all else beside it.

A child inherits where its parent may run. So the benchmark moves itself off the first
core, and whatever it starts stays off it too, unless it is pinned there on purpose.
"""

import os
from pathlib import Path

import msgspec

from bench.measuring.failures import CannotMeasure
from local_stack.ledger import descendants


class Cores(msgspec.Struct, frozen=True):
    """The cores of this machine that we may use."""

    under_test: int
    load: tuple[int, ...]

    @classmethod
    def of(cls, usable: set[int]) -> "Cores":
        first, *others = sorted(usable)
        if not others:
            raise CannotMeasure("measuring needs two cores: one for the load")
        return cls(first, tuple(others))

    @classmethod
    def of_this_machine(cls) -> "Cores":
        return cls.of(os.sched_getaffinity(0))

    @property
    def count(self) -> int:
        return 1 + len(self.load)

    @property
    def command_under_test(self) -> tuple[str, ...]:
        """What a command begins with to be pinned under test from its first moment."""
        return ("taskset", "--cpu-list", str(self.under_test))

    def leave_to_the_program_under_test(self) -> None:
        """Move this process, and so what it starts from now on, to the other cores."""
        os.sched_setaffinity(0, self.load)


def pin(pid: int, *cores: int) -> None:
    """Move a running process, all its threads and descendants."""
    for member in (pid, *(each.pid for each in descendants(pid))):
        for thread in Path(f"/proc/{member}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
