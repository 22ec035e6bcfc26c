"""Requests whose tokens nobody has verified yet: those of a turn, looked at together.

They are the way of a flood. One look at the view and the clocks serves all that came
in a turn of the loop, and who is refused alike is told alike, by an answer that was
written before (ADR 35).
"""

from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias, cast

from enforcement_gateway.domain.authorization import KnownToken
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Look, Question
from enforcement_gateway.http.head_template import HeadTemplate
from enforcement_gateway.http.plans import Plan
from enforcement_gateway.http.responses import PreparedDenial
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.forwarding import Peer
from enforcement_gateway.verification import Unsettled
from tollgate.oauth.access_tokens import UnverifiedAccessToken, VerifiedAccessToken

if TYPE_CHECKING:
    from enforcement_gateway.http.server import Server


class Stranger(Answers):
    """The connection of such a request, which is under way from when it was added.

    A class to inherit from, as `Answers` is.
    """

    __slots__ = ("peer",)

    peer: Peer

    def turn_away(self, answer: bytes, idle_until: float) -> bool:
        """Give that answer, and be done; False if there is more to do."""
        raise NotImplementedError

    def look_closer(
        self,
        request_id: bytes,
        question: Question,
        look: Reason | UnverifiedAccessToken | None,
    ) -> None:
        """Go on by what the gate said: there is no answer yet."""
        raise NotImplementedError

    def read_alone(self, request: bytes) -> None:
        """Read it as any other: it is not like the one before, or it may be let in."""
        raise NotImplementedError

    def break_off(self, fault: Exception, request_id: bytes = b"") -> None:
        """There will be no answer, because of a fault of ours. Must not raise."""
        raise NotImplementedError


Asked: TypeAlias = tuple[Question, Stranger, HeadTemplate]
"""What is asked about one, whose it is, and the template that its head fits.

It is counted, and has an id, when it is told what became of it.
"""


class Strangers:
    """Of one worker. `asked` are those of this turn whose heads were read.

    `unread` are those that came whole and are as long as one of their template that
    was refused; what that means is looked at for all of them in one go.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._turn = turn
        self.asked: list[Asked] = []
        self.unread: list[tuple[bytes, Stranger, HeadTemplate]] = []

    def ask(self, question: Question, one: Stranger, template: HeadTemplate) -> None:
        """Add one whose head was read, behind all that came before it."""
        if self.unread:
            self._read()
        self.asked.append((question, one, template))
        if len(self.asked) == 1:
            self._come()

    def begin(self, request: bytes, one: Stranger, template: HeadTemplate) -> None:
        """Add the first that is unread."""
        self.unread.append((request, one, template))
        self._come()

    def _come(self) -> None:
        """The first was added: look at them when the turn is over; without one, now."""
        if self._turn.is_under_way:
            self._turn.put_off(self.serve)
        else:
            self.serve()

    def serve(self) -> None:
        """Refuse whom a first look refuses, and tell all others what it said."""
        if self.unread:
            self._read()
        asked, self.asked = self.asked, []
        if asked:
            self._answer(asked)

    def _read(self) -> None:
        """Find the tokens of those that are like one before, and have others read."""
        unread, self.unread = self.unread, []
        for template, run in groupby(unread, _ITS_TEMPLATE):
            requests, ones, _ = zip(*run, strict=True)
            # One may have fitted since that was refused for its size.
            is_small = template.length <= self._server.max_body
            tokens = template.tokens_of(requests) if is_small else None
            if tokens is not None:
                questions = zip(tokens, requests, repeat(template.body_at))
                self.asked += zip(questions, ones, repeat(template))
                continue
            for request, one in zip(requests, ones, strict=True):
                self._have_read(request, one, template)

    def _answer(self, asked: list[Asked]) -> None:
        server = self._server
        looks: list[Look]
        try:
            looks = server.gate.refuses_each([each[0] for each in asked])
        except Exception:  # noqa: BLE001 - who looks closer meets it, and nobody else
            looks = [None] * len(asked)
        counters, refusals = server.counters, server.refusals
        ids, idle_until = server.request_ids, server.idle_until
        unsettled: list[Unsettled] = []
        template: HeadTemplate | None = None
        last: object = None
        answer: PreparedDenial | None = None
        around_ids: list[bytes] = []
        id_size = 0
        told = 0  # with that answer
        for look, each in zip(looks, asked, strict=True):
            question, one, its_template = each
            if look is not last or its_template is not template:
                if isinstance(look, UnverifiedAccessToken):
                    unsettled.append((self, each, cast("bytes", question[0]), look))
                    continue
                if answer is not None and told:
                    counters.count_denied(answer.reason, told)
                template, last, told = its_template, look, 0
                answer = self._known_denial(template.plan, look)
                if answer is not None:
                    around_ids, id_size = answer.around_ids(), answer.id_size
                    template.expect_more()
            if answer is None:
                self._pass_on(each, look)
                continue
            request_id = next(ids)
            counters.requests += 1
            try:
                if id_size != len(request_id) or not one.turn_away(
                    request_id.join(around_ids), idle_until
                ):
                    one.look_closer(request_id, question, answer.reason)
                    continue
            except Exception as fault:  # noqa: BLE001 - the others have their answers
                self._break_off(one, fault, request_id)
                continue
            told += 1
            if refusals.lines_left:
                address = one.peer.address
                refusals.tell(answer.reason, answer.status, request_id, address)
            else:
                refusals.left_out += 1
        if answer is not None and told:
            counters.count_denied(answer.reason, told)
        if unsettled:
            server.signatures.add(unsettled)

    def settled(
        self, asked: Asked, outcome: VerifiedAccessToken | Reason | Exception
    ) -> None:
        """The signature of one was looked at: a no is asked about by the view of now.

        What has come for it since stays where it is: it is under way until then.
        """
        (_, request, at), one, template = asked
        if isinstance(outcome, Reason):
            self.ask((outcome, request, at), one, template)
        elif isinstance(outcome, Exception):
            self._server.counters.requests += 1
            one.break_off(outcome, next(self._server.request_ids))
        else:
            self._pass_on(((outcome, request, at), one, template), None)

    def _pass_on(self, each: Asked, look: Look) -> None:
        """Have one go on who is not refused from what is ready."""
        question, one, template = each
        if isinstance(look, KnownToken):
            self._have_read(question[1], one, template)
            return
        request_id = next(self._server.request_ids)
        self._server.counters.requests += 1
        try:
            one.look_closer(request_id, question, look)
        except Exception as fault:  # noqa: BLE001 - the others have their answers
            self._break_off(one, fault, request_id)

    def _have_read(self, request: bytes, one: Stranger, template: HeadTemplate) -> None:
        template.refused_size = 0  # or it would come back as one that is unread
        try:
            one.read_alone(request)
        except Exception as fault:  # noqa: BLE001 - the others have their answers
            self._break_off(one, fault)

    def _break_off(
        self, one: Stranger, fault: Exception, request_id: bytes = b""
    ) -> None:
        """End one for a fault of ours; without a turn whoever called hears of it."""
        if not self._turn.is_under_way:
            raise fault
        one.break_off(fault, request_id)

    def _known_denial(self, plan: Plan, look: Look) -> PreparedDenial | None:
        """The answer to such a look, if it was written before and that is all to do."""
        if not isinstance(look, Reason) or self._server.draining:
            return None
        answer = plan.denials.get(look)
        return None if answer is None or answer.is_of_the_unknown else answer


_ITS_TEMPLATE = itemgetter(2)
