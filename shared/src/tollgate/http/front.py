"""Requests that are answered in front of an application's router and middlewares.

For the one kind that comes by the thousand: the layers of an application cost as much
as all else that aiohttp does for a request. Whatever is not plainly of that kind, and
whatever is not to be answered with success, is left to the application.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

Rest: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""The application, with all of its layers."""


class Front(Protocol):
    async def __call__(self, request: web.Request, rest: Rest) -> web.StreamResponse:
        """Answer, or leave it to `rest`."""
        ...


FRONT = web.AppKey("front", Front)


def put_in_front(runner: web.AppRunner) -> None:
    """Let the `FRONT` of the application see its requests first, if it has one.

    After `runner.setup()`, before there are connections.
    """
    front, server = runner.app.get(FRONT), runner.server
    if front is None:
        return
    if server is None:
        raise RuntimeError("the runner is not set up")
    handler: Any = partial(front, rest=server.request_handler)
    server.request_handler = handler


class PreparedResponse(web.StreamResponse):
    """A whole answer of HTTP/1.1 as octets, for a request that keeps its connection."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self._octets = octets
        self._writer: AbstractStreamWriter | None = None

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Nothing is written yet."""
        self._writer = request.writer
        return self._writer

    async def write_eof(self, data: bytes = b"") -> None:
        if self._writer is None or data:
            raise RuntimeError("everything there is to write is there already")
        await self._writer.write(self._octets)
