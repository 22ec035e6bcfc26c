"""/v1/sources/{id}/oauth-app and …/enforcement: whether a source insists on OAuth."""

import msgspec
from aiohttp import web

from app_registry.domain.commands import ConnectApp, DisconnectApp, SetEnforcement
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.resources import answer, gone, source_resource
from tollgate.events.registry import Enforcement
from tollgate.http.bodies import read_json
from tollgate.http.etags import read_if_match
from tollgate.http.queries import read_query

routes = web.RouteTableDef()


class ConnectBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    app_id: str


class EnforcementBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Enforcement


@routes.put("/v1/sources/{source_id}/oauth-app")
async def connect_app(request: web.Request) -> web.Response:
    """Connecting the same app again changes nothing."""
    read_query(request)
    body = await read_json(request, ConnectBody)
    command = ConnectApp(
        source_id=request.match_info["source_id"],
        app_id=body.app_id,
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    actor = access_of(request).actor
    return answer(outcome, source_resource(outcome.entity, seen_by=actor))


@routes.delete("/v1/sources/{source_id}/oauth-app")
async def disconnect_app(request: web.Request) -> web.Response:
    """Enforcement must be off; disconnecting what is not connected changes nothing."""
    read_query(request)
    command = DisconnectApp(
        source_id=request.match_info["source_id"], if_version=read_if_match(request)
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))


@routes.put("/v1/sources/{source_id}/enforcement")
async def set_enforcement(request: web.Request) -> web.Response:
    read_query(request)
    body = await read_json(request, EnforcementBody)
    command = SetEnforcement(
        source_id=request.match_info["source_id"],
        mode=body.mode,
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    actor = access_of(request).actor
    return answer(outcome, source_resource(outcome.entity, seen_by=actor))
