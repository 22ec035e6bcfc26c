"""The data port: bytes in, requests out, answers back in the order they were asked.

One request of a connection is under way at a time; what is pipelined behind it waits
in the buffer, up to a limit, and then in the kernel. After a broken head or body the
connection is closed, because where the next request begins is then anybody's guess.
"""

import asyncio
import re
from typing import cast

from enforcement_gateway.body.inflation import Inflation, inflated_at_once
from enforcement_gateway.body.write_keys import read_write_keys_quickly
from enforcement_gateway.domain.denials import DENIALS, Reason, Refused
from enforcement_gateway.gate import Question
from enforcement_gateway.http.chunks import ChunkedBody
from enforcement_gateway.http.exchange import Connection, Exchange, tell_of_fault
from enforcement_gateway.http.framing import MAX_HEAD, MAX_REQUEST_LINE, read_head
from enforcement_gateway.http.head_template import HeadTemplate, template_of
from enforcement_gateway.http.plans import Plan, plan_of
from enforcement_gateway.http.responses import CONTINUE, denial
from enforcement_gateway.http.server import LINGER_SECONDS, Server
from enforcement_gateway.sockets.transport import SocketTransport, own_or_none
from enforcement_gateway.upstream.answers import AnswerHead, AnswerSource, KnownHead
from enforcement_gateway.upstream.pool import MAX_PUT_OFF
from tollgate.oauth.access_tokens import UnverifiedAccessToken

MAX_PIPELINED = 64 * 1024
"""Octets that are read ahead of the answer under way."""

MAX_DISCARDED = 64 * 1024
"""A refused body up to this is read to keep the connection; a larger one ends it."""

MAX_LINGERED = 4 * 1024 * 1024
"""Octets read and dropped behind a last answer, so that it is not reset away."""

IS_COMPILED = not __file__.endswith(".py")
"""Whether this module, and with it the way of every request, was compiled."""

_BARE_LF = re.compile(rb"(?<!\r)\n").search
_FOREVER = float("inf")

PATIENCE_WITH_TEMPLATES = 8
"""Templates in a row that no later head fits before no more are made."""

# Where a connection is. Plain numbers, because they are compared at every read.
_HEAD, _LENGTH, _CHUNKS, _BUSY, _LINGER, _CLOSED = range(6)
_LARGE = MAX_PUT_OFF
_INCOMPLETE = (_HEAD, _LENGTH, _CHUNKS)


class ServerConnection(Connection):
    """One client: an `asyncio.Protocol`, without the base that C could not have.

    `deadline` is when the state it is in has lasted too long. A request of every day
    goes on at once, and its answer comes here: see `_pass_on`. Of any other, and of one
    whose answer is not whole at once, an `Exchange` takes care.
    """

    __slots__ = (
        "_advancing",
        "_buffer",
        "_chunks",
        "_ended",
        "_exchange",
        "_held",
        "_in_head",
        "_is_demoted",
        "_left",
        "_limits",
        "_lingered",
        "_own_transport",
        "_parts",
        "_patience",
        "_paused",
        "_request_id",
        "_server",
        "_skipped_line",
        "_state",
        "_template",
        "_transport",
        "_was_let_in",
        "deadline",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = server.limits
        self._state = _HEAD
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._request_id = b""
        self._template: HeadTemplate | None = None
        self._patience = PATIENCE_WITH_TEMPLATES
        self._own_transport: SocketTransport | None = None
        self._parts: list[bytes] = []
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._held = 0
        self._lingered = 0
        self._advancing = False
        self._paused = False
        self._ended = False
        self._in_head = False
        self._skipped_line = False
        self.is_congested = False
        self._was_let_in = False
        self._is_demoted = False
        self.gives_way = False
        self.deadline = _FOREVER

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._own_transport = own_or_none(transport)
        server = self._server
        self.peer = server.peer_of(transport)
        server.counters.connections += 1
        if not server.make_room():
            server.counters.count_denied(Reason.OVERLOADED)
            self._transport.write(
                denial(
                    Reason.OVERLOADED, request_id=next(server.request_ids), close=True
                )
            )
            self._state = _CLOSED
            # Its end is told first, and what it said read: a reset would overtake both.
            if self._transport.can_write_eof():
                self._transport.write_eof()
            asyncio.get_running_loop().call_soon(self._transport.close)
            return
        server.connections.add(self)
        server.counters.connections_now += 1
        self._begin_to_give_way()
        self.deadline = self._server.clock + self._limits.head_seconds

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == _HEAD and not self._buffer and not self.is_congested:
            template = self._template
            if template is None:
                template = self._template = self._server.templates.last_of(self.peer)
            if template is not None:
                server = self._server
                if self._is_demoted and template.refuses:
                    self._state = _BUSY
                    strangers = server.strangers
                    if strangers.unread:
                        strangers.unread.append((data, self, template))
                    else:
                        strangers.begin(data, self, template)
                    return
                at = template.fit(data, server.gate.remembered)
                length = template.length
                missing = at + length - len(data)
                if at and missing >= 0 and length <= server.max_body:
                    self._patience = PATIENCE_WITH_TEMPLATES
                    if missing:
                        self._begin_body(template, data[at:])
                    elif (
                        template.known is None
                        and template.is_everyday
                        and template.plan.is_plain
                    ):
                        self._state = _BUSY
                        token = template.token
                        assert token is not None  # noqa: S101 - it has one, to be ours
                        server.strangers.ask((token, data, at), self, template)
                    else:
                        octets = data  # a pointer in C, where a slice is a plain copy
                        self._pass_on(template, data, octets[at : at + length])
                    return
        elif state == _LINGER:
            self._lingered += len(data)
            if self._lingered > MAX_LINGERED:
                self._close()
            return
        elif state == _CLOSED:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if state == _BUSY or self._must_wait:
            if len(self._buffer) > MAX_PIPELINED and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            return
        self._advance()

    def eof_received(self) -> bool:
        """The client sends no more. It may still wait for answers."""
        self._ended = True
        waits = self._state == _BUSY or bool(self._buffer and self._must_wait)
        return waits and not self.peer.is_tls  # which has no half-closed connections

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.connection_ended(self)
        self._end_demotion()
        self._state = _CLOSED
        self.deadline = _FOREVER
        self._release()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_left()

    def pause_writing(self) -> None:
        self.is_congested = True
        self.deadline = self._server.clock + self._limits.write_seconds
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        self.is_congested = False
        if self._state == _BUSY:
            self.deadline = _FOREVER
        if self._exchange is not None:
            self._exchange.resume()
        elif self._state == _HEAD:
            self._await_next()

    # --- used by the server ---

    def time_out(self) -> None:
        """The deadline has passed."""
        if self.is_congested or self._state in (_LINGER, _CLOSED):
            self._transport.abort()
        elif self._state == _HEAD and not self._buffer:
            self._close()  # idle, as both sides may end at any time
        elif self._state == _BUSY:
            self.deadline = _FOREVER  # it came in time
        else:
            self._refuse(Reason.REQUEST_TOO_SLOW)

    def drain(self) -> None:
        """Close soon if nothing is under way; else with the next answer."""
        if self._state == _HEAD and not self._buffer:
            self.deadline = min(self.deadline, self._server.clock + 1.0)

    def abort(self) -> None:
        self._transport.abort()

    def give_way(self) -> bool:
        """End, for another to have the place; False while an answer is under way.

        Half a request does not hold a place: everybody can send one octet.
        """
        if self._state == _BUSY:
            return False
        self._transport.abort()
        return True

    # --- answers to requests that have no exchange ---

    def answer_known(self, known: KnownHead, body: bytes) -> None:
        server = self._server
        if (
            self._exchange is not None
            or self._state != _BUSY
            or self._buffer
            or self._ended
            or server.draining
        ):
            self.answer_whole(known.head, body)
            return
        if known.is_success:
            server.counters.succeeded += 1
        else:
            server.counters.count_answered(known.status)
        self._state = _HEAD
        own, answer = self._own_transport, known.whole(self._request_id, body)
        if own is not None:
            own.write(answer)
        else:
            self._transport.write(answer)
        if not self.is_congested:
            self.deadline = server.idle_until

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        exchange = self._taken_up()
        if exchange is not None:
            exchange.answer_whole(head, body)

    def answer_started(self, head: AnswerHead, source: AnswerSource) -> None:
        exchange = self._taken_up()
        if exchange is None:
            source.abandon()
        else:
            exchange.answer_started(head, source)

    def answer_continued(self, piece: bytes) -> None:
        exchange = self._taken_up()
        if exchange is not None:
            exchange.answer_continued(piece)

    def answer_ended(self) -> None:
        exchange = self._taken_up()
        if exchange is not None:
            exchange.answer_ended()

    def answer_failed(self, reason: Reason) -> None:
        exchange = self._taken_up()
        if exchange is not None:
            exchange.answer_failed(reason)

    def _taken_up(self) -> Exchange | None:
        """The exchange that goes on with a request of every day; None without client.

        It is made when the answer turns out to be none that comes whole and is known.
        """
        if self._exchange is None and self._state == _BUSY:
            template = self._template
            assert template is not None  # noqa: S101 - it does not change while busy
            self._exchange = Exchange(
                self._server, self, template.plan, self._request_id
            )
        return self._exchange

    # --- told of a request whose token is none that was verified ---

    def turn_away(self, answer: bytes, idle_until: float) -> bool:
        """Refuse it at once, the way of a flood: nothing is made but the answer.

        An exchange goes on where there is more to do, and answers as this (ADR 35).
        """
        if self._buffer or self._ended or self._state != _BUSY:
            return False
        self._skipped_line = False
        self._patience = PATIENCE_WITH_TEMPLATES
        self._state = _HEAD
        if not self._is_demoted:
            self.demote()
        own = self._own_transport
        if own is not None:
            own.write_now(answer)
        elif not self._transport.is_closing():
            self._transport.write(answer)
        if not self.is_congested:
            self.deadline = idle_until
        return True

    def read_alone(self, request: bytes) -> None:
        """Go on as if it came now, with what came since behind it."""
        if self._state == _CLOSED:
            return  # the client left
        self._state = _HEAD
        if self._buffer or self._ended:
            self._buffer = request + self._buffer
            self._advance()
        else:
            self.data_received(request)

    def look_closer(
        self,
        request_id: bytes,
        question: Question,
        look: Reason | UnverifiedAccessToken | None,
    ) -> None:
        """Have an exchange go on with a plain request."""
        if self._state == _CLOSED:
            return  # the client left
        self._skipped_line = False
        self._patience = PATIENCE_WITH_TEMPLATES
        shown, request, body_at = question
        self._request_id = request_id
        self.deadline = _FOREVER
        server, template = self._server, self._template
        assert template is not None  # noqa: S101 - it does not change while busy
        # Other heads may have filled its holes since.
        template.fit(request, server.gate.remembered)
        self._exchange = exchange = Exchange(
            server, self, template.plan, request_id, template
        )
        exchange.token = shown
        exchange.run_plain(request[body_at:], look)

    def take_up(self, request: bytes, inflated: bytes | None) -> None:
        if self._state == _CLOSED:
            return  # the client left
        server, template = self._server, self._template
        assert template is not None  # noqa: S101 - it does not change while busy
        # Other heads may have filled its holes since.
        body = request[template.fit(request, server.gate.remembered) :]
        self._exchange = exchange = Exchange(
            server, self, template.plan, self._request_id, template
        )
        if inflated is None:
            exchange.run(body)
        else:
            exchange.go_on_reading(body, inflated)

    def break_off(self, fault: Exception, request_id: bytes = b"") -> None:
        tell_of_fault(request_id or self._request_id, fault)
        if self._state != _CLOSED:
            self.break_answer()

    # --- used by the exchange ---

    def demote(self) -> None:
        if not self._is_demoted:
            self._is_demoted = True
            self._begin_to_give_way()
            if self._own_transport is not None:
                self._server.counters.demoted_connections_now += 1
                self._own_transport.demote()

    def promote(self) -> None:
        if self.gives_way:
            self.gives_way = False
            self._server.giving_way.pop(self, None)
            if not self._was_let_in:
                self._was_let_in = True
                self._server.counters.connections_let_in += 1
        self._end_demotion()

    def answer(self, answer: bytes, close: bool) -> None:
        if self._state == _CLOSED or self._transport.is_closing():
            return  # `connection_lost` is on its way, and tidies up
        if answer:
            self._transport.write(answer)
        unread = self._state != _BUSY
        self._exchange = None
        if self._held or self._parts:
            self._release()
        if close and (unread or self._buffer):
            self._linger()
        elif close or (self._ended and not self._buffer):
            self._close()
        else:
            self._state = _HEAD
            if not self.is_congested:
                self._await_next()

    def continue_answer(self, piece: bytes) -> None:
        if self._state != _CLOSED:
            self._transport.write(piece)

    def break_answer(self) -> None:
        self._exchange = None
        self._state = _CLOSED
        self._transport.abort()

    # --- inside ---

    def _begin_to_give_way(self) -> None:
        """Nothing of it was let in since now, if it is served at all."""
        server = self._server
        if not self.gives_way and self in server.connections:
            self.gives_way = True
            server.giving_way[self] = server.clock

    def _end_demotion(self) -> None:
        if self._is_demoted:
            self._is_demoted = False
            if self._own_transport is not None:
                self._server.counters.demoted_connections_now -= 1
                self._own_transport.promote()

    @property
    def _must_wait(self) -> bool:
        """The next request waits until the client has read earlier answers.

        Else who asks and never reads would have all of them kept here.
        """
        return self.is_congested and self._state == _HEAD

    def _await_next(self) -> None:
        """Nothing is under way: the next request may come, or has come already."""
        server = self._server
        patience = self._limits.head_seconds if self._in_head else server.idle_seconds
        self.deadline = server.clock + patience
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._buffer and not self._advancing:
            self._advance()

    def _advance(self) -> None:
        """Take what the buffer holds, as far as it goes."""
        self._advancing = True
        try:
            while self._buffer:
                if self._state == _HEAD:
                    if self.is_congested or not self._take_head():
                        break
                elif self._state == _LENGTH:
                    self._take_length()
                elif self._state == _CHUNKS:
                    self._take_chunks()
                else:
                    break
        except Refused as refused:
            self._refuse(refused.reason)
        finally:
            self._advancing = False
        if self._ended and self._state in _INCOMPLETE and not self._must_wait:
            self._close()  # RFC 9112 §8: what is cut short is no request

    def _take_head(self) -> bool:
        """A head, if it is complete. False if more must come."""
        data = self._buffer
        if not self._in_head:
            if not self._skipped_line:  # RFC 9112 §2.2: one empty line may come before
                if data == b"\r":
                    return False
                if data.startswith(b"\r\n"):
                    self._skipped_line = True
                    data = self._buffer = data[2:]
                    if not data:
                        return False
            self._in_head = True
            self.deadline = self._server.clock + self._limits.head_seconds
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            self._insist_on_progress(data)
            return False
        head = read_head(data[:end])
        self._buffer = data[end + 4 :]
        plan = plan_of(head, self._server)
        self._begin(plan)
        if self._patience:
            self._keep_template(data[: end + 4], plan)
        return True

    def _keep_template(self, head: bytes, plan: Plan) -> None:
        """For the next head, if the last ones showed that it may be the same."""
        self._patience -= 1
        template = template_of(head, plan, self.peer, self._template)
        if template is not None:
            template = self._server.templates.share(template, self.peer)
        self._template = template

    def _begin_body(self, template: HeadTemplate, start: bytes) -> None:
        """A request whose head fits, and of whose body that much has come."""
        self._open_exchange(template.plan, template)
        self._state = _LENGTH
        self._left = template.length
        self.deadline = self._server.clock + self._limits.body_seconds
        self._buffer = start
        if start:
            self._advance()

    def _pass_on(self, template: HeadTemplate, request: bytes, body: bytes) -> None:
        """A whole request, whose head fits: forward it, if it is plainly admitted.

        The everyday way: what an exchange would do, with nothing made that is not sent,
        and for all that come in one turn of the loop together (`http.regulars`).
        """
        self._skipped_line = False
        self._state = _BUSY
        plan = template.plan
        known = template.known
        inflation: Inflation | None = None
        readable = body
        if template.pool is not None and known is not None:
            server = self._server
            if plan.inflates:
                limit = self._limits.inflated
                inflated = inflated_at_once(body, limit)
                if inflated is not None:
                    readable = inflated
                else:
                    inflation = Inflation(body, limit)
                    readable = _inflated_in_a_slice(inflation)
            write_keys = read_write_keys_quickly(readable)
            if write_keys is not None and len(write_keys) == 1:
                request_id = self._request_id = next(server.request_ids)
                forwarded = template.outline.filled(
                    known.client_id_octets,
                    request_id,
                    template.digits,
                    body,
                    template.values,
                )
                inflated = readable if plan.inflates else None
                regulars = server.regulars
                asking = regulars.asking
                asking.append(
                    (known, write_keys[0], self, forwarded, request, inflated)
                )
                if len(body) > _LARGE:
                    regulars.serve()
                elif len(asking) == 1:  # those behind it are served when it is
                    regulars.come()
                return
        exchange = self._open_exchange(plan, template)
        if inflation is not None:
            exchange.go_on_inflating(body, inflation)
        elif readable is not body:
            exchange.go_on_reading(body, readable)
        else:
            exchange.run(body)

    def _open_exchange(
        self, plan: Plan, template: HeadTemplate | None = None
    ) -> Exchange:
        server = self._server
        server.counters.requests += 1
        request_id = next(server.request_ids)
        exchange = Exchange(server, self, plan, request_id, template)
        self._exchange = exchange
        return exchange

    def _insist_on_progress(self, data: bytes) -> None:
        """Refuse what cannot become a head any more."""
        if data.find(b"\r\n", 0, MAX_REQUEST_LINE) < 0 <= len(data) - MAX_REQUEST_LINE:
            raise Refused(Reason.TARGET_TOO_LONG)
        if len(data) >= MAX_HEAD:
            raise Refused(Reason.HEAD_TOO_LARGE)
        if _BARE_LF(data):
            raise Refused(Reason.HEAD_MALFORMED)

    def _begin(self, plan: Plan) -> None:
        head = plan.head
        exchange = self._open_exchange(plan)
        self.deadline = self._server.clock + self._limits.body_seconds
        if not head.has_body:
            self._complete(b"")
            return
        if head.content_length > self._server.max_body:
            raise Refused(Reason.BODY_TOO_LARGE)
        self._state = _CHUNKS if head.chunked else _LENGTH
        self._parts = []
        self._left = head.content_length
        if head.chunked:
            self._chunks = ChunkedBody(self._limits.body)
        if exchange.is_refused and (
            head.chunked or head.expects_continue or head.content_length > MAX_DISCARDED
        ):
            exchange.must_close = True
            exchange.run(b"")
        elif head.expects_continue and not self._buffer:
            self._transport.write(CONTINUE)

    def _take_length(self) -> None:
        data = self._buffer
        size = len(data)
        if size > self._left:
            self._buffer = data[self._left :]
            data = data[: self._left]
            size = self._left
        else:
            self._buffer = b""
        if size == self._left and not self._parts:
            self._complete(data)
            return
        self._hold(size)
        self._parts.append(data)
        self._left -= size
        if not self._left:
            self._complete(b"".join(self._parts))

    def _take_chunks(self) -> None:
        chunks = self._chunks
        assert chunks is not None  # noqa: S101 - by the state
        data, self._buffer = self._buffer, b""
        self._hold(len(data))
        rest = chunks.feed(data)
        if rest is not None:
            self._buffer = rest
            self._chunks = None
            self._complete(b"".join(chunks.parts))

    def _complete(self, body: bytes) -> None:
        self._state = _BUSY
        self._in_head = self._skipped_line = False
        self._parts = []
        self.deadline = _FOREVER
        exchange = self._exchange
        assert exchange is not None  # noqa: S101 - by the caller
        exchange.run(body)

    def _hold(self, size: int) -> None:
        """Account for octets of an unfinished body, or refuse them."""
        counters = self._server.counters
        if counters.body_bytes_now + size > self._limits.unfinished_bodies:
            raise Refused(Reason.OVERLOADED)
        self._held += size
        counters.body_bytes_now += size
        counters.body_bytes += size

    def _release(self) -> None:
        self._server.counters.body_bytes_now -= self._held
        self._held = 0
        self._parts = []

    def _refuse(self, reason: Reason) -> None:
        """Answer and end the connection: its framing is lost, or was never found."""
        exchange = self._exchange
        if exchange is not None:
            exchange.refuse(reason)
            return
        self._server.counters.requests += 1
        self._server.counters.count_denied(reason)
        request_id = next(self._server.request_ids)
        self._server.refusals.tell(
            reason, DENIALS[reason].status, request_id, self.peer.address
        )
        self.answer(denial(reason, request_id=request_id, close=True), True)

    def _linger(self) -> None:
        """Say that this was all, then read on a little.

        Closing at once would reset the connection if the client is still sending, and
        the reset would overtake the answer.
        """
        self._state = _LINGER
        self._buffer = b""
        self._parts = []
        self.deadline = self._server.clock + LINGER_SECONDS
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._ended:
            self._close()

    def _close(self) -> None:
        self._state = _CLOSED
        self.deadline = self._server.clock + self._limits.write_seconds
        self._transport.close()


def _inflated_in_a_slice(inflation: Inflation) -> bytes:
    """All of it; nothing, which is no JSON, if that takes longer or is refused."""
    try:
        return inflation.body if inflation.work() else b""
    except Refused:
        return b""
