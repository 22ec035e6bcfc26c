"""Form bodies, read strictly where it matters (RFC 6749 §3.2 and Appendix B).

Segment's SDKs build the body by hand and leave colons and spaces as they are; both
are taken for themselves, as `+` and `%20` are for a space.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import permutations

from tollgate.oauth.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

MAX_LENGTH = 16_384
MAX_FIELDS = 64

PARAMETERS = frozenset(
    {
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "client_secret",
        "grant_type",
        "scope",
        "token",
        "token_type_hint",
    }
)
"""What an OAuth endpoint may look at. Of these, each may be sent once."""

FORM = "application/x-www-form-urlencoded"

_MEDIA_TYPE = re.compile(
    rf"{FORM}[ \t]*"
    r"(?:;[ \t]*charset=(?:utf-8|\"utf-8\")[ \t]*)?",
    re.IGNORECASE | re.ASCII,
).fullmatch
_PERCENT, _NUL = b"%\0"  # whether octets are in octets costs more to ask
_ESCAPES = re.compile(rb"%(?:[0-9A-Fa-f]{2})?")


def parse_form(body: bytes, content_type: str | None) -> Mapping[str, str]:
    """The known parameters in `body` that have a value, decoded.

    A parameter without a value counts as omitted, unknown ones are ignored. Raises
    `InvalidRequest` (or its 413, 415) without a word of what was sent.
    """
    if content_type != FORM and not (
        content_type and _MEDIA_TYPE(content_type.strip(" \t"))
    ):
        raise UnsupportedMediaType("send application/x-www-form-urlencoded")
    if len(body) > MAX_LENGTH:
        raise RequestTooLarge(f"the body may have {MAX_LENGTH} bytes at most")
    before, _, rest = body.partition(_ASSERTION)
    assertion, _, after = rest.partition(b"&")
    around = _AROUND.get((before, after)) if assertion else None
    if around is not None:
        return {**around, "client_assertion": _decode(assertion)}
    return _parse_fields(body)


def _parse_fields(body: bytes) -> Mapping[str, str]:
    fields = body.split(b"&")
    if len(fields) > MAX_FIELDS:
        raise InvalidRequest(f"the body may have {MAX_FIELDS} parameters at most")
    sent: dict[str, str] = {}
    for field in fields:
        known = _FAMILIAR.get(field) or _read(field)
        if known is None:
            continue
        parameter, value = known
        if parameter in sent:
            raise InvalidRequest(f"{parameter} is sent more than once")
        sent[parameter] = value
    if "" in sent.values():
        return {parameter: value for parameter, value in sent.items() if value}
    return sent


def _read(field: bytes) -> tuple[str, str] | None:
    """A parameter that we know, and its value; nothing if we do not."""
    name, _, value = field.partition(b"=")
    parameter = _PLAIN.get(name) or _decode(name)
    return (parameter, _decode(value)) if parameter in PARAMETERS else None


def _decode(text: bytes) -> str:
    octets = text.replace(b"+", b" ")
    if _PERCENT in octets:
        octets = _ESCAPES.sub(_octet, octets)
    if _NUL in octets:
        raise InvalidRequest("the body holds a NUL")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None


def _octet(escape: re.Match[bytes]) -> bytes:
    digits = escape[0][1:]
    if not digits:
        raise InvalidRequest("the body has a percent sign without two hex digits")
    return bytes.fromhex(digits.decode())


_PLAIN = {name.encode(): name for name in PARAMETERS}
"""Names as nearly everybody writes them."""

# What every SDK writes in every request, read once.
_FAMILIAR = {
    field: _read(field)
    for field in (
        b"grant_type=client_credentials",
        b"client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        b"scope=tracking_api:write",
    )
}


def _around_an_assertion() -> Iterator[tuple[bytes, bytes]]:
    """What SDKs write before and after it, in any order, the scope perhaps not."""
    *required, scope = _FAMILIAR
    for fields in (required, [*required, scope]):
        for ordered in permutations(fields):
            for place in range(1, len(fields) + 1):
                yield b"&".join(ordered[:place]), b"&".join(ordered[place:])


_ASSERTION = b"&client_assertion="
_AROUND = {
    (before, after): _parse_fields(b"&".join((before, after)))
    for before, after in _around_an_assertion()
}
"""Whoever writes these around an assertion has written nothing else."""
