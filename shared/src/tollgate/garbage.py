"""How often a service that has started looks for garbage."""

import gc

THRESHOLD = 20_000
"""Objects that may pile up before their cycles are looked for."""


def settle() -> None:
    """What there is now stays: do not look through it again and again for garbage.

    Requests leave no cycles behind, so that looking for them less often costs nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD)
