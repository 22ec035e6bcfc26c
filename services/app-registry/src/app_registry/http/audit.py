"""/v1/audit/events: who changed what, and when, as the logs tell it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Meta

from app_registry.audit import AuditEvent, Criteria
from app_registry.domain.authorization import require
from app_registry.http.collaborators import access_of, audit
from tollgate.events.issuance import issuance_decoder
from tollgate.events.registry import registry_decoder
from tollgate.events.tokens import tokens_decoder
from tollgate.http.bodies import json_response
from tollgate.http.pagination import Page, encode_cursor, read_cursor, read_limit
from tollgate.http.queries import read_query, refused
from tollgate.registry.roles import Action

routes = web.RouteTableDef()

_LOGS_OF_TYPES: Mapping[str, frozenset[str]] = {
    "registry": registry_decoder.types,
    "tokens": tokens_decoder.types,
    "issuance": issuance_decoder.types,
}
_STREAM = re.compile(r"[a-z_]{1,32}-[\x21-\x7e]{1,200}", re.ASCII).fullmatch
_Place: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
_ORDERS = {"asc": False, "desc": True}


class AuditResource(msgspec.Struct, frozen=True, kw_only=True):
    """An event; `data` is what the log holds, byte for byte."""

    log: str
    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    actor: str
    request_id: str | None
    client_address: str | None
    command_id: str | None
    hash: str
    data: msgspec.Raw


@routes.get("/v1/audit/events")
async def list_events(request: web.Request) -> web.Response:
    """Oldest first, or newest first with `order=desc`.

    A page may be short, or empty, and still have another after it: it has looked at as
    many events as one request may.
    """
    access = access_of(request)
    require(access.actor, Action.READ_AUDIT)
    query = read_query(
        request,
        *("since", "until", "type", "actor", "stream", "log", "order"),
        *("limit", "cursor"),
    )
    page = await request.app[audit].page(
        _criteria(query, access.workspace_id),
        access.directory,
        limit=read_limit(query),
        places=read_cursor(query, dict[str, _Place]),
    )
    return json_response(
        Page(
            [_resource(event) for event in page.events],
            None if page.places is None else encode_cursor(page.places, query),
        )
    )


def _criteria(query: Mapping[str, str], workspace_id: str) -> Criteria:
    event_type, order = query.get("type"), query.get("order", "asc")
    if order not in _ORDERS:
        raise refused("order is asc or desc")
    return Criteria(
        workspace_id=workspace_id,
        logs=_logs(query.get("log"), event_type),
        since=_moment(query, "since"),
        until=_moment(query, "until"),
        type=event_type,
        actor=_name(query, "actor"),
        stream=_name(query, "stream"),
        newest_first=_ORDERS[order],
    )


def _logs(log: str | None, event_type: str | None) -> frozenset[str]:
    """The logs that can hold what is asked for."""
    if log is not None and log not in _LOGS_OF_TYPES:
        raise refused(f"log is one of {', '.join(_LOGS_OF_TYPES)}")
    logs = frozenset({log}) if log is not None else frozenset(_LOGS_OF_TYPES)
    if event_type is None:
        return logs
    holding = {name for name, types in _LOGS_OF_TYPES.items() if event_type in types}
    if not holding:
        raise refused("there is no such type of event: docs/events.md lists them")
    return logs & holding


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
        return moment.astimezone(UTC) if moment.tzinfo else _without_offset(name)
    except (msgspec.ValidationError, OverflowError):
        raise refused(f"{name} is a time such as 2026-01-31T12:00:00Z") from None


def _without_offset(name: str) -> datetime:
    raise refused(f"{name} needs an offset: Z, or +01:00 (with the + as %2B)")


def _name(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if text is None or (name == "actor" and text == "system"):
        return text
    if not _STREAM(text):
        raise refused(f"{name} is the name of a stream, such as oauth_app-app_…")
    return text


def _resource(event: AuditEvent) -> AuditResource:
    recorded, metadata = event.recorded, event.metadata
    return AuditResource(
        log=event.log,
        position=recorded.position,
        stream=recorded.stream,
        version=recorded.version,
        type=recorded.type,
        recorded_at=recorded.recorded_at,
        actor=metadata.actor,
        request_id=metadata.request_id,
        client_address=metadata.client_address,
        command_id=metadata.command_id,
        hash=recorded.hash,
        data=recorded.data or msgspec.Raw(b"null"),
    )
