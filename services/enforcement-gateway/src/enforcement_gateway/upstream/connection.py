"""One connection to an upstream: a request out, its answer back, and again.

A connection on which anything was odd is closed, never used again: what came late or
too much would be taken for the next answer.
"""

import asyncio
from http import HTTPStatus
from typing import cast

from msgspec.structs import replace

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.sockets.transport import SocketTransport, own_or_none
from enforcement_gateway.upstream.answer_parser import AnswerParser, Rubbish
from enforcement_gateway.upstream.answers import AnswerHead, Answers
from enforcement_gateway.upstream.known_answers import KnownAnswers

MAX_DRAINED = 64 * 1024
"""Octets of an answer nobody waits for that are still read to keep a connection."""

_FOREVER = float("inf")


class Owner:
    """The pool. A class to inherit from, as `Answers` is."""

    __slots__ = ("clock", "idle")

    clock: float
    """That of the loop at the next look at deadlines, which are counted from it."""

    idle: "list[UpstreamConnection]"
    """Those that are free for another request; each adds itself to them."""

    def lost(self, connection: "UpstreamConnection") -> None:
        """It is closed, or about to be."""
        raise NotImplementedError


class UpstreamConnection:
    """Carries one request at a time. An `asyncio.Protocol` but for the base class.

    `deadline` is when patience with the upstream ends, `idle_since` when the last
    answer was complete, both by the clock of the owner.
    """

    __slots__ = (
        "_answers",
        "_busy",
        "_drained",
        "_known",
        "_own_transport",
        "_owner",
        "_parser",
        "_parses",
        "_patience",
        "_started",
        "_transport",
        "deadline",
        "descriptor",
        "idle_since",
        "is_closed",
    )

    def __init__(
        self, owner: Owner, patience: float, known: KnownAnswers | None = None
    ) -> None:
        self._owner = owner
        self._patience = patience
        self._known = KnownAnswers() if known is None else known
        self._parser = AnswerParser()
        self._answers: Answers | None = None
        self._own_transport: SocketTransport | None = None
        self._busy = False
        self.is_closed = False
        self._started = False
        self._drained = 0
        self._parses = False
        self.descriptor = -1
        self.deadline = _FOREVER
        self.idle_since = 0.0

    # --- used by the pool ---

    def is_idle(self) -> bool:
        """Whether it is open, and nothing is under way on it."""
        return not (self.is_closed or self._busy)

    def send(self, request: bytes, answers: Answers) -> None:
        """Send a request, once. How it ends is told to `answers`."""
        self._busy = True
        self._answers = answers
        self.deadline = self._owner.clock + self._patience
        own = self._own_transport
        if own is not None:
            own.write_now(request)  # others of its turn wait no longer either
        else:
            self._transport.write(request)

    def time_out(self) -> None:
        """The deadline has passed."""
        if self._busy:
            self._fail(Reason.UPSTREAM_TIMEOUT)
        else:
            self.deadline = _FOREVER  # the answer came in time

    def break_off(self) -> None:
        """The request could not be sent, because of a fault of ours."""
        self._fail(Reason.UPSTREAM_UNREACHABLE)

    def close(self) -> None:
        self.is_closed = True
        self._transport.close()

    # --- used by whoever waits for the answer ---

    def pause(self) -> None:
        if not self._busy or self._transport.is_closing():
            return  # this was the last of it; the next answer is somebody else's
        self._transport.pause_reading()
        self.deadline = _FOREVER  # the client is slow, not the upstream

    def resume(self) -> None:
        if self._answers is None or self._transport.is_closing():
            return
        self._transport.resume_reading()
        self.deadline = self._owner.clock + self._patience

    def abandon(self) -> None:
        """Let the upstream finish, if that is soon: it may have taken the events."""
        self.resume()
        self._answers = None

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._own_transport = own_or_none(transport)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            self.descriptor = socket.fileno()

    def data_received(self, data: bytes) -> None:
        answers = self._answers
        is_first = not self._parses
        if is_first and answers is not None:
            known = self._known.recognise(data)
            if known is not None:
                self._finish(True)
                answers.answer_known(known, self._known.body)
                return
        if not self._busy:
            self.close()  # nobody asked
            self._owner.lost(self)
            return
        parser = self._parser
        if is_first:
            self._parses = True
            self._started = False
            self._drained = 0
        try:
            parser.feed(data)
        except Rubbish:
            self._fail(Reason.UPSTREAM_RUBBISH)
            return
        head = parser.head
        if head is not None:  # a head that drips is as good as silence
            if is_first and parser.complete and parser.keeps_alive:
                self._known.learn(data, head)
            self.deadline = self._owner.clock + self._patience
            self._deliver(head)

    def eof_received(self) -> bool:
        return False  # it will not listen to another request either

    def pause_writing(self) -> None:
        """Nothing to do: there is one request at a time, and it is whole."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self._busy:
            parser = self._parser
            if parser.head is not None and parser.until_close and exc is None:
                parser.complete = True
                self._deliver(parser.head)
            elif parser.head is None and parser.has_begun:
                self._fail(Reason.UPSTREAM_RUBBISH)
            else:
                self._fail(Reason.UPSTREAM_CLOSED)
        self._owner.lost(self)

    # --- inside ---

    def _deliver(self, head: AnswerHead) -> None:
        """Pass on what has come. A small answer is one write for the client."""
        answers = self._answers
        parts = self._parser.take_body()
        complete = self._parser.complete
        if complete:
            self._finish(self._parser.keeps_alive)
        if answers is None:
            self._drained += sum(map(len, parts))
            if self._drained > MAX_DRAINED and not complete:
                self._fail(Reason.UPSTREAM_CLOSED)
        elif complete and not self._started:
            body = b"".join(parts)
            answers.answer_whole(_sized(head, len(body)), body)
        else:
            if not self._started:
                self._started = True
                answers.answer_started(head, self)
            for piece in parts:
                answers.answer_continued(piece)
            if complete:
                answers.answer_ended()

    def _finish(self, keeps_alive: bool) -> None:
        """The answer is complete: back to the pool, if nothing speaks against it."""
        self._answers = None
        self._busy = False
        own = self._own_transport
        if own is not None:
            is_sent = not own.unsent
        else:
            is_sent = not self._transport.get_write_buffer_size()
        # An answer may come before all of the request was taken.
        if self.is_closed or not (keeps_alive and is_sent):
            self.close()
            return
        if self._parses:
            self._parses = False
            self._parser.expect_another()
        owner = self._owner
        self.idle_since = owner.clock
        owner.idle.append(self)

    def _fail(self, reason: Reason) -> None:
        answers, self._answers = self._answers, None
        self._busy = False
        self.deadline = _FOREVER
        if not self.is_closed:
            self.is_closed = True
            self._transport.abort()
        if answers is not None:
            answers.answer_failed(reason)


def _sized(head: AnswerHead, length: int) -> AnswerHead:
    if head.length is not None or head.status == HTTPStatus.NO_CONTENT:
        return head
    return replace(head, length=length)
