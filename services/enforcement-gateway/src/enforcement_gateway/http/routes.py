"""Which door a request stands at, by the raw bytes of its target (WIRE 5).

Nothing is decoded or normalised: a doubled slash, a dot segment or a percent sign in a
path leads nowhere, so that no proxy behind us can see another path than we did.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from enforcement_gateway.domain.denials import Reason, Refused
from tollgate.oauth.scopes import Scope


class Door(StrEnum):
    """What lies behind a path, and with it the scope that opens it."""

    TRACKING = "tracking"
    PIXEL = "pixel"
    FUNCTION = "function"
    ADMIN = "admin"


SCOPES: Final[Mapping[Door, Scope]] = {
    Door.TRACKING: Scope.TRACKING_API_WRITE,
    Door.PIXEL: Scope.TRACKING_API_WRITE,
    Door.FUNCTION: Scope.FUNCTIONS_WRITE,
    Door.ADMIN: Scope.PUBLIC_API_READ_WRITE,
}


class Route(msgspec.Struct, frozen=True):
    """`methods` are those the door knows; OPTIONS is answered at every door."""

    door: Door
    methods: tuple[bytes, ...]

    @property
    def allow(self) -> bytes:
        return b", ".join((*self.methods, b"OPTIONS"))


_POST = Route(Door.TRACKING, (b"POST",))
_PIXEL = Route(Door.PIXEL, (b"GET",))
_FUNCTION = Route(Door.FUNCTION, (b"POST",))
_ADMIN = Route(Door.ADMIN, (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"))

_CALLS: Final = (b"identify", b"track", b"page", b"screen", b"group", b"alias")
_ALIASES: Final = (b"batch", b"import", b"b", *(call[:1] for call in _CALLS), b"m")
_PIXEL_CALLS: Final = (b"identify", b"group", b"alias", b"page", b"screen", b"track")


def _table() -> dict[bytes, Route]:
    exact = {b"/v1/" + name: _POST for name in (*_CALLS, *_ALIASES)}
    exact |= {b"/v1/pixel/" + name: _PIXEL for name in _PIXEL_CALLS}
    return exact | {path + b"/": route for path, route in exact.items()}


ROUTES: Final[Mapping[bytes, Route]] = _table()
"""Every fixed path. One slash at the end is optional: Java sends it (WIRE 4.4)."""

_FUNCTION_QUERY = re.compile(rb"(?:.*&)?b=").match
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~\-][A-Za-z0-9_.~\-]*)+/?").fullmatch


def route_of(
    path: bytes, query: bytes | None, admin_prefix: bytes | None = None
) -> Route:
    """The route of a target, or `Refused`: what is not known is never forwarded."""
    route = ROUTES.get(path)
    if route is not None:
        return route
    if path == b"/" and query is not None and _FUNCTION_QUERY(query):
        return _FUNCTION
    if (
        admin_prefix is not None
        and path.startswith(admin_prefix + b"/")
        and _PLAIN_PATH(path[len(admin_prefix) :])
    ):
        return _ADMIN
    raise Refused(Reason.NOT_FOUND)
