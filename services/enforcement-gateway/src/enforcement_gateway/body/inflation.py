"""gzip, all members, a slice at a time (RFC 1952).

One zlib object stops after the first member, and what reads on would see a body that
we never looked at. Work is done in slices so that a large body shares the event loop.
"""

from typing import cast

from zlib_ng import zlib_ng

from enforcement_gateway.body.write_keys import unreadable
from enforcement_gateway.domain.denials import Reason, Refused

SLICE_IN = 16 * 1024
"""Octets taken in by a step: blocks of nothing but tables take 2 ms of time."""

SLICE_OUT = 128 * 1024

_GZIP_ONLY = 16 + zlib_ng.MAX_WBITS
_BROKEN = cast("type[Exception]", zlib_ng.error)  # its stub has it for an instance


class Inflation:
    """Inflates `deflated`, up to `limit` octets.

    A second member, an empty one and a thousand of them are all read. Anything else
    behind a member, zeros included, makes the body unreadable.
    """

    def __init__(self, deflated: bytes, limit: int) -> None:
        self._left = memoryview(deflated)
        self._limit = limit
        self._member = zlib_ng.decompressobj(_GZIP_ONLY)
        self._tail = b""
        self._parts: list[bytes] = []
        self.size = 0

    def step(self) -> bool:
        """Do a slice of the work; True when `body` is complete."""
        if not self._tail:
            self._tail = bytes(self._left[:SLICE_IN])
            self._left = self._left[SLICE_IN:]
        if self._member.eof:
            if not self._tail:
                return True
            self._member = zlib_ng.decompressobj(_GZIP_ONLY)
        starved = not self._tail
        member = self._member
        try:
            piece = member.decompress(self._tail, SLICE_OUT)
        except _BROKEN:
            raise unreadable() from None
        # At the end of a member `unconsumed_tail` may repeat what is in `unused_data`.
        self._tail = member.unused_data if member.eof else member.unconsumed_tail
        # zlib may hold back output of what it has taken in, so hunger alone is no end.
        if starved and not piece and not member.eof:
            raise unreadable()
        if piece:
            self.size += len(piece)
            if self.size > self._limit:
                raise Refused(Reason.BODY_INFLATES_TOO_LARGE)
            self._parts.append(piece)
        return False

    @property
    def body(self) -> bytes:
        return b"".join(self._parts)
