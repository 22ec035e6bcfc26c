"""Answers as bytes: a denial with all that its client needs, and nothing inside it."""

import base64
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import msgspec

from enforcement_gateway.domain.denials import (
    DENIALS,
    Challenge,
    Reason,
    status_of,
)
from tollgate.oauth.challenges import Challenge as BearerChallenge

REALM = "tollgate"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EMPTY_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class DenialBody(msgspec.Struct, frozen=True):
    """The tracking API's shape, with the OAuth error beside it (WIRE 4.3).

    Segment's Python SDK needs `code` and `message`, its older versions hang on a JSON
    body without them.
    """

    success: bool
    code: str
    message: str
    error: str
    error_description: str
    request_id: str


class Dates:
    """The Date of answers; a second, `since` then, lasts for all given in it."""

    __slots__ = ("_line", "since")

    def __init__(self) -> None:
        self.since = -1.0
        self._line = b""

    def line(self) -> bytes:
        """`Date: …` with its line end, in IMF-fixdate."""
        now = time.time()
        if not self.since <= now < self.since + 1:
            self.since = now // 1
            date = formatdate(self.since, usegmt=True)
            self._line = b"Date: %b\r\n" % date.encode()
        return self._line


dates = Dates()


def status_line(status: int, phrase: bytes | None = None) -> bytes:
    if phrase is None:
        phrase = _PHRASES.get(status, "Unknown").encode()
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase)


class PreparedDenial:
    """A whole answer but for its date and the id of the request.

    For ids of one length, because the length of the body hangs on theirs.
    `is_of_the_unknown`: it is said only by a view that was read anew.
    """

    __slots__ = (
        "_dated",
        "_rest",
        "_since",
        "_start",
        "_until",
        "id_size",
        "is_of_the_unknown",
        "reason",
        "status",
    )

    def __init__(
        self,
        reason: Reason,
        status: int,
        id_size: int,
        start: bytes,
        around_ids: list[bytes],
        *,
        is_of_the_unknown: bool,
    ) -> None:
        self.reason = reason
        self.status = status
        self.id_size = id_size
        self.is_of_the_unknown = is_of_the_unknown
        self._start = start
        self._rest = around_ids
        self._since = self._until = -1.0
        self._dated: list[bytes] = []  # what stands around ids, with that date in it

    def filled(self, request_id: bytes) -> bytes:
        return request_id.join(self.around_ids())

    def around_ids(self) -> list[bytes]:
        """What stands around the ids in one that is given now."""
        if not self._since <= time.time() < self._until:
            first, *others = self._rest
            self._dated = [self._start + dates.line() + first, *others]
            self._since = dates.since
            self._until = dates.since + 1
        return self._dated


def denial(
    reason: Reason,
    *,
    request_id: bytes,
    resends: bool = False,
    pixel: bool = False,
    scope: str = "",
    allow: bytes | None = None,
    close: bool = False,
    to_head: bool = False,
) -> bytes:
    """The whole answer for `reason`. The rest is as in `prepared_denial`."""
    return prepared_denial(
        reason,
        id_size=len(request_id),
        resends=resends,
        pixel=pixel,
        scope=scope,
        allow=allow,
        close=close,
        to_head=to_head,
    ).filled(request_id)


@lru_cache(maxsize=1024)
def prepared_denial(
    reason: Reason,
    *,
    id_size: int,
    resends: bool,
    pixel: bool,
    scope: str,
    allow: bytes | None,
    close: bool,
    to_head: bool,
) -> PreparedDenial:
    """The answer for `reason` to every request of one manner.

    `resends`: the client sends again with a new token on 511. `pixel`: it expects an
    image, whatever happens. `close`: this connection ends with the answer. `to_head`:
    only the head may be sent (RFC 9110 §9.3.2).
    """
    hole = _HOLE[:id_size]
    start, rest = _written_denial(
        reason,
        request_id=hole.decode(),
        resends=resends,
        pixel=pixel,
        scope=scope,
        allow=allow,
        close=close,
        to_head=to_head,
    )
    entry = DENIALS[reason]
    return PreparedDenial(
        reason,
        status_of(entry, resends=resends),
        id_size,
        start,
        rest.split(hole),
        is_of_the_unknown=entry.unknown,
    )


_HOLE = b"~" * 64
"""Stands for a request id until it is known. Ids are shorter; no text has tildes."""


def _written_denial(
    reason: Reason,
    *,
    request_id: str,
    resends: bool,
    pixel: bool,
    scope: str,
    allow: bytes | None,
    close: bool,
    to_head: bool,
) -> tuple[bytes, bytes]:
    """The status line, and all that follows the date."""
    entry = DENIALS[reason]
    if pixel:
        body, content_type = EMPTY_GIF, b"image/gif"
    else:
        content_type = b"application/json"
        body = msgspec.json.encode(
            DenialBody(
                success=False,
                code=reason.value,
                message=entry.message,
                error=entry.error,
                error_description=entry.message,
                request_id=request_id,
            )
        )
    fields = [
        b"Content-Type: " + content_type,
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"X-Request-Id: " + request_id.encode(),
    ]
    if entry.challenge is not Challenge.NONE:
        fields.append(b"WWW-Authenticate: " + _challenge(reason, scope))
    if entry.retry_after is not None:
        fields.append(b"Retry-After: %d" % entry.retry_after)
    if reason is Reason.ENCODING_UNSUPPORTED:
        fields.append(b"Accept-Encoding: gzip")  # RFC 9110 §12.5.3
    if allow is not None:
        fields.append(b"Allow: " + allow)
    if close:
        fields.append(b"Connection: close")
    status = status_line(status_of(entry, resends=resends))
    return status, _ended(fields, b"" if to_head else body)


def options(allow: bytes, *, request_id: bytes, close: bool) -> bytes:
    """What may be asked at a path (RFC 9110 §9.3.7)."""
    fields = [b"Allow: " + allow, b"X-Request-Id: " + request_id]
    if close:
        fields.append(b"Connection: close")
    return status_line(HTTPStatus.NO_CONTENT) + dates.line() + _ended(fields, b"")


def _challenge(reason: Reason, scope: str) -> bytes:
    entry = DENIALS[reason]
    if entry.challenge is Challenge.BARE:
        return BearerChallenge(realm=REALM).to_header().encode()
    return (
        BearerChallenge(
            realm=REALM,
            error=entry.error,
            error_description=entry.message,
            scope=scope if entry.challenge is Challenge.WITH_SCOPE else None,
        )
        .to_header()
        .encode()
    )


def _ended(fields: Iterable[bytes], body: bytes) -> bytes:
    return b"\r\n".join((*fields, b"", body))
