"""The request as the upstream gets it.

The body stays byte for byte. Of the head goes on what is meant for everyone; what only
we may say is said by us, and the access token stays here.
"""

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from enforcement_gateway import pieces
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


def target_of(head: Head, prefix: bytes, *, cut: bytes) -> bytes:
    """The target as the upstream sees it: `cut` off the path, `prefix` before it."""
    target = prefix + head.path[len(cut) :]
    return target if head.query is None else target + b"?" + head.query


class Outline:
    """The requests for the upstream that heads of one make lead to, with holes.

    The holes are the values of varying fields, the verified app, the request id, and
    the body with its length.
    """

    __slots__ = (
        "_before_client",
        "_before_id",
        "_before_id_of_nobody",
        "_before_length",
        "_before_values",
    )

    def __init__(
        self,
        *,
        before_values: list[bytes],
        before_client: bytes,
        before_id: bytes,
        before_id_of_nobody: bytes,
        before_length: bytes,
    ) -> None:
        self._before_values = before_values
        self._before_client = before_client
        self._before_id = before_id
        self._before_id_of_nobody = before_id_of_nobody
        self._before_length = before_length

    def filled(
        self,
        client_id: bytes | None,
        request_id: bytes,
        digits: bytes,
        body: bytes,
        values: Sequence[bytes],
    ) -> bytes:
        """As `forwarded_request` writes it; `digits` are those of the body's length."""
        if values or client_id is None:
            start = b""
            for before, value in zip(self._before_values, values, strict=True):
                start += before + value
            if client_id is None:
                start += self._before_id_of_nobody
            else:
                start += self._before_client + client_id + self._before_id
            return pieces.joined(
                (start, request_id, self._before_length, digits, _END, body)
            )
        return pieces.joined(
            (
                self._before_client,
                client_id,
                self._before_id,
                request_id,
                self._before_length,
                digits,
                _END,
                body,
            )
        )


_END = b"\r\n\r\n"
NO_LINES: Mapping[bytes, bytes] = MappingProxyType({})

_HOLE = secrets.token_hex(16)
"""Stands where a hole will be. No client can know it, so none can send it."""


def outline_of(
    head: Head,
    *,
    target: bytes,
    authority: bytes,
    peer: Peer,
    authorization: bytes | None,
    varying: Mapping[bytes, bytes] = NO_LINES,
) -> Outline:
    """What `forwarded_request` makes of a head that has a length, cut at the holes.

    `varying` holds the forwarded lines whose values are left open, each with its name.
    """
    hole = _HOLE.encode()
    opened = replace(
        head,
        forwarded=[
            varying[line] + hole if line in varying else line for line in head.forwarded
        ],
    )

    def cut(client_id: str | None) -> list[bytes]:
        return forwarded_request(
            opened,
            b"",
            target=target,
            authority=authority,
            peer=peer,
            request_id=hole,
            client_id=client_id,
            authorization=authorization,
        ).split(hole)

    *before_values, before_client, before_id, after = cut(_HOLE)
    *_, before_id_of_nobody, _ = cut(None)
    return Outline(
        before_values=before_values,
        before_client=before_client,
        before_id=before_id,
        before_id_of_nobody=before_id_of_nobody,
        before_length=after.removesuffix(b"0\r\n\r\n"),
    )


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
