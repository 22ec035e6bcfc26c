"""/v1/workspace and /v1/source-types: what everybody here may know."""

from aiohttp import web

from app_registry.domain.authorization import require
from app_registry.http.collaborators import access_of, source_types
from app_registry.http.resources import SourceTypeResource, WorkspaceResource
from tollgate.http.bodies import json_response
from tollgate.http.pagination import Page
from tollgate.http.queries import read_query
from tollgate.registry.roles import Action

routes = web.RouteTableDef()


@routes.get("/v1/workspace")
async def show_workspace(request: web.Request) -> web.Response:
    """The workspace that the access token belongs to."""
    read_query(request)
    access = access_of(request)
    require(access.actor, Action.VIEW_WORKSPACE)
    workspace = access.directory.state.workspaces[access.workspace_id]
    return json_response(WorkspaceResource(id=workspace.id, name=workspace.name))


@routes.get("/v1/source-types")
async def list_source_types(request: web.Request) -> web.Response:
    """The catalog, and where OAuth can be had in this deployment."""
    read_query(request)
    types = [
        SourceTypeResource(
            type=known.slug, name=known.name, kind=known.kind, oauth=known.oauth
        )
        for known in request.app[source_types].values()
    ]
    return json_response(Page(types, None))
