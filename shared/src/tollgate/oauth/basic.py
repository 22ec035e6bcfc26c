"""Basic credentials (RFC 7617), in which tracking clients send their write key.

The write key is the user. Segment's own sample sends a line end for a password, others
send nothing, and some leave out the colon: the password is never looked at.
"""

import binascii
import re
from enum import Enum

_CREDENTIALS = re.compile(
    r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE | re.ASCII
).fullmatch


class NoBasic(Enum):
    """Why a field holds no Basic user."""

    OTHER_SCHEME = "other_scheme"
    MALFORMED = "malformed"


def read_basic_user(authorization: str) -> str | NoBasic:
    """The user of one Authorization field: printable ASCII, or it is malformed."""
    if authorization[:5].lower() != "basic":
        return NoBasic.OTHER_SCHEME
    credentials = _CREDENTIALS(authorization)
    if credentials is None:
        return NoBasic.MALFORMED
    encoded = credentials[1]
    try:
        octets = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return NoBasic.MALFORMED
    user = octets.partition(b":")[0].decode("ascii", "replace")
    if not user or not (user.isascii() and user.isprintable()):
        return NoBasic.MALFORMED
    return user
