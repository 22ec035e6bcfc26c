"""The request as the upstream gets it.

The body stays byte for byte. Of the head goes on what is meant for everyone; what only
we may say is said by us, and the access token stays here.
"""

import base64
import re
from enum import StrEnum

import msgspec

from enforcement_gateway.http.framing import Head

VIA = b"1.1 tollgate"


class UpstreamAuthorization(StrEnum):
    """What an upstream gets to see in Authorization.

    `none`: no bearer token; other schemes as they came. `bearer`: the token as it
    came. `basic`: the write key that the request was decided on, for collectors that
    read keys only there.
    """

    NONE = "none"
    BEARER = "bearer"
    BASIC = "basic"


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection. `trusted`: a proxy whose X-Forwarded-* counts."""

    address: bytes
    is_tls: bool
    trusted: bool


def forwarded_request(
    head: Head,
    body: bytes,
    *,
    target: bytes,
    authority: bytes,
    peer: Peer,
    request_id: bytes,
    client_id: str | None,
    authorization: bytes | None,
) -> bytes:
    """The bytes for the upstream. Chunked or not, it gets one Content-Length."""
    lines = [
        b"%b %b HTTP/1.1" % (head.method, target),
        b"Host: " + authority,
        *_forwarded_lines(head),
    ]
    if authorization is not None:
        lines.append(authorization)
    if client_id is not None:
        lines.append(b"Tollgate-Client-Id: " + client_id.encode())
    lines.append(b"X-Request-Id: " + request_id)
    lines.append(b"Via: " + (VIA if head.via is None else head.via + b", " + VIA))
    lines.append(b"X-Forwarded-For: " + _forwarded_for(head, peer))
    lines.append(b"X-Forwarded-Proto: " + _forwarded_proto(head, peer))
    if head.authority:
        lines.append(b"X-Forwarded-Host: " + head.authority)
    if body or head.method not in _WITHOUT_BODY:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


def authorization_for_upstream(
    how: UpstreamAuthorization, head: Head, *, ours: bool, write_key: str | None
) -> bytes | None:
    """The Authorization line to pass on, if any. `ours`: the client's is a bearer's."""
    came = head.authorization
    if how is UpstreamAuthorization.BASIC and write_key is not None:
        credential = base64.b64encode(f"{write_key}:".encode())
        return b"Authorization: Basic " + credential
    if came is None or (ours and how is not UpstreamAuthorization.BEARER):
        return None
    return came.line


_WITHOUT_BODY = frozenset({b"GET", b"OPTIONS", b"DELETE"})


def _forwarded_lines(head: Head) -> list[bytes]:
    """RFC 9110 §7.6.2: of OPTIONS it is counted how often it was forwarded."""
    if head.method != b"OPTIONS" or head.max_forwards is None:
        return head.forwarded
    lines = [line for line in head.forwarded if not _MAX_FORWARDS(line)]
    return [*lines, b"Max-Forwards: %d" % max(head.max_forwards - 1, 0)]


_MAX_FORWARDS = re.compile(rb"max-forwards:", re.IGNORECASE).match


def _forwarded_for(head: Head, peer: Peer) -> bytes:
    if peer.trusted and head.forwarded_for is not None:
        return head.forwarded_for + b", " + peer.address
    return peer.address


def _forwarded_proto(head: Head, peer: Peer) -> bytes:
    if peer.trusted and head.forwarded_proto in (b"http", b"https"):
        return head.forwarded_proto
    return b"https" if peer.is_tls else b"http"
