"""When a service looks for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = 20_000
"""Objects that may pile up before their cycles are looked for."""


def settle() -> None:
    """What there is now stays: do not look through it again and again for garbage.

    Requests leave no cycles behind, so that looking for them less often costs nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)


@contextmanager
def not_collecting() -> Iterator[None]:
    """Garbage is not looked for until the block ends, in which much is made that stays.

    To look through it ten times while it grows is a tenth of what making it takes.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
