"""The bearer token of a request, or why there is none (RFC 6750 §2.1)."""

import re
from collections.abc import Sequence
from enum import Enum

_CREDENTIALS = re.compile(
    r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE | re.ASCII
).fullmatch
_SCHEME = re.compile(r"[^ \t,]*")


class NoBearer(Enum):
    """Why a request has no bearer token. Only the first two may pass as anonymous."""

    ABSENT = "absent"
    OTHER_SCHEME = "other_scheme"
    MALFORMED = "malformed"
    REPEATED = "repeated"


def read_bearer(authorization: Sequence[str]) -> str | NoBearer:
    """The token in the Authorization fields of a request, all of them, as received.

    Two fields are refused even if one of them is of another scheme: whoever reads the
    request after us might choose the other one.
    """
    if not authorization:
        return NoBearer.ABSENT
    if len(authorization) > 1:
        return NoBearer.REPEATED
    field = authorization[0]
    credentials = _CREDENTIALS(field)
    if credentials is not None:
        return credentials[1]
    scheme = _SCHEME.match(field)
    if scheme is not None and scheme[0].lower() == "bearer":
        return NoBearer.MALFORMED
    return NoBearer.OTHER_SCHEME
