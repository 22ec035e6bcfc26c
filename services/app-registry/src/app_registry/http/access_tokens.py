"""/v1/access-tokens: with which members call this API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta

from app_registry.domain.authorization import MemberCaller, require
from app_registry.domain.commands import IssueAccessToken, RevokeAccessToken
from app_registry.domain.errors import NotPermitted
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.pages import page_of
from app_registry.http.resources import access_token_resource, answer, gone
from app_registry.listings import Place
from tollgate.http.bodies import read_json
from tollgate.http.etags import read_if_match
from tollgate.http.queries import read_query
from tollgate.registry.administrators import new_access_token
from tollgate.registry.roles import Action

routes = web.RouteTableDef()


class IssueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token for the member named, or for whoever asks."""

    name: str
    member_id: str | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


@routes.get("/v1/access-tokens")
async def list_access_tokens(request: web.Request) -> web.Response:
    access = access_of(request)
    require(access.actor, Action.MANAGE_ACCESS_TOKENS)
    state = access.directory.state
    listing = access.directory.listings[access.workspace_id].access_tokens

    def of_members(position: int) -> Iterator[Place]:
        for place in listing.after(position):
            if state.members[state.access_tokens[place[1]].member_id].exists:
                yield place

    return page_of(
        request,
        of_members,
        lambda token_id: access_token_resource(state.access_tokens[token_id]),
    )


@routes.post("/v1/access-tokens")
async def issue_access_token(request: web.Request) -> web.Response:
    """The token is in the answer once: not in a repeated one, and nowhere else."""
    read_query(request)
    body = await read_json(request, IssueBody)
    caller = access_of(request).caller
    if not isinstance(caller, MemberCaller):
        raise NotPermitted("an app does not manage access tokens")
    token = new_access_token()
    command = IssueAccessToken(
        token_id=token.id,
        member_id=caller.member_id if body.member_id is None else body.member_id,
        name=body.name,
        secret_hash=token.secret_hash,
        expires_at=None if body.expires_at is None else body.expires_at.astimezone(UTC),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    text = UNSET if outcome.replayed else token.text
    return answer(outcome, access_token_resource(outcome.entity, text=text), status=201)


@routes.delete("/v1/access-tokens/{token_id}")
async def revoke_access_token(request: web.Request) -> web.Response:
    read_query(request)
    command = RevokeAccessToken(
        token_id=request.match_info["token_id"], if_version=read_if_match(request)
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))
