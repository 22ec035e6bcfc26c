"""What a head says about its request, worked out before the body is there.

Two requests whose heads differ only in the bearer token and in the digits of the
length have one plan, which is why it can be kept (see `http.head_template`).
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from enforcement_gateway.credentials import (
    NO_QUERY,
    NONE,
    Authorization,
    Query,
    read_authorization,
    read_query,
)
from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http.framing import Head
from enforcement_gateway.http.responses import PreparedDenial
from enforcement_gateway.http.routes import Door, Route, route_of
from enforcement_gateway.upstream.forwarding import (
    NO_LINES,
    Outline,
    Peer,
    UpstreamAuthorization,
    outline_of,
    target_of,
)
from enforcement_gateway.upstream.pool import Pool

if TYPE_CHECKING:
    from enforcement_gateway.http.server import Behind, Server

_GZIP = b"gzip"
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE).findall
_UTF_8 = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})


class Plan:
    """How a request with this head goes on.

    `refusal`: it is lost, whatever the body says. `must_close`: and so is the
    connection. `body_decides`: it is a tracking request whose body alone names write
    keys; `is_plain`: and that is not deflated. `door` and `pool` are of no meaning
    without a route. `denials` are answers to all such requests, once they are known.
    """

    __slots__ = (
        "authorization",
        "behind",
        "body_decides",
        "denials",
        "door",
        "head",
        "inflates",
        "is_plain",
        "must_close",
        "pool",
        "query",
        "refusal",
        "route",
    )

    def __init__(self, head: Head) -> None:
        self.head = head
        self.route: Route | None = None
        self.door = Door.TRACKING
        self.behind: Behind | None = None
        self.pool: Pool | None = None
        self.authorization: Authorization = NONE
        self.query: Query = NO_QUERY
        self.refusal: Reason | None = None
        self.must_close = False
        self.body_decides = False
        self.is_plain = False
        self.inflates = False
        self.denials: dict[Reason, PreparedDenial] = {}


def plan_of(head: Head, server: "Server") -> Plan:
    """The plan of a head that is beyond doubt; what speaks against it is in there."""
    plan = Plan(head)
    try:
        _consider(plan, server)
    except Refused as refused:
        plan.refusal = refused.reason
    return plan


def _consider(plan: Plan, server: "Server") -> None:
    head = plan.head
    if head.path == b"*":
        return
    if head.method == b"CONNECT":
        plan.must_close = True
        raise Refused(Reason.METHOD_NOT_ALLOWED)
    route = route_of(head.path, head.query, server.admin_prefix)
    plan.route = route
    plan.door = route.door
    if head.method not in route.methods and head.method != b"OPTIONS":
        raise Refused(Reason.METHOD_NOT_ALLOWED)
    plan.behind = server.behind.get(route.door)
    if plan.behind is None:
        raise Refused(Reason.NOT_FOUND)
    plan.pool = plan.behind.pool
    if head.has_body and (head.method == b"OPTIONS" or route.door is Door.PIXEL):
        raise Refused(Reason.BODY_UNEXPECTED)
    is_tracking = route.door is Door.TRACKING
    if is_tracking:
        _insist_on_readable(head)
        plan.inflates = head.content_encoding is not None and head.method == b"POST"
    authorization = plan.authorization = read_authorization(head.authorization)
    query = NO_QUERY
    if head.query:
        query = plan.query = read_query(head.query)
        if query.carries_token and authorization.ours:
            raise Refused(Reason.CREDENTIALS_AMBIGUOUS)
    plan.body_decides = (
        is_tracking
        and head.method == b"POST"
        and query.write_key is None
        and authorization.write_key is None
    )
    plan.is_plain = plan.body_decides and not plan.inflates


def outlined(
    plan: Plan, peer: Peer, varying: Mapping[bytes, bytes] = NO_LINES
) -> Outline | None:
    """How requests of this plan are forwarded, if that hangs on no credential.

    `varying` names the lines whose value is left open: the line, and its name with
    the colon.
    """
    behind = plan.behind
    if behind is None or behind.authorization is not UpstreamAuthorization.NONE:
        return None
    came = plan.head.authorization
    return outline_of(
        plan.head,
        target=target_of(plan.head, behind.pool.origin.prefix, cut=behind.prefix),
        authority=behind.pool.origin.authority,
        peer=peer,
        authorization=None if came is None or plan.authorization.ours else came.line,
        varying=varying,
    )


def _insist_on_readable(head: Head) -> None:
    """Only what everybody behind us must read as the same JSON text."""
    encoding = head.content_encoding
    if encoding is not None and encoding.lower() != _GZIP:
        raise Refused(Reason.ENCODING_UNSUPPORTED)
    content_type = head.content_type
    if content_type is not None and b"harset" in content_type.lower():
        charsets = _CHARSET(content_type)
        if not all(charset.lower() in _UTF_8 for charset in charsets):
            raise Refused(Reason.ENCODING_UNSUPPORTED)
