"""Unguessable octets, fetched many at a time.

Asking the kernel costs several microseconds, for 20 octets as for a page of them, and a
service that names every request and token asks at each. No octet is given out twice,
not to two threads and not to a process and its fork.
"""

import os
from threading import Lock

_PAGE = 4096

_lock = Lock()
_left = b""
_at = 0


def random_octets(count: int) -> bytes:
    """`count` octets from the kernel's generator, at most a page of them."""
    global _left, _at
    with _lock:
        end = _at + count
        if end > len(_left):
            _left, _at, end = os.urandom(_PAGE), 0, count
        octets, _at = _left[_at:end], end
    if len(octets) != count:
        raise ValueError(f"ask for {_PAGE} octets at most")
    return octets


def _forget() -> None:
    global _left, _at, _lock  # noqa: PLW0603
    _left, _at = b"", 0
    _lock = Lock()  # another thread may have held it in the moment of the fork


os.register_at_fork(after_in_child=_forget)
