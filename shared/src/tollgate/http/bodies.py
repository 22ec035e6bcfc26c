"""JSON bodies: typed in, typed out."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from tollgate.http.problems import (
    INVALID_BODY,
    MALFORMED_JSON,
    UNSUPPORTED_MEDIA_TYPE,
    RequestRefused,
)
from tollgate.strict_json import AmbiguousJson, decode_strictly

T = TypeVar("T")

JSON = "application/json"

_CHARSET = re.compile(r"utf-?8", re.ASCII | re.IGNORECASE).fullmatch
_UNKNOWN_FIELD = re.compile(r"unknown field `(.*)`(?= - at|$)", re.DOTALL)
_INVALID_VALUE = re.compile(
    r"^Invalid (enum )?value .*?(?= - at `[^`]*`$|$)", re.DOTALL
)
_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII).fullmatch


async def read_json(request: web.Request, shape: type[T]) -> T:
    """Decode the body as `shape`, or raise `RequestRefused` that says what is wrong.

    What the client sent is not repeated: it may be a secret in the wrong place.
    """
    return decode_json(await read_json_bytes(request), shape)


async def read_json_bytes(request: web.Request) -> bytes:
    """The body of a request that says it is JSON."""
    coding = request.headers.get("Content-Encoding", "identity")
    if request.content_type != JSON or coding.lower() != "identity":
        raise RequestRefused(
            UNSUPPORTED_MEDIA_TYPE, "send application/json", {"Accept": JSON}
        )
    if request.charset is not None and not _CHARSET(request.charset):
        raise RequestRefused(UNSUPPORTED_MEDIA_TYPE, "JSON is sent in UTF-8")
    return await request.read()


def decode_json(body: bytes, shape: type[T]) -> T:
    """See `read_json`."""
    try:
        return decode_strictly(body, msgspec.json.Decoder(shape))
    except AmbiguousJson as error:
        raise RequestRefused(MALFORMED_JSON, str(error)) from None
    except msgspec.ValidationError as error:
        raise RequestRefused(INVALID_BODY, _discreet(str(error))) from None


def json_response(
    body: Any,  # noqa: ANN401 - whatever msgspec can encode
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type=JSON,
        headers=headers,
    )


def _discreet(message: str) -> str:
    """The message of msgspec without what it quotes of the document."""

    def hidden(match: re.Match[str]) -> str:
        return match[0] if _SHOWABLE(match[1]) else "an unknown field"

    return _INVALID_VALUE.sub("Invalid value", _UNKNOWN_FIELD.sub(hidden, message))
