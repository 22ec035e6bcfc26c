"""The chunked coding, taken apart (RFC 9112 §7.1)."""

import re

from enforcement_gateway.domain.denials import Reason, Refused

MAX_CHUNK_LINE = 256
MAX_TRAILERS = 8192

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t\x20-\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    # The size, and extensions that are ignored. No sign, no 0x, no underscore, no
    # bare CR or LF anywhere.
    rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED)
).fullmatch
_TRAILER = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*").fullmatch


class ChunkedBody:
    """Takes bytes as they come and keeps the body they make.

    Trailers are read and dropped: they never become headers (RFC 9110 §6.5.1).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._overhead_left = max(limit // 4, 4 * MAX_CHUNK_LINE)
        self._pending = b""
        self._chunk_left = 0
        self._state = _SIZE
        self._trailers = 0
        self.parts: list[bytes] = []
        self.size = 0

    def feed(self, data: bytes) -> bytes | None:
        """Take `data`; when the body is complete, return what comes after it.

        Raises `Refused` for broken grammar or too large a body.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        at = 0
        while True:
            if self._state is _DATA:
                piece = data[at : at + self._chunk_left]
                if piece:
                    self.parts.append(piece)
                    self._chunk_left -= len(piece)
                    at += len(piece)
                if self._chunk_left:
                    return None
                self._state = _DATA_END
            if self._state is _DATA_END:
                if len(data) - at < len(_CRLF):
                    self._pending = data[at:]
                    return None
                if not data.startswith(_CRLF, at):
                    raise Refused(Reason.CHUNK_MALFORMED)
                at += len(_CRLF)
                self._state = _SIZE
            longest = MAX_TRAILERS if self._state is _TRAILERS else MAX_CHUNK_LINE
            end = data.find(_CRLF, at, at + longest + len(_CRLF))
            if end < 0:
                if len(data) - at > longest + 1:  # half of the line end may be here
                    raise Refused(Reason.CHUNK_MALFORMED)
                self._pending = data[at:]
                return None
            line = data[at:end]
            at = end + len(_CRLF)
            if self._state is _TRAILERS:
                if not line:
                    return data[at:]
                self._skip_trailer(line)
            else:
                self._start_chunk(line)

    def _start_chunk(self, line: bytes) -> None:
        match = _CHUNK_LINE(line)
        if match is None:
            raise Refused(Reason.CHUNK_MALFORMED)
        size = int(match[1], 16)
        if size == 0:
            self._state = _TRAILERS
            return
        self.size += size
        # A body in chunks of a byte each costs six times what it carries.
        self._overhead_left -= len(line) + 2 * len(_CRLF)
        if self.size > self._limit or self._overhead_left < 0:
            raise Refused(Reason.BODY_TOO_LARGE)
        self._chunk_left = size
        self._state = _DATA

    def _skip_trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > MAX_TRAILERS or not _TRAILER(line):
            raise Refused(Reason.CHUNK_MALFORMED)


_CRLF = b"\r\n"
_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)
