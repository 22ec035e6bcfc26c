"""What the handlers reach for, declared once."""

from collections.abc import Mapping, Sequence

from aiohttp import ClientSession, web

from app_registry.audit import Audit
from app_registry.authentication import Access, Authenticator
from app_registry.handling import Asking, CommandHandler, Idempotency
from tollgate.http.addresses import Network, client_address
from tollgate.http.idempotency import digest_of, read_idempotency_key
from tollgate.http.request_ids import request_id_of
from tollgate.registry.source_types import SourceType

registry = web.AppKey("registry", CommandHandler)
authenticator = web.AppKey("authenticator", Authenticator)
source_types = web.AppKey("source_types", Mapping[str, SourceType])
audit = web.AppKey("audit", Audit)
session = web.AppKey("session", ClientSession)
token_issuer_url = web.AppKey("token_issuer_url", str)
trusted_proxies = web.AppKey("trusted_proxies", Sequence[Network])

_ACCESS = web.RequestKey("access", Access)


def access_of(request: web.Request) -> Access:
    """Who asks. Only for routes behind `authenticate_requests`."""
    return request[_ACCESS]


def keep_access(request: web.Request, access: Access) -> None:
    request[_ACCESS] = access


async def asking_of(request: web.Request) -> Asking:
    """Who commands, and under which idempotency key."""
    key = read_idempotency_key(request)
    idempotency = None
    if key is not None:
        idempotency = Idempotency(key, digest_of(request, await request.read()))
    return Asking(
        caller=access_of(request).caller,
        request_id=request_id_of(request),
        client_address=address_of(request),
        idempotency=idempotency,
    )


def address_of(request: web.Request) -> str:
    return client_address(
        request.remote,
        request.headers.getall("X-Forwarded-For", []),
        request.app[trusted_proxies],
    )
