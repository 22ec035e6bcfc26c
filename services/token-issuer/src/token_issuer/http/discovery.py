"""What clients and verifiers can learn by themselves: RFC 8414, RFC 7517."""

from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from token_issuer.http.collaborators import clock, knowledge, metadata
from token_issuer.key_life import published_keys
from token_issuer.metadata import Metadata
from tollgate.oauth.jwks import JwkSet, jwk_set_of
from tollgate.oauth.public_keys import recorded_public_key

WELL_KNOWN = "/.well-known/oauth-authorization-server"

CACHED = {"Cache-Control": "public, max-age=60"}
"""Far less than a key is announced before it signs."""


def metadata_path(issuer: str) -> str:
    """RFC 8414 §3: the well-known part stands before the path of the issuer."""
    return WELL_KNOWN + urlsplit(issuer).path


async def authorization_server(request: web.Request) -> web.Response:
    return _cached(request.app[metadata])


async def jwks(request: web.Request) -> web.Response:
    """The keys of this issuer that a token may have been signed with, or soon will."""
    known = request.app[knowledge]
    keys = published_keys(known.tokens.signing_keys, request.app[clock].now())
    known.require_fresh()
    return _cached(jwk_set_of(recorded_public_key(key.pem, key.alg) for key in keys))


def _cached(body: Metadata | JwkSet) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers=CACHED,
    )
