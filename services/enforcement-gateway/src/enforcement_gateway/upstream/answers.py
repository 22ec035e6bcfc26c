"""Where an upstream's answer goes."""

from http import HTTPStatus
from typing import Protocol

import msgspec

from enforcement_gateway import pieces
from enforcement_gateway.counters import is_success
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.http.responses import dates, status_line
from enforcement_gateway.turns import turn

MAX_REST = 4 * 1024
"""Octets behind the id that are kept for the next answer: there are many heads."""


class AnswerHead(msgspec.Struct, frozen=True):
    """Status, phrase and the fields that may be passed on.

    `length` is None where only the end of the answer tells it; `is_dated` says that a
    Date is among the fields.
    """

    status: int
    phrase: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    is_dated: bool = False

    def start(self, *, chunked: bool = False) -> bytes:
        """The head as our client gets it, up to the request id."""
        parts = [status_line(self.status, self.phrase)]
        for name, value in self.fields:
            parts.append(b"%b: %b\r\n" % (name, value))
        if chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        elif self.length is not None and self.status not in _WITHOUT_LENGTH:
            parts.append(b"Content-Length: %d\r\n" % self.length)
        parts.append(b"X-Request-Id: ")
        return b"".join(parts)


_WITHOUT_LENGTH = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class KnownHead:
    """The head of an answer that has come before: see `upstream.known_answers`.

    `octets` are those of the head as it came, `end` is where they end and the body of
    `length` begins, `size` that of both; `start` is what our client gets up to the
    request id. `is_success` is what `counters` calls so. What stands behind the id is
    the same for all answers of a turn that have one body, and is kept for them.
    """

    __slots__ = (
        "_body",
        "_rest",
        "_turn",
        "end",
        "head",
        "is_dated",
        "is_success",
        "length",
        "octets",
        "size",
        "start",
        "status",
    )

    def __init__(self, head: AnswerHead, octets: bytes, length: int) -> None:
        self.head = head
        self.octets = octets
        self.end = len(octets)
        self.length = length
        self.size = self.end + length
        self.status = head.status
        self.is_success = is_success(head.status)
        self.is_dated = head.is_dated
        self.start = head.start()
        self._body: bytes | None = None
        self._rest = b""
        self._turn = 0

    def whole(self, request_id: bytes, body: bytes) -> bytes:
        """The answer for our client, on a connection that stays open."""
        if body is self._body and self._turn == _turn.number:
            return pieces.joined((self.start, request_id, self._rest))
        date = b"" if self.is_dated else _dates.line()
        rest = pieces.joined((_CRLF, date, _CRLF, body))
        if len(rest) <= MAX_REST:
            self._body, self._turn, self._rest = body, _turn.number, rest
        return pieces.joined((self.start, request_id, rest))


_dates, _turn = dates, turn
_CRLF = b"\r\n"


class Answers:
    """Whoever waits for one answer. Each is told once how it ended.

    A class to inherit from, because calls from one compiled module to the methods of
    another are cheap only through a type that both know.
    """

    __slots__ = ()

    def answer_known(self, known: KnownHead, body: bytes) -> None:
        """It came at once, and its head was seen before."""
        self.answer_whole(known.head, body)

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """It came at once; `length` of the head is that of `body`."""
        raise NotImplementedError

    def answer_started(self, head: AnswerHead, source: "AnswerSource") -> None:
        """It comes in pieces. `source` can be told to wait."""
        raise NotImplementedError

    def answer_continued(self, piece: bytes) -> None:
        raise NotImplementedError

    def answer_ended(self) -> None:
        raise NotImplementedError

    def answer_failed(self, reason: Reason) -> None:
        """There is none, or not the rest of it."""
        raise NotImplementedError


class AnswerSource(Protocol):
    """The connection that an answer comes from."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None:
        """Nobody waits any longer."""
        ...
