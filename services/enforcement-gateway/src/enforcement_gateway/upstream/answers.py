"""Where an upstream's answer goes."""

from http import HTTPStatus
from typing import Protocol

import msgspec

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.http.responses import status_line


class AnswerHead(msgspec.Struct, frozen=True):
    """Status, phrase and the fields that may be passed on.

    `length` is None where only the end of the answer tells it; `is_dated` says that a
    Date is among the fields. `shared` is `start`, where that was kept for every answer
    with this head.
    """

    status: int
    phrase: bytes
    fields: list[tuple[bytes, bytes]]
    length: int | None
    is_dated: bool = False
    shared: bytes | None = None

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


class Answers(Protocol):
    """Whoever waits for one answer. Each is told once how it ended."""

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        """It came at once; `length` of the head is that of `body`."""
        ...

    def answer_started(self, head: AnswerHead, source: "AnswerSource") -> None:
        """It comes in pieces. `source` can be told to wait."""
        ...

    def answer_continued(self, piece: bytes) -> None: ...

    def answer_ended(self) -> None: ...

    def answer_failed(self, reason: Reason) -> None:
        """There is none, or not the rest of it."""
        ...


class AnswerSource(Protocol):
    """The connection that an answer comes from."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None:
        """Nobody waits any longer."""
        ...
