"""/v1/sources: what sends events, and the write keys it sends them under."""

import heapq
from collections.abc import Iterator

import msgspec
from aiohttp import web

from app_registry.authentication import Access
from app_registry.domain.authorization import require
from app_registry.domain.commands import (
    AddWriteKey,
    CreateSource,
    DeleteSource,
    DeleteWriteKey,
    RenameSource,
)
from app_registry.domain.evidence import Evidence
from app_registry.http.collaborators import access_of, asking_of, registry
from app_registry.http.pages import page_of
from app_registry.http.resources import (
    answer,
    gone,
    source_resource,
    source_target,
)
from app_registry.listings import Place
from tollgate.http.bodies import json_response, read_json
from tollgate.http.etags import etag_of, read_if_match
from tollgate.http.queries import read_query
from tollgate.ids import new_id, random_text
from tollgate.registry.member import Member
from tollgate.registry.roles import Action, SourceTarget, may
from tollgate.registry.source import Source
from tollgate.registry.source_types import SourceKind

WRITE_KEY_LENGTH = 32

routes = web.RouteTableDef()


class CreateSourceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    type: str


class ChangeSourceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class AddWriteKeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A write key that the collector knows already, or none to have one made."""

    write_key: str | None = None


class WriteKeyResource(msgspec.Struct, frozen=True):
    write_key: str


@routes.get("/v1/sources")
async def list_sources(request: web.Request) -> web.Response:
    """The sources that the caller's roles are held for."""
    access = access_of(request)
    require(access.actor, Action.LIST_SOURCES)
    sources = access.directory.state.sources
    return page_of(
        request,
        lambda position: _visible(access, position),
        lambda source_id: source_resource(sources[source_id], seen_by=access.actor),
    )


@routes.post("/v1/sources")
async def create_source(request: web.Request) -> web.Response:
    """A source begins without write keys, and with OAuth off."""
    read_query(request)
    body = await read_json(request, CreateSourceBody)
    command = CreateSource(
        source_id=new_id("src"), name=body.name, source_type=body.type
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    return answer(
        outcome,
        source_resource(outcome.entity, seen_by=access_of(request).actor),
        status=201,
        location=f"/v1/sources/{outcome.entity.id}",
    )


@routes.get("/v1/sources/{source_id}")
async def show_source(request: web.Request) -> web.Response:
    read_query(request)
    access = access_of(request)
    source = Evidence(access.directory.state).source_of(
        access.workspace_id, request.match_info["source_id"]
    )
    require(access.actor, Action.VIEW_SOURCE, source_target(source))
    return json_response(
        source_resource(source, seen_by=access.actor),
        headers={"ETag": etag_of(source.version)},
    )


@routes.patch("/v1/sources/{source_id}")
async def change_source(request: web.Request) -> web.Response:
    read_query(request)
    body = await read_json(request, ChangeSourceBody)
    command = RenameSource(
        source_id=request.match_info["source_id"],
        name=body.name,
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    actor = access_of(request).actor
    return answer(outcome, source_resource(outcome.entity, seen_by=actor))


@routes.delete("/v1/sources/{source_id}")
async def delete_source(request: web.Request) -> web.Response:
    """Its write keys stay known, and are refused from now on."""
    read_query(request)
    command = DeleteSource(
        source_id=request.match_info["source_id"], if_version=read_if_match(request)
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))


@routes.post("/v1/sources/{source_id}/write-keys")
async def add_write_key(request: web.Request) -> web.Response:
    read_query(request)
    body = await read_json(request, AddWriteKeyBody)
    command = AddWriteKey(
        source_id=request.match_info["source_id"],
        write_key=(
            random_text(WRITE_KEY_LENGTH) if body.write_key is None else body.write_key
        ),
        if_version=read_if_match(request),
    )
    outcome = await request.app[registry].handle(command, await asking_of(request))
    added = outcome.entity.write_keys[
        -1
    ]  # also in a repeated answer, where it was made
    return answer(outcome, WriteKeyResource(added), status=201)


@routes.delete("/v1/sources/{source_id}/write-keys/{write_key}")
async def delete_write_key(request: web.Request) -> web.Response:
    """The key stays known, and is refused from now on."""
    read_query(request)
    command = DeleteWriteKey(
        source_id=request.match_info["source_id"],
        write_key=request.match_info["write_key"],
        if_version=read_if_match(request),
    )
    return gone(await request.app[registry].handle(command, await asking_of(request)))


def _visible(access: Access, position: int) -> Iterator[Place]:
    """Whole listings where a role is held for all sources, else those that are named.

    Nothing that the caller may not see is looked at, so a page costs the same for all.
    """
    actor, listings = access.actor, access.directory.listings[access.workspace_id]
    by_kind = {
        SourceKind.SERVER: listings.sources,  # and all other kinds but functions
        SourceKind.FUNCTION: listings.source_functions,
    }
    whole = [
        listing
        for kind, listing in by_kind.items()
        if may(actor, Action.VIEW_SOURCE, SourceTarget(kind=kind))
    ]
    named = {
        place
        for source in _named_sources(access)
        if may(actor, Action.VIEW_SOURCE, source_target(source))
        for listing in by_kind.values()
        if listing not in whole and (place := listing.place_of(source.id))
    }
    later = sorted(place for place in named if place[0] > position)
    return heapq.merge(*(listing.after(position) for listing in whole), later)


def _named_sources(access: Access) -> Iterator[Source]:
    """The sources that roles of the caller are limited to."""
    if isinstance(access.actor, Member):
        for grant in access.actor.grants:
            for source_id in grant.sources or ():
                yield access.directory.state.sources[source_id]
