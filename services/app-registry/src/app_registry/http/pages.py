"""Pages of things in the order in which they were made."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from aiohttp import web

from app_registry.listings import Place
from tollgate.http.bodies import json_response
from tollgate.http.pagination import Page, encode_cursor, read_cursor, read_limit
from tollgate.http.queries import read_query

T = TypeVar("T")


def page_of(
    request: web.Request,
    places_after: Callable[[int], Iterator[Place]],
    resource_of: Callable[[str], T],
) -> web.Response:
    """One page of what `places_after` finds after the position in the cursor."""
    query = read_query(request, "limit", "cursor")
    limit = read_limit(query)
    places = list(islice(places_after(_position(query)), limit + 1))
    more = len(places) > limit
    return json_response(
        Page(
            [resource_of(item_id) for _, item_id in places[:limit]],
            encode_cursor(places[limit - 1][0]) if more else None,
        )
    )


def _position(query: Mapping[str, str]) -> int:
    return read_cursor(query, int) or 0
