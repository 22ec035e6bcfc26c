"""Answers of the OAuth endpoints (RFC 6749 §5): JSON that nobody stores.

Every refusal, the router's own among them, has both `error` and `error_description`:
Segment's Python SDK hangs for ever on a JSON object that lacks one of them.
"""

import math
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from tollgate.errors import Unavailable
from tollgate.oauth.errors import (
    InvalidClient,
    InvalidRequest,
    MethodNotAllowed,
    OAuthError,
    RequestTooLarge,
    ServerError,
    TemporarilyUnavailable,
)

_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
}
"""RFC 6749 §5.1, the last for HTTP/1.0."""

REALM = "tollgate"

logger = structlog.get_logger(__name__)


class NoSuchEndpoint(InvalidRequest):
    status = 404


class RequestTimedOut(InvalidRequest):
    status = 408


class Refused(InvalidRequest):
    """What the HTTP layer itself refuses, with the status that it chose."""

    def __init__(self, status: int) -> None:
        super().__init__("the request is malformed")
        self.status = status  # type: ignore[misc] # of this one, not of the class


def json_response(body: Any, *, status: int = 200) -> web.Response:  # noqa: ANN401 - a Struct
    """`body` as JSON, not to be stored."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        headers=_HEADERS,
    )


def refusal_response(error: OAuthError, request: web.Request) -> web.Response:
    """RFC 6749 §5.2, with the headers that the status asks for."""
    response = json_response(error.body, status=error.status)
    if isinstance(error, TemporarilyUnavailable):
        seconds = math.ceil(error.retry_after.total_seconds())
        response.headers["Retry-After"] = str(max(seconds, 1))
    if isinstance(error, InvalidClient):
        response.headers["WWW-Authenticate"] = _challenge(request)
    return response


@web.middleware
async def answer_errors_as_oauth(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Run `handler`, and answer whatever it raises in the shape of RFC 6749 §5.2."""
    try:
        return await handler(request)
    except OAuthError as error:
        return refusal_response(error, request)
    except Unavailable as trouble:
        refusal: OAuthError = TemporarilyUnavailable(
            str(trouble), retry_after=trouble.retry_after
        )
    except web.HTTPMethodNotAllowed as error:
        refusal = MethodNotAllowed("this method is not allowed here")
        response = refusal_response(refusal, request)
        response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.HTTPException as error:
        refusal = _refusal_of(error.status)
    except Exception:
        logger.exception("unhandled error", path=request.path)
        refusal = ServerError("the service failed")
    return refusal_response(refusal, request)


def _refusal_of(status: int) -> OAuthError:
    match status:
        case 404:
            return NoSuchEndpoint("there is no such endpoint")
        case 408:
            return RequestTimedOut("the request did not arrive in time")
        case 413:
            return RequestTooLarge("the body is too large")
        case _ if status < 500:  # noqa: PLR2004
            return Refused(status)
        case _:
            return ServerError("the service failed")


def _challenge(request: web.Request) -> str:
    """RFC 6749 §5.2: a client that tried the Authorization header learns so there."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    return f'{"Basic" if scheme == "basic" else "Bearer"} realm="{REALM}"'
