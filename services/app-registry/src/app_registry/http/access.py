"""Nothing of the admin API is answered to somebody unknown."""

from aiohttp import web
from aiohttp.typedefs import Handler

from app_registry.http.collaborators import authenticator, keep_access

OPEN_ROUTES = frozenset({"livez", "readyz", "metrics", "feed", "revocations"})
"""Names of routes that ask for no access token of the admin API.

The feed has credentials of its own, and of a revocation the token-issuer judges.
"""


@web.middleware
async def authenticate_requests(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Let in who can prove who they are, before anything of the request is read."""
    route = request.match_info.route
    if request.match_info.http_exception is None and route.name not in OPEN_ROUTES:
        access = await request.app[authenticator].authenticate(
            request.headers.getall("Authorization", [])
        )
        keep_access(request, access)
    return await handler(request)


@web.middleware
async def forbid_caching(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers hold write keys, and are another's business in a shared cache."""
    response = await handler(request)
    if not response.prepared:
        response.headers.setdefault("Cache-Control", "no-store")
    return response
