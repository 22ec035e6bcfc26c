"""Bodies of nothing but brackets, written to keep us busy."""

from typing import Final

from stringzilla import count

MAX_CONTAINERS: Final = 50_000
MAX_MEMBERS: Final = 100_000
MAX_UNCOUNTED: Final = 2 * MAX_CONTAINERS
"""Octets: what is too short to hold so many need not be counted."""


def is_absurd(body: bytes) -> bool:
    """Whether there are more objects, arrays and members than any events have.

    What looks like them within strings counts as well.
    """
    size = len(body)
    if size <= MAX_UNCOUNTED:
        return False
    if count(body, b"{") + count(body, b"[") > MAX_CONTAINERS:
        return True
    return size > 5 * MAX_MEMBERS and count(body, b":") > MAX_MEMBERS
