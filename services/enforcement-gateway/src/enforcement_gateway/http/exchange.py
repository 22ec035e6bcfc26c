"""One request and its answer: authenticate, authorize, forward."""

import asyncio
import re
import time
from http import HTTPStatus
from typing import Protocol

import structlog

from enforcement_gateway.body.inflation import Inflation
from enforcement_gateway.body.library import resends_with_a_new_token
from enforcement_gateway.body.write_keys import (
    read_write_keys_quickly,
    read_write_keys_strictly,
)
from enforcement_gateway.credentials import (
    NONE,
    Authorization,
    Query,
    read_authorization,
    read_query,
)
from enforcement_gateway.domain.authorization import Deny
from enforcement_gateway.domain.denials import DENIALS, Reason, Refused, status_of
from enforcement_gateway.gate import Asked, Passed, write_keys_of
from enforcement_gateway.http.framing import Head
from enforcement_gateway.http.responses import (
    dates,
    denial,
    options,
    status_line,
)
from enforcement_gateway.http.routes import SCOPES, Door, Route, route_of
from enforcement_gateway.http.server import Server
from enforcement_gateway.upstream.answers import AnswerHead, AnswerSource
from enforcement_gateway.upstream.forwarding import (
    Peer,
    authorization_for_upstream,
    forwarded_request,
)

logger = structlog.get_logger(__name__)

SLICE_OF_TIME = 0.001
"""Seconds that inflating one body may keep the event loop."""

MAX_READ_AT_ONCE = 64 * 1024
"""Octets of an odd body that are read on the event loop; a larger one has a thread."""

_GZIP = b"gzip"
_CHARSET = re.compile(rb"charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE).findall
_UTF_8 = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_PREFLIGHT = b"access-control-request-method:"
_EVERYWHERE = b"GET, POST, OPTIONS"


class Connection(Protocol):
    """Where the answer goes."""

    peer: Peer

    def answer(self, answer: bytes, *, close: bool) -> None:
        """The whole answer, or the last of it."""
        ...

    def continue_answer(self, piece: bytes) -> None: ...

    def break_answer(self) -> None:
        """The rest will not come: the client must see that it is cut short."""
        ...

    @property
    def is_congested(self) -> bool:
        """The client does not take what it was sent."""
        ...


class Exchange:
    """Lives from the end of a request's head to the end of its answer."""

    def __init__(self, server: Server, connection: Connection, head: Head) -> None:
        self._server = server
        self._connection = connection
        self._head = head
        self._request_id = server.new_request_id()
        self._route: Route | None = None
        self._authorization: Authorization = NONE
        self._query = Query()
        self._body = b""
        self._readable: bytes | None = None
        self._write_keys: tuple[str, ...] = ()
        self._refusal: Reason | None = None
        self._source: AnswerSource | None = None
        self._started = False
        self._chunked_answer = False
        self._gone = False
        self.must_close = False
        server.counters.requests += 1
        try:
            self._consider()
        except Refused as refused:
            self._refusal = refused.reason

    # --- used by the connection ---

    @property
    def is_refused(self) -> bool:
        """Already lost, whatever the body says."""
        return self._refusal is not None

    def refuse(self, reason: Reason) -> None:
        """Answer with `reason` now, and end the connection: framing is lost."""
        self.must_close = True
        self._deny(reason)

    def run(self, body: bytes) -> None:
        """The request is complete: decide, and answer or forward."""
        if self._refusal is not None:
            self._deny(self._refusal)
            return
        self._body = body
        if self._head.method == b"OPTIONS":
            self._answer_options()
            return
        if self._needs_inflating():
            inflation = Inflation(body, self._server.limits.inflated)
            try:
                complete = _work(inflation)
            except Refused as refused:
                self._deny(refused.reason)
                return
            if not complete:
                self._go_on_later(self._inflate(inflation))
                return
            self._read(inflation.body)
        else:
            self._read(body)

    def client_left(self) -> None:
        """Nobody waits for the answer any longer."""
        self._gone = True
        if self._source is not None:
            self._source.abandon()

    def pause(self) -> None:
        if self._source is not None:
            self._source.pause()

    def resume(self) -> None:
        if self._source is not None:
            self._source.resume()

    # --- the way in ---

    def _consider(self) -> None:
        """What can be said before the body; raises `Refused`."""
        head = self._head
        if head.path == b"*":
            return
        if head.method == b"CONNECT":
            self.must_close = True
            raise Refused(Reason.METHOD_NOT_ALLOWED)
        route = route_of(head.path, head.query, self._server.admin_prefix)
        self._route = route
        if head.method not in route.methods and head.method != b"OPTIONS":
            raise Refused(Reason.METHOD_NOT_ALLOWED)
        if route.door not in self._server.behind:
            raise Refused(Reason.NOT_FOUND)
        if head.has_body and (head.method == b"OPTIONS" or route.door is Door.PIXEL):
            raise Refused(Reason.BODY_UNEXPECTED)
        if route.door is Door.TRACKING:
            _insist_on_readable(head)
        self._authorization = read_authorization(head.authorization)
        self._query = read_query(head.query) if head.query else self._query
        if self._query.carries_token and self._authorization.ours:
            raise Refused(Reason.CREDENTIALS_AMBIGUOUS)

    def _needs_inflating(self) -> bool:
        return (
            self._head.content_encoding is not None
            and self._route is not None
            and self._route.door is Door.TRACKING
        )

    async def _inflate(self, inflation: Inflation) -> None:
        try:
            while not _work(inflation):  # noqa: ASYNC110 - others get their turn
                await asyncio.sleep(0)
        except Refused as refused:
            self._deny(refused.reason)
            return
        self._read(inflation.body)

    def _read(self, body: bytes) -> None:
        """Read the write keys of the inflated body, where the door reads bodies."""
        self._readable = body
        route = self._route
        assert route is not None  # noqa: S101 - by the caller
        if route.door is not Door.TRACKING:
            self._decide(())
            return
        keys = read_write_keys_quickly(body)
        if keys is not None:
            self._decide(keys)
        elif len(body) > MAX_READ_AT_ONCE:
            self._go_on_later(self._read_strictly(body))
        else:
            try:
                keys = read_write_keys_strictly(body)
            except Refused as refused:
                self._deny(refused.reason)
                return
            self._decide(keys)

    async def _read_strictly(self, body: bytes) -> None:
        try:
            keys = await asyncio.get_running_loop().run_in_executor(
                self._server.reader, read_write_keys_strictly, body
            )
        except Refused as refused:
            self._deny(refused.reason)
            return
        self._decide(keys)

    def _decide(self, in_body: tuple[str, ...]) -> None:
        route = self._route
        assert route is not None  # noqa: S101 - by the caller
        try:
            keys, source_id = write_keys_of(
                route.door, self._authorization, self._query, in_body
            )
        except Refused as refused:
            self._deny(refused.reason)
            return
        self._write_keys = keys
        asked = Asked(
            door=route.door,
            authorization=self._authorization,
            write_keys=keys,
            source_id=source_id,
            request_id=self._request_id,
            user_agent=self._head.user_agent,
        )
        verdict = self._server.gate.decide(asked)
        if isinstance(verdict, Passed):
            self._forward(verdict)
        elif DENIALS[verdict.reason].unknown:
            self._go_on_later(self._decide_again(asked))
        else:
            self._deny(verdict.reason)

    async def _decide_again(self, asked: Asked) -> None:
        verdict = await self._server.gate.decide_again(asked)
        if isinstance(verdict, Deny):
            self._deny(verdict.reason)
        else:
            self._forward(verdict)

    def _go_on_later(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._server.tasks.add(task)
        task.add_done_callback(self._ended_later)

    def _ended_later(self, task: asyncio.Task[None]) -> None:
        self._server.tasks.discard(task)
        if task.cancelled():
            return
        fault = task.exception()
        if fault is not None:  # ours; nobody may wait for an answer that never comes
            logger.error(
                "request broken off", request_id=self._request_id, exc_info=fault
            )
            if not self._gone:
                self._connection.break_answer()

    # --- the way on ---

    def _forward(self, passed: Passed) -> None:
        if self._gone:
            return  # nothing was sent yet, and nobody would hear the answer
        head, route = self._head, self._route
        assert route is not None  # noqa: S101 - by the caller
        behind = self._server.behind[route.door]
        path = head.path[len(behind.prefix) :]
        target = behind.pool.origin.prefix + path
        if head.query is not None:
            target += b"?" + head.query
        request = forwarded_request(
            head,
            self._body,
            target=target,
            authority=behind.pool.origin.authority,
            peer=self._connection.peer,
            request_id=self._request_id.encode(),
            client_id=passed.client_id,
            authorization=authorization_for_upstream(
                behind.authorization,
                head,
                ours=self._authorization.ours,
                write_key=self._write_keys[0] if self._write_keys else None,
            ),
        )
        behind.pool.send(request, self)

    def _answer_options(self) -> None:
        """A browser's preflight is for the upstream to judge; the rest is ours."""
        head, route = self._head, self._route
        preflight = any(line.lower().startswith(_PREFLIGHT) for line in head.forwarded)
        if route is not None and preflight and head.max_forwards != 0:
            self._forward(Passed())
            return
        allow = _EVERYWHERE if route is None else route.allow
        close = self._closes
        self._connection.answer(
            options(allow, request_id=self._request_id, close=close), close=close
        )

    # --- the way back ---

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        if self._gone or self._refuse_redirect(head):
            return
        self._server.counters.count_answered(head.status)
        close = self._closes
        answer = self._answer_head(head, head.length, close=close)
        self._connection.answer(answer + body, close=close)

    def answer_started(self, head: AnswerHead, source: AnswerSource) -> None:
        if self._gone or self._refuse_redirect(head):
            source.abandon()
            return
        self._server.counters.count_answered(head.status)
        self._source = source
        self._started = True
        if head.length is None:
            self._chunked_answer = self._head.is_http_1_1
            self.must_close |= not self._head.is_http_1_1
        self._connection.continue_answer(
            self._answer_head(head, head.length, close=self._closes)
        )

    def answer_continued(self, piece: bytes) -> None:
        if self._gone or not piece:
            return
        if self._chunked_answer:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._connection.continue_answer(piece)

    def answer_ended(self) -> None:
        if self._gone:
            return
        self._source = None
        last = b"0\r\n\r\n" if self._chunked_answer else b""
        self._connection.answer(last, close=self._closes)

    def answer_failed(self, reason: Reason) -> None:
        if self._gone:
            return
        self._source = None
        if self._started:
            self._server.counters.count_denied(reason)
            self._connection.break_answer()
        else:
            self._deny(reason)

    # --- answers ---

    @property
    def _closes(self) -> bool:
        return self.must_close or self._server.draining or not self._head.keep_alive

    def _refuse_redirect(self, head: AnswerHead) -> bool:
        """Events sent to a redirect are lost with some SDKs (WIRE 4.2)."""
        route = self._route
        if (
            head.status // 100 != HTTPStatus.MULTIPLE_CHOICES // 100
            or route is None
            or route.door not in (Door.TRACKING, Door.FUNCTION)
        ):
            return False
        self._deny(Reason.UPSTREAM_REDIRECTED)
        self._gone = True
        return True

    def _answer_head(
        self, head: AnswerHead, length: int | None, *, close: bool
    ) -> bytes:
        parts = [status_line(head.status, head.phrase)]
        dated = False
        for name, value in head.fields:
            parts.append(b"%b: %b\r\n" % (name, value))
            dated = dated or name.lower() == b"date"
        if not dated:
            parts.append(dates.line())
        if self._chunked_answer:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        elif length is not None and head.status not in _WITHOUT_LENGTH:
            parts.append(b"Content-Length: %d\r\n" % length)
        parts.append(b"X-Request-Id: %b\r\n" % self._request_id.encode())
        if close:
            parts.append(b"Connection: close\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _deny(self, reason: Reason) -> None:
        if self._gone:
            return
        route = self._route
        entry = DENIALS[reason]
        resends = entry.stale and resends_with_a_new_token(
            self._head.user_agent, self._readable
        )
        close = self._closes
        self._server.counters.count_denied(reason)
        self._server.refusals.tell(
            reason,
            status=status_of(entry, resends=resends),
            request_id=self._request_id,
            address=self._connection.peer.address,
        )
        answer = denial(
            reason,
            request_id=self._request_id,
            resends=resends,
            pixel=route is not None and route.door is Door.PIXEL,
            scope="" if route is None else SCOPES[route.door],
            allow=_EVERYWHERE
            if route is None
            else route.allow
            if reason is Reason.METHOD_NOT_ALLOWED
            else None,
            close=close,
            to_head=self._head.method == b"HEAD",
        )
        self._connection.answer(answer, close=close)


_WITHOUT_LENGTH = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


def _work(inflation: Inflation) -> bool:
    """Inflate for a slice of time; True when done."""
    end = time.perf_counter() + SLICE_OF_TIME
    while not inflation.step():
        if time.perf_counter() > end:
            return False
    return True


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
