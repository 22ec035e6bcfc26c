"""Octets put together from pieces, and held against them: heads that come and go.

Beside this stands the same in C, for the modules that are compiled: what Python looks
for in each piece costs more than copying it.
"""

from operator import itemgetter

joined = b"".join
"""Of a tuple of `bytes`."""

begins = bytes.startswith
"""Of octets, a piece, and where: whether the piece stands there."""


def all_have(octets: tuple[bytes, ...], piece: bytes, at: int) -> bool:
    """Whether the piece stands there in each of them.

    If `at` is negative it counts from their ends, and the piece does not reach there.
    """
    return cut(octets, at, at + len(piece)).count(piece) == len(octets)


def all_end(octets: tuple[bytes, ...], piece: bytes, starts: tuple[int, ...]) -> bool:
    """Whether each ends with the piece, and that begins no sooner than its start.

    It may say no where lengths or starts differ.
    """
    size = len(piece)
    if not 0 < size <= min(map(len, octets)) - max(starts):
        return False
    ends = [*map(itemgetter(slice(-size, None)), octets)]
    return ends.count(piece) == len(octets)


def cut(octets: tuple[bytes, ...], start: int, end: int) -> list[bytes]:
    """What stands there in each of them; what is negative counts from their ends."""
    return [*map(itemgetter(slice(start, end)), octets)]
