"""/v1/oauth-apps: who may get access tokens, and for what."""

import msgspec
from aiohttp import web

from app_registry.domain.authorization import require
from app_registry.domain.commands import CreateApp, DeleteApp, EditApp
from app_registry.domain.errors import UnknownTokenLifetime
from app_registry.domain.evidence import Evidence
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.keys import KeyBody, new_key
from app_registry.http.pages import page_of
from app_registry.http.resources import LIFETIMES, answer, app_resource, gone
from tollgate.http.bodies import json_response, read_json
from tollgate.http.etags import etag_of, read_if_match
from tollgate.http.queries import read_query
from tollgate.ids import new_id
from tollgate.registry.roles import Action

routes = web.RouteTableDef()


class CreateAppBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    public_key: KeyBody
    token_lifetime: str
    scopes: frozenset[str]


class EditAppBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is not given stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    token_lifetime: str | msgspec.UnsetType = msgspec.UNSET
    scopes: frozenset[str] | msgspec.UnsetType = msgspec.UNSET


@routes.get("/v1/oauth-apps")
async def list_apps(request: web.Request) -> web.Response:
    access = access_of(request)
    require(access.actor, Action.VIEW_APPS)
    apps = access.directory.state.apps
    return page_of(
        request,
        access.directory.listings[access.workspace_id].apps.after,
        lambda app_id: app_resource(apps[app_id]),
    )


@routes.post("/v1/oauth-apps")
async def create_app(request: web.Request) -> web.Response:
    """An app begins with one key. Its id is its `client_id`."""
    read_query(request)
    body = await read_json(request, CreateAppBody)
    command = CreateApp(
        app_id=new_id("app"),
        name=body.name,
        key=new_key(body.public_key),
        token_lifetime=_seconds_of(body.token_lifetime),
        scopes=body.scopes,
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    return answer(
        outcome,
        app_resource(outcome.entity),
        status=201,
        location=f"/v1/oauth-apps/{outcome.entity.id}",
    )


@routes.get("/v1/oauth-apps/{app_id}")
async def show_app(request: web.Request) -> web.Response:
    read_query(request)
    access = access_of(request)
    require(access.actor, Action.VIEW_APPS)
    app = Evidence(access.directory.state).app_of(
        access.workspace_id, request.match_info["app_id"]
    )
    return json_response(app_resource(app), headers={"ETag": etag_of(app.version)})


@routes.patch("/v1/oauth-apps/{app_id}")
async def edit_app(request: web.Request) -> web.Response:
    """A changed lifetime touches no live token; a scope taken away is gone at once."""
    read_query(request)
    body = await read_json(request, EditAppBody)
    lifetime = body.token_lifetime
    command = EditApp(
        app_id=request.match_info["app_id"],
        name=None if body.name is msgspec.UNSET else body.name,
        token_lifetime=None if lifetime is msgspec.UNSET else _seconds_of(lifetime),
        scopes=None if body.scopes is msgspec.UNSET else body.scopes,
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    return answer(outcome, app_resource(outcome.entity))


@routes.delete("/v1/oauth-apps/{app_id}")
async def delete_app(request: web.Request) -> web.Response:
    """Its tokens end with it. `confirm_name` is its name again."""
    query = read_query(request, "confirm_name")
    command = DeleteApp(
        app_id=request.match_info["app_id"],
        confirm_name=query.get("confirm_name", ""),
        if_version=read_if_match(request),
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))


def _seconds_of(lifetime: str) -> int:
    seconds = LIFETIMES.get(lifetime)
    if seconds is None:
        raise UnknownTokenLifetime(f"a token lives {', '.join(LIFETIMES)}")
    return seconds
