"""An upstream's answer, taken from its bytes by llhttp and judged.

What is odd is rubbish, not something to be lenient about: whoever may put a second
answer behind the first decides what the next client gets to see.
"""

import re
from typing import Final

import httptools

from enforcement_gateway.upstream.answers import AnswerHead

MAX_HEAD = 64 * 1024
MAX_FIELDS = 200
MAX_INTERIM = 16
"""Answers with 1xx that are passed over before it is rubbish."""

_CONTINUE = 100
_SWITCHING_PROTOCOLS = 101
_OK = 200
_NO_CONTENT: Final = frozenset({204, 304})

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # framing is done anew, and this id is ours
        b"content-length",
        b"x-request-id",
    }
)
_DIGITS = re.compile(rb"[0-9]{1,18}").fullmatch
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class Rubbish(Exception):
    """This is no answer that could be passed on."""


class AnswerParser:
    """One answer after the other, on one connection.

    `has_begun`: some of it came. `head` is there once it is complete; `complete` says
    that the body is, too.
    `until_close`: only the end of the connection completes it. `keeps_alive`: another
    request may follow.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.expect_another()

    def expect_another(self) -> None:
        """Forget the answer that was complete."""
        self.head: AnswerHead | None = None
        self.complete = False
        self.until_close = False
        self.keeps_alive = False
        self._fields: list[tuple[bytes, bytes]] = []
        self._phrase = b""
        self._parts: list[bytes] = []
        self._size = 0
        self.has_begun = False
        self._interim = 0
        self._skipping = False
        self._trouble: str | None = None

    def feed(self, data: bytes) -> None:
        """Take what came, or raise `Rubbish`."""
        self._size += len(data)
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Rubbish("it switches protocols") from None
        except httptools.HttpParserError as error:
            raise Rubbish("it is not HTTP/1.1") from error
        if self._trouble is not None:
            raise Rubbish(self._trouble)
        if self.head is None and self._size > MAX_HEAD:
            raise Rubbish("its head does not end")

    def take_body(self) -> list[bytes]:
        """The pieces of the body that came since this was last asked."""
        parts, self._parts = self._parts, []
        return parts

    # --- called by llhttp ---

    def on_message_begin(self) -> None:
        if self.complete:
            self._trouble = "a second answer to one request"

    def on_status(self, phrase: bytes) -> None:
        self._phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is not None:
            return  # a trailer is no header (RFC 9110 §6.5.1)
        if len(self._fields) >= MAX_FIELDS or _UNFIT(value):
            self._trouble = "its header fields are too many or malformed"
            return
        self._fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if _CONTINUE <= status < _OK:
            self._interim += 1
            self._skipping = True
            if status == _SWITCHING_PROTOCOLS or self._interim > MAX_INTERIM:
                self._trouble = "too many interim answers, or a wrong one"
            return
        if status < _CONTINUE:
            self._trouble = "its status is none"
        # llhttp bears with HTTP/0.9 and HTTP/2.0, and with any octet in the phrase.
        if self._parser.get_http_version() not in _VERSIONS:
            self._trouble = "it is not HTTP/1.1"
        if _UNFIT(self._phrase):
            self._trouble = "its reason phrase is malformed"
        self.head = self._understand(status)

    def on_body(self, piece: bytes) -> None:
        self._parts.append(piece)

    def on_message_complete(self) -> None:
        if self._skipping:
            self._skipping = False
            self._fields = []
            self._phrase = b""
        else:
            self.complete = True

    # --- inside ---

    def _understand(self, status: int) -> AnswerHead:
        """RFC 9112 §6.3, with a doubt for every choice it leaves."""
        named: set[bytes] = set()
        lengths: list[bytes] = []
        codings: list[bytes] = []
        passed: list[tuple[bytes, bytes]] = []
        for field in self._fields:
            name = field[0].lower()
            if name not in _HOP_BY_HOP:
                passed.append(field)
            elif name == b"connection":
                named |= {option.strip().lower() for option in field[1].split(b",")}
            elif name == b"content-length":
                lengths.append(field[1])
            elif name == b"transfer-encoding":
                codings.append(field[1].lower())
        if named:
            passed = [field for field in passed if field[0].lower() not in named]
        if len(lengths) + len(codings) > 1:
            self._trouble = "its length is told twice"
        length: int | None = None
        if status in _NO_CONTENT:
            length = 0
        elif codings:
            if codings != [b"chunked"]:
                self._trouble = "its transfer coding is unknown"
            elif self._parser.get_http_version() == "1.0":
                self._trouble = "HTTP/1.0 knows no chunks"  # RFC 9112 §6.1
        elif lengths:
            if not _DIGITS(lengths[0]):
                self._trouble = "its length is malformed"
            else:
                length = int(lengths[0])
        else:
            self.until_close = True
        self.keeps_alive = self._parser.should_keep_alive() and not self.until_close
        is_dated = any(name.lower() == b"date" for name, _ in passed)
        return AnswerHead(status, self._phrase, passed, length, is_dated)
