"""A stand-in for the tracking API behind the gateway: takes everything, keeps it.

Each accepted request is one JSON line of the log, written before the answer is sent, so
that whoever has the answer finds the line. `GET /events` gives the lines back.
"""

import base64
import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from aiohttp import web

from local_stack.ports import LOOPBACK

_LARGEST_BODY = 16 * 1024 * 1024
_PIXEL_METHODS = ("GET", "POST")


class AcceptedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    received_at: datetime
    method: str
    path: str  # with the query, as it stood in the request line
    headers: dict[
        str, str
    ]  # names in lower case; of a repeated one all, joined by ", "
    body: msgspec.Raw  # the JSON as it was sent, inflated; null if it was none
    body_base64: str | None  # a body that is not JSON
    message_ids: tuple[str, ...]  # of the events in the body, in order


class _Event(msgspec.Struct):
    message_id: str | None = msgspec.field(default=None, name="messageId")
    batch: list["_Event"] = []


log_file = web.AppKey("log_file", BinaryIO)
log_path = web.AppKey("log_path", Path)


def create_application(log: Path) -> web.Application:
    application = web.Application(client_max_size=_LARGEST_BODY)
    application[log_path] = log
    application.cleanup_ctx.append(_open_log)
    application.router.add_get("/livez", _alive)
    application.router.add_get("/readyz", _alive)
    application.router.add_get("/events", _give_back)
    for method in _PIXEL_METHODS:
        application.router.add_route(method, "/{path:.*}", _accept)
    return application


async def _open_log(application: web.Application) -> AsyncIterator[None]:
    with application[log_path].open("ab") as file:
        application[log_file] = file
        yield


def serve(port: int, log: Path) -> None:
    """Listen on `port` of the loopback address until SIGTERM."""
    web.run_app(
        create_application(log),
        host=LOOPBACK,
        port=port,
        access_log=None,
        print=None,
        auto_decompress=False,  # ours takes every gzip member, aiohttp's only the first
    )


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _give_back(request: web.Request) -> web.FileResponse:
    """All accepted requests so far, one a line."""
    return web.FileResponse(
        request.app[log_path], headers={"Content-Type": "application/x-ndjson"}
    )


async def _accept(request: web.Request) -> web.Response:
    line = msgspec.json.encode(await _record(request))
    file = request.app[log_file]
    file.write(line + b"\n")
    file.flush()
    return web.json_response({"success": True})


async def _record(request: web.Request) -> AcceptedRequest:
    body = _inflate(await request.read(), request.headers.get("Content-Encoding"))
    json = _as_json(body)
    return AcceptedRequest(
        received_at=datetime.now(UTC),
        method=request.method,
        path=request.raw_path,
        headers={
            name.lower(): ", ".join(request.headers.getall(name))
            for name in request.headers
        },
        body=msgspec.Raw(json or b"null"),
        body_base64=base64.b64encode(body).decode() if body and not json else None,
        message_ids=_message_ids(json) if json else (),
    )


def _inflate(body: bytes, encoding: str | None) -> bytes:
    if encoding != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body


def _as_json(body: bytes) -> bytes | None:
    """The body on one line, if it is JSON."""
    try:
        body.decode()
        return msgspec.json.format(body, indent=-1)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None


def _message_ids(json: bytes) -> tuple[str, ...]:
    try:
        event = msgspec.json.decode(json, type=_Event)
    except msgspec.ValidationError:
        return ()
    events = [event, *event.batch]
    return tuple(each.message_id for each in events if each.message_id)
