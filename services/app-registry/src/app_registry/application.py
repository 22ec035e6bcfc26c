"""Wires the service."""

from aiohttp import web


def create_application() -> web.Application:
    """What answers requests. Nothing connects until aiohttp starts it."""
    application = web.Application()
    application.router.add_get("/livez", _alive)
    application.router.add_get("/readyz", _alive)
    return application


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
