"""/v1/oauth-apps/{id}/keys: with which an app signs its assertions."""

import msgspec
from aiohttp import web

from app_registry.domain.authorization import require
from app_registry.domain.commands import AddKey, DeleteKey, NewKey
from app_registry.domain.evidence import Evidence
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.resources import answer, gone, key_resource
from tollgate.http.bodies import json_response, read_json
from tollgate.http.etags import etag_of, read_if_match
from tollgate.http.pagination import Page
from tollgate.http.queries import read_flag, read_query
from tollgate.oauth.algorithms import UnfitAlgorithm, parse_algorithm
from tollgate.oauth.public_keys import InvalidPublicKey, parse_public_key
from tollgate.registry.roles import Action

routes = web.RouteTableDef()


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `alg` the key is for RS256, ES256, ES384 or EdDSA, by its kind."""

    name: str
    pem: str
    alg: str | None = None


def new_key(body: KeyBody) -> NewKey:
    """The key that was pasted, checked; a private one is neither kept nor logged."""
    try:
        alg = None if body.alg is None else parse_algorithm(body.alg)
    except UnfitAlgorithm as error:
        raise InvalidPublicKey(str(error)) from None
    key = parse_public_key(body.pem, alg)
    return NewKey(kid=key.kid, name=body.name, alg=key.alg, pem=key.pem)


@routes.get("/v1/oauth-apps/{app_id}/keys")
async def list_keys(request: web.Request) -> web.Response:
    read_query(request)
    access = access_of(request)
    require(access.actor, Action.VIEW_APPS)
    app = Evidence(access.directory.state).app_of(
        access.workspace_id, request.match_info["app_id"]
    )
    return json_response(
        Page([key_resource(key) for key in app.keys.values()], None),
        headers={"ETag": etag_of(app.version)},
    )


@routes.post("/v1/oauth-apps/{app_id}/keys")
async def add_key(request: web.Request) -> web.Response:
    """The second key is for replacing the first without a pause."""
    read_query(request)
    body = await read_json(request, KeyBody)
    key = new_key(body)
    command = AddKey(
        app_id=request.match_info["app_id"],
        key=key,
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    added = outcome.entity.keys[key.kid]
    return answer(outcome, key_resource(added), status=201)


@routes.delete("/v1/oauth-apps/{app_id}/keys/{kid}")
async def delete_key(request: web.Request) -> web.Response:
    """The tokens minted with the key end with it, unless `keep_tokens=true`."""
    query = read_query(request, "keep_tokens")
    command = DeleteKey(
        app_id=request.match_info["app_id"],
        kid=request.match_info["kid"],
        keep_tokens=read_flag(query, "keep_tokens"),
        if_version=read_if_match(request),
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))
