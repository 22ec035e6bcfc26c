"""base64url without padding (RFC 7515 §2), in its one canonical spelling.

The octets of a JSON string in base64 (RFC 4648 §4) are what msgspec reads and writes,
three times as fast as `binascii` does when it is strict.
"""

from collections.abc import Sequence

import msgspec


class NotBase64Url(ValueError):
    """Padding, whitespace, bits beyond the last octet, or another alphabet."""


def encode(octets: bytes) -> str:
    return encode_to_bytes(octets).decode()


def encode_to_bytes(octets: bytes) -> bytes:
    """As `encode`, for what goes into bytes anyway."""
    return _write(octets).translate(_TO_URL, b'"=')


def decode(text: str) -> bytes:
    """The octets whose only encoding is `text`, or `NotBase64Url`."""
    return decode_translated(text.encode("ascii", "replace").translate(TRANSLATION))


def decode_translated(segment: bytes) -> bytes:
    """As `decode`, of text that went through `TRANSLATION`: one pass for many parts."""
    match len(segment) % 4:
        case 0:
            padded = b'"%b"' % segment
        case 2 if segment[-1] in _LAST_OF_TWO:
            padded = b'"%b=="' % segment
        case 3 if segment[-1] in _LAST_OF_THREE:
            padded = b'"%b="' % segment
        case _:
            raise NotBase64Url("not canonical base64url")
    try:
        return _read(padded)
    except msgspec.DecodeError:
        raise NotBase64Url("not canonical base64url") from None


def decode_each(segments: Sequence[bytes]) -> list[bytes] | None:
    """As `decode` of each, in one pass; None if one is not as long as the first, or
    none that it reads. They are not empty."""
    size, many = len(segments[0]), len(segments)
    text = b".".join(segments).translate(TRANSLATION)
    if (
        size % 4 == 1
        or [*map(len, segments)].count(size) < many
        or text.count(b".") >= many
        # The last octet of each: every so many there is one.
        or text[size - 1 :: size + 1].translate(None, _LAST[size % 4])
    ):
        return None
    padding = (-size % 4) * b"="
    try:
        return _read_each(b'["%b%b"]' % (text.replace(b".", padding + b'","'), padding))
    except msgspec.DecodeError:
        return None


_read = msgspec.json.Decoder(bytes).decode
_read_each = msgspec.json.Decoder(list[bytes]).decode
_write = msgspec.json.Encoder().encode
_TO_URL = bytes.maketrans(b"+/", b"-_")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LAST_OF_TWO = _ALPHABET[::16]  # four bits are left over, and must be zero
_LAST_OF_THREE = _ALPHABET[::4]  # two bits are left over
_LAST = {0: _ALPHABET, 2: _LAST_OF_TWO, 3: _LAST_OF_THREE}

TRANSLATION = bytes(
    {ord("-"): ord("+"), ord("_"): ord("/"), ord("."): ord(".")}.get(octet)
    or (octet if octet in _ALPHABET[:62] else ord("!"))
    for octet in range(256)
)
"""base64url to base64, dots as they are; all the rest becomes "!", which is neither.

All the rest is padding, too, and the two characters of plain base64, and whatever
would mean something in a JSON string.
"""
