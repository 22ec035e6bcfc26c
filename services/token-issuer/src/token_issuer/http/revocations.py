"""POST /v1/oauth-apps/{app_id}/revocations: end tokens of an app, as administrator."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from token_issuer.administration import Idempotency, Revoke
from token_issuer.http.callers import caller_of
from token_issuer.http.collaborators import (
    administration,
    metrics,
    patience,
    trusted_proxies,
)
from tollgate.http.bodies import decode_json, json_response, read_json_bytes
from tollgate.http.idempotency import digest_of, read_idempotency_key
from tollgate.http.problems import INVALID_BODY, RequestRefused
from tollgate.http.queries import read_query

PATH = "/v1/oauth-apps/{app_id}/revocations"


class RevocationRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Exactly one member: a whole token, all tokens of the app, all that were minted
    with a key, or all that were issued before a moment."""

    token: Annotated[str, Meta(min_length=1, max_length=8192)] | UnsetType = UNSET
    all: Literal[True] | UnsetType = UNSET
    kid: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    issued_before: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET

    def to_command(self) -> Revoke:
        given = {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not UNSET
        }
        if len(given) != 1:
            raise RequestRefused(
                INVALID_BODY, "give one of token, all, kid and issued_before"
            )
        return Revoke(**given)


class RevocationResource(msgspec.Struct, frozen=True, kw_only=True):
    """`position` in the tokens log, null if nothing was left to revoke: a gateway that
    has applied it refuses the tokens."""

    app_id: str
    position: int | None


async def revoke_tokens(request: web.Request) -> web.Response:
    """201 when the revocation is in the log, 200 if nothing was left to revoke."""
    fields = request.headers.getall("Authorization", [])
    with request.app[patience].hold():
        actor = await request.app[administration].authenticate(fields)
        read_query(request)
        body = await read_json_bytes(request)
        wanted = decode_json(body, RevocationRequest).to_command()
        revoked = await request.app[administration].revoke(
            request.match_info["app_id"],
            wanted,
            actor=actor,
            caller=caller_of(request, request.app[trusted_proxies]),
            idempotency=_idempotency_of(request, body),
        )
    resource = RevocationResource(app_id=revoked.app_id, position=revoked.position)
    if revoked.position is None:
        return json_response(resource)
    if revoked.replayed:
        return json_response(
            resource, status=201, headers={"Idempotency-Replayed": "true"}
        )
    request.app[metrics].revocations.labels(_kind_of(wanted)).inc()
    return json_response(resource, status=201)


def _idempotency_of(request: web.Request, body: bytes) -> Idempotency | None:
    key = read_idempotency_key(request)
    return None if key is None else Idempotency(key, digest_of(request, body))


def _kind_of(wanted: Revoke) -> str:
    if wanted.token is not None:
        return "token"
    if wanted.kid is not None:
        return "kid"
    return "all" if wanted.all else "issued_before"
