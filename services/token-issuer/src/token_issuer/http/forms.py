"""What the three endpoints that take a form have in common.

Arrival is noted first, failures are counted per address, trouble is waited out for a
while, and whatever comes of it is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec
import structlog
from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING
from aiohttp.typedefs import Handler

from token_issuer.callers import Caller
from token_issuer.http.callers import caller_of, household_of
from token_issuer.http.collaborators import (
    clock,
    failures,
    metrics,
    patience,
    trusted_proxies,
)
from token_issuer.http.oauth_responses import RequestTimedOut, json_response
from token_issuer.limits import RateLimit
from tollgate.errors import Unavailable
from tollgate.http.request_ids import Headers
from tollgate.http.server import RECORDED
from tollgate.oauth.client_assertion import read_assertion
from tollgate.oauth.errors import (
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
    TooManyRequests,
    UnsupportedMediaType,
)
from tollgate.oauth.forms import parse_form

logger = structlog.get_logger(__name__)

BODY_TIMEOUT = 10.0
"""Seconds for a body to arrive."""


class FormRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`arrived_at` is the moment by which the times of an assertion are judged, however
    long the answer takes, in seconds since the epoch; `authorization` holds the fields
    of that name, all of them.
    """

    application: web.Application
    form: Mapping[str, str]
    caller: Caller
    arrived_at: float
    authorization: tuple[str, ...]


FormHandler: TypeAlias = Callable[[FormRequest], Awaitable[Any]]
"""Answers with a Struct, or raises."""

FAILED = web.RequestKey("failed", Exception)
"""What came of a request in front of the application, which is to say so."""

FORM = web.RequestKey("form", Mapping[str, str])
BODY = web.RequestKey("body", bytes)
"""What was read of it already."""


def form_endpoint(name: str, handler: FormHandler, *, records: bool = False) -> Handler:
    """`handler` behind the limits; `name` is for the metrics.

    `records` says that whatever it answers with is in an event log.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        count = request.app[metrics].count_request
        try:
            response = json_response(await _answer_or_failure(request, handler))
        except OAuthError as error:
            if not isinstance(error, TemporarilyUnavailable):
                _note(error, name, request)
            count(name, error.error)
            raise
        except Unavailable as trouble:
            count(name, TemporarilyUnavailable.error)
            logger.warning("request not answered", endpoint=name, reason=str(trouble))
            raise
        count(name, "ok")
        if records:
            response[RECORDED] = True
        return response

    return answer


async def _answer_or_failure(request: web.Request, handler: FormHandler) -> Any:  # noqa: ANN401 - a Struct
    failed = request.get(FAILED)
    if failed is not None:
        raise failed
    return await _answer(request, handler)


async def _answer(request: web.Request, handler: FormHandler) -> Any:  # noqa: ANN401 - a Struct
    application, headers = request.app, request.headers
    arrived_at = application[clock].seconds()
    caller = admit(request, application)
    form = request[FORM] = parse_form(
        await _body_of(request), headers.get("Content-Type")
    )
    with application[patience].hold():
        return await handler(
            FormRequest(
                application=application,
                form=form,
                caller=caller,
                arrived_at=arrived_at,
                authorization=tuple(headers.getall("Authorization", ())),
            )
        )


def admit(request: web.Request, application: web.Application) -> Caller:
    """Who sent the request, or `TooManyRequests` for all the failures before it."""
    caller = caller_of(request, application[trusted_proxies])
    require_few_failures(caller.address, application[failures])
    return caller


def require_few_failures(address: str, failed: RateLimit) -> None:
    """`TooManyRequests` for all the failures of `address` before."""
    wait = failed.wait_for(household_of(address))
    if wait is not None:
        raise TooManyRequests("too many failures from this address", retry_after=wait)


def _note(refusal: OAuthError, endpoint: str, request: web.Request) -> None:
    """Count a failure for its address, and log it."""
    caller = caller_of(request, request.app[trusted_proxies])
    request.app[failures].count(household_of(caller.address))
    logger.info(
        "request refused",
        endpoint=endpoint,
        error=refusal.error,
        reason=refusal.description,
        claimed_client_id=_claimed_client_id(request.get(FORM, {})),
        client_address=caller.address,
    )


def _claimed_client_id(form: Mapping[str, str]) -> str | None:
    """Whom the request says it is from: nobody need have vouched for it."""
    try:
        return read_assertion(form).client_id
    except OAuthError:
        return None


async def _body_of(request: web.Request) -> bytes:
    """All of it, or what is to be said of a body that cannot be had."""
    require_no_coding(request.headers)
    if BODY in request:
        return request[BODY]
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        raise RequestTimedOut("the request did not arrive in time") from None
    except web.RequestPayloadError:
        raise InvalidRequest("the body is malformed") from None


def require_no_coding(headers: Headers) -> None:
    """`UnsupportedMediaType` for a body that would have to be decoded first."""
    if headers.get(CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("send the form without a content coding")
