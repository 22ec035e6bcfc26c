"""gzip, all members, a slice at a time (RFC 1952).

One zlib object stops after the first member, and what reads on would see a body that
we never looked at. Work is done in slices so that a large body shares the event loop.
"""

import time
from functools import partial
from typing import cast

from zlib_ng import zlib_ng

from enforcement_gateway.body.write_keys import unreadable
from enforcement_gateway.domain.denials import Reason, Refused

SLICE_IN = 16 * 1024
"""Octets taken in by a step: blocks of nothing but tables take 2 ms of time."""

SLICE_OUT = 192 * 1024
"""Octets of the memory that a step fills: what 16 KB of events mostly come from."""

SLICE_OF_TIME = 0.001
"""Seconds that inflating one body may keep the event loop."""

_GZIP_ONLY = 16 + zlib_ng.MAX_WBITS
_BROKEN = cast("type[Exception]", zlib_ng.error)  # its stub has it for an instance

_new_member = partial(zlib_ng._ZlibDecompressor, wbits=_GZIP_ONLY)  # noqa: SLF001
"""What Python's own zlib has from 3.12 on.

It makes room for a whole slice at once, where `decompressobj` begins with 16 KB, and
copies at each doubling.
"""


def inflated_at_once(deflated: bytes, limit: int) -> bytes | None:
    """The body, where that is one member that a step inflates; else None.

    That says nothing about it: an `Inflation` tells.
    """
    if len(deflated) > SLICE_IN:
        return None
    member = _new_member()
    try:
        body = member.decompress(deflated, SLICE_OUT)
    except _BROKEN:
        return None
    is_whole = member.eof and not member.unused_data and len(body) <= limit
    return body if is_whole else None


class Inflation:
    """Inflates `deflated`, up to `limit` octets.

    A second member, an empty one and a thousand of them are all read. Anything else
    behind a member, zeros included, makes the body unreadable. Once refused, it is
    refused again.
    """

    def __init__(self, deflated: bytes, limit: int) -> None:
        self._left = memoryview(deflated)
        self._behind = b""  # the last member, and given to it
        self._limit = limit
        self._member = _new_member()
        self._parts: list[bytes] = []
        self.size = 0
        self.is_complete = False

    def work(self) -> bool:
        """Inflate for a slice of time; True when `body` is complete."""
        end = time.perf_counter() + SLICE_OF_TIME
        while not self.step():
            if time.perf_counter() > end:
                return False
        return True

    def step(self) -> bool:
        """Do a slice of the work; True when `body` is complete."""
        if self.is_complete:
            return True
        self._insist_on_limit()
        member = self._member
        given: memoryview | bytes = b""
        starved = False
        if member.needs_input:
            given = self._behind or self._next_slice()
            self._behind = b""
            starved = not given
        try:
            piece = member.decompress(given, SLICE_OUT)
        except _BROKEN:
            raise unreadable() from None
        if piece:
            self.size += len(piece)
            self._insist_on_limit()
            self._parts.append(piece)
        if member.eof:
            self._end_member(member.unused_data)
        # zlib may hold back output of what it has taken in, so hunger alone is no end.
        elif starved and not piece:
            raise unreadable()
        return self.is_complete

    def _insist_on_limit(self) -> None:
        if self.size > self._limit:
            raise Refused(Reason.BODY_INFLATES_TOO_LARGE)

    def _next_slice(self) -> memoryview:
        given = self._left[:SLICE_IN]
        self._left = self._left[SLICE_IN:]
        return given

    def _end_member(self, behind: bytes) -> None:
        """Begin the next one, if anything is behind it."""
        self._behind = behind
        if behind or self._left:
            self._member = _new_member()
        else:
            self.is_complete = True

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)
