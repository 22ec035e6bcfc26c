"""Requests whose tokens nobody has verified yet: those of a turn, looked at together.

They are the way of a flood. One look at the view and the clocks serves all that came
in a turn of the loop, and who is refused alike is told alike, by an answer that was
written before (ADR 35).
"""

from collections.abc import Sequence
from itertools import groupby, islice
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
"""What is asked about one, whose it is, and the template that its head fits."""


class Strangers:
    """Of one worker: those of this turn whose heads were read, in lists side by side.

    What is asked about each, whose it is, and the template that its head fits. Each is
    counted, and has an id, when it is told what became of it. `unread` is what came of
    those whose last request was refused, as was the last one of their template; what
    it means is looked at for all of them in one go.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._turn = turn
        self._questions: list[Question] = []
        self._ones: list[Stranger] = []
        self._templates: list[HeadTemplate] = []
        self.unread: list[tuple[bytes, Stranger, HeadTemplate]] = []

    def ask(self, question: Question, one: Stranger, template: HeadTemplate) -> None:
        """Add one whose head was read, behind all that came before it."""
        if self.unread:
            self._read()
        self._questions.append(question)
        self._ones.append(one)
        self._templates.append(template)
        if len(self._ones) == 1:
            self._turn.put_off(self.serve)

    def begin(self, request: bytes, one: Stranger, template: HeadTemplate) -> None:
        """Add the first that is unread."""
        self.unread.append((request, one, template))
        self._turn.put_off(self.serve)

    def serve(self) -> None:
        """Refuse whom a first look refuses, and tell all others what it said."""
        if self.unread:
            self._read()
        questions, ones, templates = self._questions, self._ones, self._templates
        if ones:
            self._questions, self._ones, self._templates = [], [], []
            self._answer(questions, ones, templates)

    def _read(self) -> None:
        """Find the tokens of those that are like one before, and have others read."""
        unread, self.unread = self.unread, []
        for template, run in groupby(unread, _ITS_TEMPLATE):
            requests, ones, _ = zip(*run, strict=True)
            # One may have fitted since that was refused for its size.
            is_small = template.length <= self._server.max_body
            tokens = template.tokens_of(requests) if is_small else None
            if tokens is not None:
                length = template.length
                starts = [len(request) - length for request in requests]
                self._questions += zip(tokens, requests, starts, strict=True)
                self._ones += ones
                self._templates += [template] * len(ones)
                continue
            for request, one in zip(requests, ones, strict=True):
                self._have_read(request, one, template)

    def _answer(
        self,
        questions: list[Question],
        ones: list[Stranger],
        templates: list[HeadTemplate],
        confirmed: Reason | None = None,
    ) -> None:
        """`confirmed`: what was unknown before the logs were read once more."""
        gate = self._server.gate
        looks: list[Look]
        try:
            looks = gate.refuses_each(questions)
        except Exception:  # noqa: BLE001 - who looks closer meets it, and nobody else
            looks = [None] * len(ones)
        unverified = [*map(type, looks)].count(UnverifiedAccessToken)
        if unverified:
            self._have_settled(looks, questions, ones, templates)
            if unverified == len(looks):
                return
        for each in _told_alike(looks, templates):
            look, template = looks[each[0]], templates[each[0]]
            answer = self._known_denial(template.plan, look)
            if answer is None:
                for one in each:
                    self._pass_on(questions[one], ones[one], template, look)
                continue
            alike = len(each) == len(looks)
            those = questions if alike else [questions[one] for one in each]
            whose = ones if alike else [ones[one] for one in each]
            if answer.is_of_the_unknown and look is not confirmed:
                heads = [template] * len(each)
                unconfirmed = Unconfirmed(self, answer.reason, those, whose, heads)
                gate.confirm(unconfirmed, answer.reason, len(each))
            else:
                template.expect_more()
                self._tell(answer, those, whose)

    def _have_settled(
        self,
        looks: list[Look],
        questions: list[Question],
        ones: list[Stranger],
        templates: list[HeadTemplate],
    ) -> None:
        """Have the signatures looked at of those for whom that is missing."""
        asked = zip(questions, ones, templates, strict=True)
        unsettled: list[Unsettled] = [
            (self, each, cast("bytes", each[0][0]), look)
            for look, each in zip(looks, asked, strict=True)
            if isinstance(look, UnverifiedAccessToken)
        ]
        self._server.signatures.add(unsettled)

    def _tell(
        self, answer: PreparedDenial, questions: list[Question], ones: list[Stranger]
    ) -> None:
        """Give all of them that answer, but for those with whom there is more to do."""
        server = self._server
        counters, refusals, idle_until = (
            server.counters,
            server.refusals,
            server.idle_until,
        )
        around_ids, told = answer.around_ids(), len(ones)
        ids = [*islice(server.request_ids, told)]
        fits = answer.id_size == len(ids[-1])  # they only grow longer
        is_written = refusals.lines_left > 0
        counters.requests += told
        for request_id, one, question in zip(ids, ones, questions, strict=True):
            try:
                if not fits or not one.turn_away(
                    request_id.join(around_ids), idle_until
                ):
                    one.look_closer(request_id, question, answer.reason)
                    told -= 1
                elif is_written:
                    address = one.peer.address
                    refusals.tell(answer.reason, answer.status, request_id, address)
            except Exception as fault:  # noqa: BLE001 - the others have their answers
                told -= 1
                self._break_off(one, fault, request_id)
        if told:
            counters.count_denied(answer.reason, told)
            if not is_written:
                refusals.left_out += told

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
            self.fail(one, outcome)
        else:
            self._pass_on((outcome, request, at), one, template, None)

    def confirmed(
        self,
        unknown: Reason | None,
        questions: list[Question],
        ones: list[Stranger],
        templates: list[HeadTemplate],
    ) -> None:
        """The logs were read; if they could not be, nobody knows what is `unknown`."""
        self._turn.begin()
        try:
            if unknown is not None:
                self._answer(questions, ones, templates, unknown)
                return
            for question, one, template in zip(questions, ones, templates, strict=True):
                self._pass_on(question, one, template, Reason.VIEW_UNCONFIRMED)
        finally:
            self._turn.end()

    def fail(self, one: Stranger, fault: Exception) -> None:
        """End one that waited for what could not be done, by a fault of ours."""
        self._server.counters.requests += 1
        one.break_off(fault, next(self._server.request_ids))

    def _pass_on(
        self, question: Question, one: Stranger, template: HeadTemplate, look: Look
    ) -> None:
        """Have one go on who is not refused from what is ready."""
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
        template.refuses = False  # or it would come back as one that is unread
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
        """The answer to such a look, if it was written before."""
        if not isinstance(look, Reason) or self._server.draining:
            return None
        return plan.denials.get(look)


class Unconfirmed:
    """Those of one turn who name what no log has told of; the logs are read once more.

    They are under way until then: what has come for them since stays where it is.
    """

    __slots__ = ("_ones", "_questions", "_reason", "_strangers", "_templates")

    def __init__(
        self,
        strangers: Strangers,
        reason: Reason,
        questions: list[Question],
        ones: list[Stranger],
        templates: list[HeadTemplate],
    ) -> None:
        self._strangers = strangers
        self._reason = reason
        self._questions = questions
        self._ones = ones
        self._templates = templates

    def confirmed(self, is_level: bool) -> None:
        self._strangers.confirmed(
            self._reason if is_level else None,
            self._questions,
            self._ones,
            self._templates,
        )

    def break_off(self, fault: Exception) -> None:
        for one in self._ones:
            self._strangers.fail(one, fault)


def _told_alike(
    looks: list[Look], templates: list[HeadTemplate]
) -> list[Sequence[int]]:
    """Which of them are told the same, but for those whose signature is missing.

    Mostly it is all of them, so they are counted first, which is done in C.
    """
    first, size = looks[0], len(looks)
    if (
        isinstance(first, Reason)
        and templates.count(templates[0]) == looks.count(first) == size
    ):
        return [range(size)]
    alike: dict[tuple[int, int], list[int]] = {}
    for index, (look, template) in enumerate(zip(looks, templates, strict=True)):
        if not isinstance(look, UnverifiedAccessToken):
            alike.setdefault((id(look), id(template)), []).append(index)
    return [*alike.values()]


_ITS_TEMPLATE = itemgetter(2)
