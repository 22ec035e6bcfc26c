"""Pages of a list, by cursor: what was read does not move when something is deleted.

    GET /v1/things?limit=100&cursor=…
    {"data": [ … ], "next_cursor": "…"}

A cursor is opaque to the client, and goes with the filter of the page that gave it: it
says where that page ended, which is nowhere in another list. `next_cursor` is null on
the last page.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from tollgate.http.queries import refused
from tollgate.oauth import base64url

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

T = TypeVar("T")

_PAGING = frozenset({"limit", "cursor"})
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


def encode_cursor(place: object, query: Mapping[str, str] | None = None) -> str:
    """Any value that msgspec can write, as one word, for pages of the same `query`."""
    cursor = (_filter_of(query or {}), place)
    return base64url.encode(msgspec.json.encode(cursor))


def read_cursor(query: Mapping[str, str], shape: type[T]) -> T | None:
    """Where the page before ended; None for the first page."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        filtered, place = msgspec.json.decode(
            base64url.decode(text), type=tuple[str, msgspec.Raw]
        )
        read = msgspec.json.decode(place, type=shape)
    except (ValueError, msgspec.MsgspecError):
        raise refused("the cursor was not made here: begin without one") from None
    if filtered != _filter_of(query):
        raise refused("the cursor is of another list: keep the filter, or begin anew")
    return read


def _filter_of(query: Mapping[str, str]) -> str:
    """What narrows the list, in short: all but where and how long a page is."""
    narrowing = sorted(
        (name, text) for name, text in query.items() if name not in _PAGING
    )
    return hashlib.sha256(msgspec.json.encode(narrowing)).hexdigest()[:16]
