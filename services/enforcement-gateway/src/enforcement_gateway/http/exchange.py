"""One request and its answer: authenticate, authorize, forward."""

import asyncio
from http import HTTPStatus

import structlog

from enforcement_gateway.body.inflation import Inflation
from enforcement_gateway.body.library import (
    names_its_version,
    resends_with_a_new_token,
)
from enforcement_gateway.body.write_keys import (
    read_write_keys_quickly,
    read_write_keys_strictly,
)
from enforcement_gateway.domain.authorization import Admit, Deny
from enforcement_gateway.domain.denials import DENIALS, Reason, Refused
from enforcement_gateway.gate import write_keys_of
from enforcement_gateway.http.head_template import HeadTemplate
from enforcement_gateway.http.plans import Plan
from enforcement_gateway.http.regulars import Regular
from enforcement_gateway.http.responses import (
    PreparedDenial,
    dates,
    options,
    prepared_denial,
)
from enforcement_gateway.http.routes import SCOPES, Door
from enforcement_gateway.http.server import Server
from enforcement_gateway.upstream.answers import (
    AnswerHead,
    Answers,
    AnswerSource,
    KnownHead,
)
from enforcement_gateway.upstream.forwarding import (
    Outline,
    authorization_for_upstream,
    forwarded_request,
    target_of,
)
from tollgate.oauth.access_tokens import UnverifiedAccessToken, VerifiedAccessToken

logger = structlog.get_logger(__name__)

MAX_READ_AT_ONCE = 64 * 1024
"""Octets of an odd body that are read on the event loop; a larger one has a thread."""

_KEY_UNKNOWN = Reason.TOKEN_SIGNING_KEY_UNKNOWN
_REDIRECTION = HTTPStatus.MULTIPLE_CHOICES // 100
_PREFLIGHT = b"access-control-request-method:"
_EVERYWHERE = b"GET, POST, OPTIONS"


class Connection(Regular):
    """Where the answer goes. A class to inherit from, as `Answers` is.

    It waits for answers itself, too: for those to requests that need no exchange.
    """

    __slots__ = ("is_congested",)

    is_congested: bool
    """The client does not take what it was sent."""

    def demote(self) -> None:
        """What it asked was refused: others are heard before it (ADR 47)."""
        raise NotImplementedError

    def answer(self, answer: bytes, close: bool) -> None:
        """The whole answer, or the last of it."""
        raise NotImplementedError

    def continue_answer(self, piece: bytes) -> None:
        raise NotImplementedError

    def break_answer(self) -> None:
        """The rest will not come: the client must see that it is cut short."""
        raise NotImplementedError


class Exchange(Answers):
    """Lives from the end of a request's head to the end of its answer.

    `template` is the one that its head fitted, if it did. What has no underscore is
    what the gate and the connection ask.
    """

    __slots__ = (
        "_body",
        "_chunked_answer",
        "_connection",
        "_digits",
        "_gone",
        "_is_final",
        "_outline",
        "_plan",
        "_readable",
        "_server",
        "_source",
        "_started",
        "_unknown",
        "_values",
        "door",
        "must_close",
        "request_id",
        "source_id",
        "token",
        "write_keys",
    )

    def __init__(
        self,
        server: Server,
        connection: Connection,
        plan: Plan,
        request_id: bytes,
        template: HeadTemplate | None = None,
    ) -> None:
        self._server = server
        self._connection = connection
        self._plan = plan
        self.request_id = request_id
        self.door = plan.door
        self.token: bytes | VerifiedAccessToken | Reason = plan.authorization.token
        self._outline: Outline | None = None
        self._digits = b""
        self._values: list[bytes] = []
        if template is not None:
            self._outline = template.outline
            self._digits = template.digits
            self._values = template.values
            if template.token is not None:
                self.token = template.token
        self.write_keys: tuple[str, ...] = ()
        self.source_id: str | None = None
        self._body = b""
        self._readable: bytes | None = None
        self._source: AnswerSource | None = None
        self._started = False
        self._chunked_answer = False
        self._gone = False
        self._is_final = False  # what is unknown in the logs as they are now
        self._unknown: Reason | None = None
        self.must_close = plan.must_close

    @property
    def user_agent(self) -> bytes:
        return self._plan.head.user_agent

    # --- used by the connection ---

    @property
    def is_refused(self) -> bool:
        """Already lost, whatever the body says."""
        return self._plan.refusal is not None

    def refuse(self, reason: Reason) -> None:
        """Answer with `reason` now, and end the connection: framing is lost."""
        self.must_close = True
        self._deny(reason)

    def run(self, body: bytes) -> None:
        """The request is complete: decide, and answer or forward."""
        plan = self._plan
        self._body = body
        if plan.is_plain:
            self.run_plain(body, self._server.gate.refuses(self.token, body))
        elif plan.refusal is not None:
            self._deny(plan.refusal)
        elif plan.inflates:
            self._run_deflated(Inflation(body, self._server.limits.inflated))
        elif plan.head.method == b"OPTIONS":
            self._answer_options()
        else:
            self._read(body)

    def run_plain(
        self, body: bytes, look: Reason | UnverifiedAccessToken | None
    ) -> None:
        """Only the body names write keys; `look` is what the gate refuses it for."""
        self._body = self._readable = body
        if isinstance(look, Reason):
            self._heed_no(look)
            return
        if look is not None:
            token = self.token
            assert isinstance(token, bytes)  # noqa: S101 - all else has been judged
            self._server.signatures.add([(self, None, token, look)])
            return
        keys = read_write_keys_quickly(body)
        if keys is None:
            self._read_oddity(body)
        else:
            self.write_keys = keys
            self._heed(self._server.gate.decide(self))

    def go_on_inflating(self, body: bytes, inflation: Inflation) -> None:
        """As `run`, when a slice of time was spent on it already."""
        self._body = body
        if inflation.is_complete:
            self._read(inflation.body)
        else:
            self._go_on_later(self._inflate(inflation))

    def go_on_reading(self, body: bytes, readable: bytes) -> None:
        """As `run`, when it was inflated already."""
        self._body = body
        self._read(readable)

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

    # --- used by the gate ---

    def confirmed(self, is_level: bool) -> None:
        """Decide again, and finally but for what another log may tell."""
        self._is_final = self._unknown is not _KEY_UNKNOWN
        try:
            if not is_level:
                self._deny(Reason.VIEW_UNCONFIRMED)
            elif self._plan.is_plain:
                self.run(self._body)
            else:
                self._heed(self._server.gate.decide(self))
        except Exception as fault:  # noqa: BLE001 - others wait for the same
            self.break_off(fault)

    def settled(
        self, about: None, outcome: VerifiedAccessToken | Reason | Exception
    ) -> None:
        """The signature of the token was looked at."""
        del about
        if isinstance(outcome, Exception):
            self.break_off(outcome)
            return
        if self._gone:
            return
        self.token = outcome
        try:
            self.run(self._body)
        except Exception as fault:  # noqa: BLE001 - others were verified with it
            self.break_off(fault)

    def break_off(self, fault: BaseException) -> None:
        """A fault of ours; nobody may wait for an answer that never comes."""
        tell_of_fault(self.request_id, fault)
        if not self._gone:
            self._connection.break_answer()

    # --- the way in ---

    def _run_deflated(self, inflation: Inflation) -> None:
        try:
            complete = inflation.work()
        except Refused as refused:
            self._deny(refused.reason)
            return
        if complete:
            self._read(inflation.body)
        else:
            self._go_on_later(self._inflate(inflation))

    async def _inflate(self, inflation: Inflation) -> None:
        try:
            while not inflation.work():  # noqa: ASYNC110 - others get their turn
                await asyncio.sleep(0)
        except Refused as refused:
            self._deny(refused.reason)
            return
        self._read(inflation.body)

    def _read(self, body: bytes) -> None:
        """Read the write keys of the inflated body, where the door reads bodies."""
        self._readable = body
        if self.door is not Door.TRACKING:
            self._decide(())
            return
        keys = read_write_keys_quickly(body)
        if keys is None:
            self._read_oddity(body)
        else:
            self._decide(keys)

    def _read_oddity(self, body: bytes) -> None:
        if len(body) > MAX_READ_AT_ONCE:
            self._go_on_later(self._read_strictly(body))
            return
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
        plan = self._plan
        try:
            self.write_keys, self.source_id = write_keys_of(
                plan.door, plan.authorization, plan.query, in_body
            )
        except Refused as refused:
            self._deny(refused.reason)
            return
        self._heed(self._server.gate.decide(self))

    def _heed(self, verdict: Admit | Deny) -> None:
        if isinstance(verdict, Admit):
            self._forward(verdict.client_id)
        else:
            self._heed_no(verdict.reason)

    def _heed_no(self, reason: Reason) -> None:
        """Say so; of what is unknown only when the log that tells it was read."""
        known = self._is_final or self._unknown is reason or not DENIALS[reason].unknown
        if known:
            self._deny(reason)
        else:
            self._unknown = reason
            self._server.gate.confirm(self, reason)

    def _go_on_later(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._server.tasks.add(task)
        task.add_done_callback(self._ended_later)

    def _ended_later(self, task: asyncio.Task[None]) -> None:
        self._server.tasks.discard(task)
        if task.cancelled():
            return
        fault = task.exception()
        if fault is not None:
            self.break_off(fault)

    # --- the way on ---

    def _forward(self, client_id: str | None) -> None:
        if self._gone:
            return  # nothing was sent yet, and nobody would hear the answer
        self._connection.promote()
        plan = self._plan
        behind = plan.behind
        assert behind is not None  # noqa: S101 - it is refused, or `*`, without one
        if self._outline is not None:
            request = self._outline.filled(
                None if client_id is None else client_id.encode(),
                self.request_id,
                self._digits,
                self._body,
                self._values,
            )
        else:
            head = plan.head
            request = forwarded_request(
                head,
                self._body,
                target=target_of(head, behind.pool.origin.prefix, cut=behind.prefix),
                authority=behind.pool.origin.authority,
                peer=self._connection.peer,
                request_id=self.request_id,
                client_id=client_id,
                authorization=authorization_for_upstream(
                    behind.authorization,
                    head,
                    ours=plan.authorization.ours,
                    write_key=self.write_keys[0] if self.write_keys else None,
                ),
            )
        behind.pool.send(request, self)

    def _answer_options(self) -> None:
        """A browser's preflight is for the upstream to judge; the rest is ours."""
        head, route = self._plan.head, self._plan.route
        preflight = any(line.lower().startswith(_PREFLIGHT) for line in head.forwarded)
        if route is not None and preflight and head.max_forwards != 0:
            self._forward(None)
            return
        allow = _EVERYWHERE if route is None else route.allow
        close = self._closes
        self._connection.answer(
            options(allow, request_id=self.request_id, close=close), close
        )

    # --- the way back ---

    def answer_known(self, known: KnownHead, body: bytes) -> None:
        if self._gone:
            return
        if self._closes:
            self.answer_whole(known.head, body)
            return
        self._server.counters.count_answered(known.status)
        self._connection.answer(known.whole(self.request_id, body), False)

    def answer_whole(self, head: AnswerHead, body: bytes) -> None:
        if self._gone or (
            head.status // 100 == _REDIRECTION and self._refuse_redirect()
        ):
            return
        self._server.counters.count_answered(head.status)
        close = self._closes
        self._connection.answer(self._answer_head(head, close=close) + body, close)

    def answer_started(self, head: AnswerHead, source: AnswerSource) -> None:
        if self._gone or (
            head.status // 100 == _REDIRECTION and self._refuse_redirect()
        ):
            source.abandon()
            return
        self._server.counters.count_answered(head.status)
        self._source = source
        self._started = True
        if head.length is None:
            self._chunked_answer = self._plan.head.is_http_1_1
            self.must_close |= not self._plan.head.is_http_1_1
        self._connection.continue_answer(self._answer_head(head, close=self._closes))

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
        self._connection.answer(last, self._closes)

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
        return (
            self.must_close or self._server.draining or not self._plan.head.keep_alive
        )

    def _refuse_redirect(self) -> bool:
        """Events sent to a redirect are lost with some SDKs (WIRE 4.2)."""
        if self.door not in (Door.TRACKING, Door.FUNCTION):
            return False
        self._deny(Reason.UPSTREAM_REDIRECTED)
        self._gone = True
        return True

    def _answer_head(self, head: AnswerHead, *, close: bool) -> bytes:
        return b"%b%b\r\n%b%b\r\n" % (
            head.start(chunked=self._chunked_answer),
            self.request_id,
            b"" if head.is_dated else dates.line(),
            b"Connection: close\r\n" if close else b"",
        )

    def _deny(self, reason: Reason) -> None:
        if self._gone:
            return
        server = self._server
        request_id = self.request_id
        close = self._closes
        answer = None if close else self._plan.denials.get(reason)
        if answer is None or answer.id_size != len(request_id):
            answer = self._prepare(reason, close)
        server.counters.count_denied(reason)
        server.refusals.tell(
            reason, answer.status, request_id, self._connection.peer.address
        )
        if DENIALS[reason].is_client_error:
            self._connection.demote()
        self._connection.answer(answer.filled(request_id), close)

    def _prepare(self, reason: Reason, close: bool) -> PreparedDenial:
        plan = self._plan
        route = plan.route
        stale = DENIALS[reason].stale
        answer = prepared_denial(
            reason,
            id_size=len(self.request_id),
            resends=stale
            and resends_with_a_new_token(plan.head.user_agent, self._readable),
            pixel=route is not None and route.door is Door.PIXEL,
            scope="" if route is None else SCOPES[route.door],
            allow=_EVERYWHERE
            if route is None
            else route.allow
            if reason is Reason.METHOD_NOT_ALLOWED
            else None,
            close=close,
            to_head=plan.head.method == b"HEAD",
        )
        if not close and (not stale or names_its_version(plan.head.user_agent)):
            plan.denials[reason] = answer
        return answer


def tell_of_fault(request_id: bytes, fault: BaseException) -> None:
    """For the log: the client is only cut off."""
    logger.error("request broken off", request_id=request_id, exc_info=fault)
