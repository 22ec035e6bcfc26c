"""What a request shows: its access token, and the write keys beside the body."""

import binascii
from urllib.parse import unquote_to_bytes

import msgspec

from enforcement_gateway.body.write_keys import read_write_keys, unreadable
from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http.framing import Field
from tollgate.oauth.basic import NoBasic, read_basic_user
from tollgate.oauth.bearer import NoBearer, read_bearer

_FOLDED_KEY = "writekey"


class Authorization(msgspec.Struct, frozen=True):
    """The Authorization field, sorted.

    `token` is the bearer token, or why there is none to judge. `write_key` is the
    user of Basic. Nobody behind us gets to see a field that is `ours`.
    """

    token: bytes | Reason = Reason.TOKEN_MISSING
    write_key: str | None = None
    ours: bool = False


NONE = Authorization()


def read_authorization(field: Field | None) -> Authorization:
    """Sort the credential; Basic that can be read in two ways is `Refused`.

    A field of another scheme (Digest, DPoP) is nothing to us.
    """
    if field is None:
        return NONE
    text = field.value.decode("latin-1")
    bearer = read_bearer((text,))
    if isinstance(bearer, str):
        return Authorization(token=bearer.encode(), ours=True)
    if bearer is NoBearer.MALFORMED:
        return Authorization(token=Reason.CREDENTIALS_MALFORMED, ours=True)
    user = read_basic_user(text)
    if isinstance(user, str):
        return Authorization(write_key=user)
    if user is NoBasic.MALFORMED:
        raise Refused(Reason.CREDENTIALS_MALFORMED)
    return NONE


def _base64(text: bytes) -> bytes | None:
    """Decode base64 with or without its padding; None for anything loose."""
    bare = text.rstrip(b"=")
    try:
        return binascii.a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
    except binascii.Error:
        return None


class Query(msgspec.Struct, frozen=True):
    """What a query string says, as far as it concerns us.

    `carries_token`: RFC 6750 §2.3, which is not offered. `data` is the pixel's
    payload, `function` the pair of a source function, both still encoded.
    """

    write_key: str | None = None
    carries_token: bool = False
    data: bytes | None = None
    function: bytes | None = None


NO_QUERY = Query()


def read_query(query: bytes | None) -> Query:
    """Sort the query, or `Refused` where another reader might see another key.

    A name that folds to `writeKey` must be spelt so and stand once; so must `data`
    and `b`. Semicolons part the fields for some readers and not for others.
    """
    if not query:
        return NO_QUERY
    if b";" in query:
        raise unreadable()
    found: dict[str, bytes] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        spelt = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
        folded = spelt.translate(_DOTS).casefold()
        if folded in _QUERY_NAMES:
            if name.decode("ascii") != _QUERY_NAMES[folded] or folded in found:
                raise unreadable()
            found[folded] = value
    return Query(
        write_key=_plain(found[_FOLDED_KEY]) if _FOLDED_KEY in found else None,
        carries_token="access_token" in found,
        data=found.get("data"),
        function=found.get("b"),
    )


_DOTS = str.maketrans("\u0130\u0131", "ii")
"""The letters that fold to an i in Java, and to something else in Python."""

_QUERY_NAMES = {
    _FOLDED_KEY: "writeKey",
    "data": "data",
    "b": "b",
    "access_token": "access_token",
}


def _plain(value: bytes) -> str:
    """A write key out of a query. `+` is a space to some, so it is no key to us."""
    decoded = unquote_to_bytes(value)
    if b"+" in value or not decoded.isascii():
        raise unreadable()
    key = decoded.decode("ascii")
    if not key.isprintable():
        raise unreadable()
    return key


def _encoded(value: bytes) -> bytes:
    """The octets of base64 in a query, in the standard or the URL-safe alphabet."""
    if b"+" in value:
        raise unreadable()  # a space to those who read forms
    text = unquote_to_bytes(value)
    if (b"-" in text or b"_" in text) and (b"+" in text or b"/" in text):
        raise unreadable()
    decoded = _base64(text.replace(b"-", b"+").replace(b"_", b"/"))
    if decoded is None:
        raise unreadable()
    return decoded


def pixel_write_keys(data: bytes) -> tuple[str, ...]:
    """The keys in the `data` of a pixel: a JSON body in base64 (WIRE 5)."""
    return read_write_keys(_encoded(data))


def function_of(pair: bytes) -> tuple[str, str]:
    """The source and the write key in the `b` of a function's address (WIRE 5)."""
    try:
        source, separator, key = _encoded(pair).decode("ascii").partition("::")
    except UnicodeDecodeError:
        raise unreadable() from None
    if not separator or not key or not (source + key).isprintable():
        raise unreadable()
    return source, key
