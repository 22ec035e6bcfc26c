"""Scope strings and sets (RFC 6749 §3.3), and the door that each scope opens."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from tollgate.oauth.errors import InvalidScope

_SCOPE = re.compile(
    r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*"
).fullmatch


class Scope(StrEnum):
    """What an app may be granted. Each scope is the key of one door."""

    TRACKING_API_WRITE = "tracking_api:write"
    FUNCTIONS_WRITE = "functions:write"
    PUBLIC_API_READ_WRITE = "public_api:read_write"


_SCOPES = frozenset(Scope)

DEFAULT_AUDIENCES: Mapping[Scope, str] = MappingProxyType(
    {
        Scope.TRACKING_API_WRITE: "urn:tollgate:tracking-api",
        Scope.FUNCTIONS_WRITE: "urn:tollgate:functions",
        Scope.PUBLIC_API_READ_WRITE: "urn:tollgate:public-api",
    }
)
"""The door of each scope: the identifier that stands in `aud` (RFC 9068 §3)."""


@lru_cache(maxsize=256)
def parse_scope(text: str) -> frozenset[str]:
    """The scope tokens of a `scope` parameter or claim; their order means nothing."""
    if not _SCOPE(text):
        raise InvalidScope("the scope is malformed")
    return frozenset(text.split(" "))


def format_scope(scopes: Iterable[str]) -> str:
    """The `scope` string of a set: always the same text for the same set."""
    return " ".join(sorted(scopes))


def audiences_of(
    scopes: Iterable[str], audiences: Mapping[Scope, str] = DEFAULT_AUDIENCES
) -> tuple[str, ...]:
    """The `aud` of a token with these scopes: each door named once, in fixed order.

    Raises `InvalidScope` for a scope that opens no door.
    """
    granted = frozenset(scopes)
    if not granted <= _SCOPES:
        raise InvalidScope("the scope is unknown")
    return tuple(
        dict.fromkeys(
            audience for scope, audience in audiences.items() if scope in granted
        )
    )
