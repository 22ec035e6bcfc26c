"""The write key at the end of a body, without reading what stands in front of it.

Enough for a refusal, and for nothing else: a body may name other keys as well, or be no
JSON at all. Then it is refused too, for one reason or another (ADR 28).
"""

import re

from enforcement_gateway import pieces

MAX_TAIL = 512
"""Octets in which it is looked for."""

MAX_KNOWN = 4096
MAX_KNOWN_LENGTH = 192  # enough for a key that the registry gives and takes

_NAME = b'"writeKey"'
_TAIL = re.compile(
    # Strings without an escape, so that each quote begins or ends one.
    rb'"writeKey"[ \t\r\n]*:[ \t\r\n]*"([ !#-\[\]-~]*)"'
    rb'((?:[ \t\r\n]*,[ \t\r\n]*"[^"\\]*"[ \t\r\n]*:[ \t\r\n]*"[^"\\]*")*)'
    rb"[ \t\r\n]*\}[ \t\r\n]*\Z"
).match
_BACKSLASH = ord("\\")
_known: dict[bytes, str] = {}
"""Ends of bodies that were read before, where nothing but the key is in them."""

_last_end = b""
"""The one of them that came last, with the octet before it: it mostly comes again."""
_last_key = ""


def last_write_key(octets: bytes, at: int = 0) -> str | None:
    """The key that a body names if it is JSON at all; None if that is not plain to see.

    It begins `at` in these octets; what stands in front of it is nothing to this.

    It is taken from the last members of the outermost object, which end with the body.
    Read backwards from there, each quote ends a string or begins one, and no text in
    a string looks the same. What is more than `MAX_TAIL` octets from the end is not
    looked at, so that anything may stand in front of a body longer than that.
    """
    global _last_end, _last_key
    if _last_end and octets.endswith(_last_end, at):
        return _last_key
    start = octets.rfind(_NAME, max(at, len(octets) - MAX_TAIL))
    if start <= at or octets[start - 1] == _BACKSLASH:
        return None
    tail = octets[start:]
    known = _known.get(tail)
    if known is None:
        return _read(tail)
    _last_end, _last_key = octets[start - 1 :], known
    return known


def last_write_keys(
    requests: tuple[bytes, ...], starts: tuple[int, ...]
) -> list[str | None]:
    """That of each, whose body begins at its start: mostly all of them end alike."""
    if pieces.all_end(requests, _last_end, starts):
        return [_last_key] * len(requests)
    return [*map(last_write_key, requests, starts)]


def _read(tail: bytes) -> str | None:
    """The key that such an end of a body names."""
    read = _TAIL(tail)
    if read is None:
        return None
    key = read[1].decode("ascii")
    if not read[2] and len(tail) <= MAX_KNOWN_LENGTH:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[tail] = key
    return key
