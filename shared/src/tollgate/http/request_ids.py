"""One name for a request, in the answer, in every line of the log and in its events."""

import re
from typing import TypeAlias

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import MultiMapping, istr

from tollgate.random_pool import random_octets

Headers: TypeAlias = MultiMapping[str]

HEADER = "X-Request-Id"
_HEADER = istr(HEADER)

_FIT = re.compile(r"[A-Za-z0-9._~+/=-]{1,64}", re.ASCII).fullmatch

_REQUEST_ID = web.RequestKey("request_id", str)


def request_id_of(request: web.Request) -> str:
    """The client's own name for the request if it can be used, else one of ours."""
    try:
        return request[_REQUEST_ID]
    except KeyError:
        return name_request(request)


def name_request(request: web.Request) -> str:
    """As `request_id_of`, for a request that nobody has asked for its name yet."""
    name = request[_REQUEST_ID] = name_in(request.headers)
    return name


def name_in(headers: Headers) -> str:
    """The name that a request with `headers` gets."""
    return name_given_in(headers) or new_name()


def name_given_in(headers: Headers) -> str | None:
    """The client's own, if it can be used."""
    given = headers.getall(_HEADER, ())
    return given[0] if len(given) == 1 and _FIT(given[0]) else None


def new_name() -> str:
    return random_octets(16).hex()


def was_named(request: web.BaseRequest) -> bool:
    """Whether it reached the application: what is no HTTP gets no name."""
    return _REQUEST_ID in request


@web.middleware
async def name_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: bind the id to the log and send it back.

    aiohttp runs each request in a task of its own, and what is bound ends with it.
    """
    request_id = name_request(request)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    response = await handler(request)
    if not response.prepared:
        response.headers[HEADER] = request_id
    return response
