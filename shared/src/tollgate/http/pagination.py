"""Pages of a list, by cursor: what was read does not move when something is deleted.

    GET /v1/things?limit=100&cursor=…
    {"data": [ … ], "next_cursor": "…"}

A cursor is opaque to the client. `next_cursor` is null on the last page.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from tollgate.http.queries import refused
from tollgate.oauth import base64url

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

T = TypeVar("T")

_LIMIT = re.compile(r"[0-9]{1,4}", re.ASCII).fullmatch


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page; more may follow where `next_cursor` leads."""

    data: Sequence[T]
    next_cursor: str | None


def read_limit(query: Mapping[str, str]) -> int:
    """How many are wanted at most."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not _LIMIT(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise refused(f"limit is a number from 1 to {MAX_LIMIT}")
    return int(text)


def encode_cursor(place: object) -> str:
    """Any value that msgspec can write, as one word."""
    return base64url.encode(msgspec.json.encode(place))


def read_cursor(query: Mapping[str, str], shape: type[T]) -> T | None:
    """Where the page before ended; None for the first page."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        return msgspec.json.decode(base64url.decode(text), type=shape)
    except (ValueError, msgspec.MsgspecError):
        raise refused("the cursor was not made here: begin without one") from None
