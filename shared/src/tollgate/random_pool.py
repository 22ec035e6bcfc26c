"""Unguessable octets, fetched many at a time.

Asking the kernel costs several microseconds, for 20 octets as for a page of them, and a
service that names every request and token asks at each. No octet is given out twice,
not to two threads and not to a process and its fork.
"""

import os

_PAGE = 4096

_ready: dict[int, list[bytes]] = {}
"""Pieces that nobody has yet, by their length."""


def random_octets(count: int) -> bytes:
    """`count` octets from the kernel's generator, at most a page of them."""
    while True:
        try:
            return _ready[count].pop()  # one of two threads gets it
        except (KeyError, IndexError):
            _ready[count] = _pieces_of(count)


def _pieces_of(count: int) -> list[bytes]:
    if not 0 < count <= _PAGE:
        raise ValueError(f"ask for {_PAGE} octets at most")
    page = os.urandom(_PAGE // count * count)
    return [page[start : start + count] for start in range(0, len(page), count)]


os.register_at_fork(after_in_child=_ready.clear)
