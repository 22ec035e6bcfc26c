"""/v1/oauth-apps/{id}/revocations: passed on to the token-issuer, which records them.

The issuer judges the caller's own credential, so a leaked token can be revoked there
while this service is down, and here while only its database is.
"""

import aiohttp
import structlog
from aiohttp import web
from yarl import URL

from app_registry.http.collaborators import address_of, session, token_issuer_url
from tollgate.errors import Unavailable
from tollgate.http.bodies import JSON, read_json_bytes
from tollgate.http.request_ids import HEADER as REQUEST_ID
from tollgate.http.request_ids import request_id_of

TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=2)

_PASSED_ON = ("Authorization", "Idempotency-Key", "If-Match")
_PASSED_BACK = (
    "Content-Type",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
)

routes = web.RouteTableDef()

logger = structlog.get_logger(__name__)


@routes.post("/v1/oauth-apps/{app_id}/revocations", name="revocations")
async def revoke(request: web.Request) -> web.Response:
    """What the token-issuer answers; 503 while it cannot be asked: nothing is sure."""
    body = await read_json_bytes(request)
    target = URL(
        request.app[token_issuer_url].rstrip("/") + str(request.rel_url), encoded=True
    )
    try:
        async with request.app[session].post(
            target,
            data=body,
            headers=_headers(request),
            timeout=TIMEOUT,
            allow_redirects=False,
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={
                    name: answer.headers[name]
                    for name in _PASSED_BACK
                    if name in answer.headers
                },
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        logger.warning("token-issuer not reached", reason=type(error).__name__)
        raise Unavailable(
            "the token-issuer cannot be asked: whether this was revoked is not known"
        ) from error


def _headers(request: web.Request) -> list[tuple[str, str]]:
    """The caller's credential and key, each field as often as it came."""
    passed_on = [
        (name, value)
        for name in _PASSED_ON
        for value in request.headers.getall(name, [])
    ]
    return [
        *passed_on,
        ("Content-Type", JSON),
        (REQUEST_ID, request_id_of(request)),
        ("X-Forwarded-For", address_of(request)),
    ]
