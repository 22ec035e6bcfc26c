"""Entity tags made of versions, and `If-Match` (RFC 9110 §8.8.3, §13.1.1)."""

import re

from aiohttp import web

from tollgate.http.queries import refused

_TAG = re.compile(r'"([1-9][0-9]{0,15})"', re.ASCII).fullmatch
_ANY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"').fullmatch

NO_VERSION = -1
"""What a tag stands for that is not one of ours: the version of nothing."""


def etag_of(version: int) -> str:
    return f'"{version}"'


def read_if_match(request: web.Request) -> int | None:
    """The version that the client has seen; None if it does not mind which it is.

    A weak tag, or one that was not made here, matches nothing.
    """
    fields = request.headers.getall("If-Match", [])
    if not fields or fields == ["*"]:
        return None
    if len(fields) > 1 or not _ANY_TAG(fields[0]):
        raise refused("If-Match takes one entity tag, as ETag gave it, or *")
    ours = _TAG(fields[0])
    return int(ours[1]) if ours else NO_VERSION
