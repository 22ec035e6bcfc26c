"""/v1/members: who administers the workspace, and in which roles."""

import msgspec
from aiohttp import web

from app_registry.domain.authorization import require
from app_registry.domain.commands import AddMember, ChangeRoles, RemoveMember
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.pages import page_of
from app_registry.http.resources import answer, gone, member_resource
from tollgate.events.registry import Grant, Role
from tollgate.http.bodies import read_json
from tollgate.http.etags import read_if_match
from tollgate.http.queries import read_query
from tollgate.ids import new_id
from tollgate.registry.roles import Action

routes = web.RouteTableDef()


class RoleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role for the sources listed, or for all of them."""

    role: Role
    sources: tuple[str, ...] | None = None

    def grant(self) -> Grant:
        return Grant(role=self.role, sources=self.sources)


class AddMemberBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    email: str
    roles: tuple[RoleBody, ...]


class ChangeRolesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    roles: tuple[RoleBody, ...]


@routes.get("/v1/members")
async def list_members(request: web.Request) -> web.Response:
    access = access_of(request)
    require(access.actor, Action.MANAGE_MEMBERS)
    members = access.directory.state.members
    return page_of(
        request,
        access.directory.listings[access.workspace_id].members.after,
        lambda member_id: member_resource(members[member_id]),
    )


@routes.post("/v1/members")
async def add_member(request: web.Request) -> web.Response:
    read_query(request)
    body = await read_json(request, AddMemberBody)
    command = AddMember(
        member_id=new_id("mem"),
        name=body.name,
        email=body.email,
        grants=tuple(role.grant() for role in body.roles),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    return answer(outcome, member_resource(outcome.entity), status=201)


@routes.put("/v1/members/{member_id}/roles")
async def change_roles(request: web.Request) -> web.Response:
    read_query(request)
    body = await read_json(request, ChangeRolesBody)
    command = ChangeRoles(
        member_id=request.match_info["member_id"],
        grants=tuple(role.grant() for role in body.roles),
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    return answer(outcome, member_resource(outcome.entity))


@routes.delete("/v1/members/{member_id}")
async def remove_member(request: web.Request) -> web.Response:
    """The member's access tokens end with it."""
    read_query(request)
    command = RemoveMember(
        member_id=request.match_info["member_id"], if_version=read_if_match(request)
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))
