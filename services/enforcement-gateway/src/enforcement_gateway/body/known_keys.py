"""Write keys seen before: what they are was asked once.

Those of the same few sources come again and again, and the same object is found faster
in the view.
"""

from typing import Final

MAX_KNOWN: Final = 4096
MAX_KNOWN_LENGTH: Final = 128  # of the keys that the registry gives and takes
_known: Final[dict[str, tuple[str]]] = {}


def alone(key: str) -> tuple[str] | None:
    """The one key of a body, or None if it is none."""
    known = _known.get(key)
    if known is not None:
        return known
    if not is_printable(key):
        return None
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    keys = (key,)
    if len(key) <= MAX_KNOWN_LENGTH:
        _known[key] = keys
    return keys


def is_printable(key: str) -> bool:
    """Whether it is of printable ASCII, as a key must be."""
    return key.isascii() and key.isprintable()
