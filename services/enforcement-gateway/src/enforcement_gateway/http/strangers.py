"""Requests whose tokens nobody has verified yet: those of a turn, looked at together.

They are the way of a flood. One look at the view and the clocks serves all that came
in a turn of the loop, and who is refused alike is told alike, by an answer that was
written before (ADR 35).
"""

from typing import TYPE_CHECKING

from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Question
from enforcement_gateway.http.head_template import HeadTemplate
from enforcement_gateway.http.plans import Plan
from enforcement_gateway.http.responses import PreparedDenial
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers
from enforcement_gateway.upstream.forwarding import Peer
from tollgate.oauth.access_tokens import UnverifiedAccessToken

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

    def break_off(self, fault: Exception) -> None:
        """There will be no answer, because of a fault of ours. Must not raise."""
        raise NotImplementedError


class Strangers:
    """Of one worker. `asked` are those of this turn.

    Each with what is asked about it, whose it is, the template that its head fits, and
    its id; that is empty until it was looked at once, and then it is counted.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._turn = turn
        self.asked: list[tuple[Question, Stranger, HeadTemplate, bytes]] = []

    def come(self) -> None:
        """The first was added: look at them when the turn is over; without one, now."""
        if self._turn.is_under_way:
            self._turn.put_off(self.serve)
        else:
            self.serve()

    def serve(self) -> None:
        """Refuse whom a first look refuses, and tell all others what it said."""
        server = self._server
        asked, self.asked = self.asked, []
        try:
            looks = server.gate.refuses_each([each[0] for each in asked])
        except Exception:  # noqa: BLE001 - who looks closer meets it, and nobody else
            looks = [None] * len(asked)
        counters, refusals = server.counters, server.refusals
        ids, idle_until = server.request_ids, server.idle_until
        template: HeadTemplate | None = None
        reason: object = None
        answer: PreparedDenial | None = None
        around_ids: list[bytes] = []
        id_size = 0
        told: list[Reason] = []
        for number, look in enumerate(looks):
            question, one, its_template, request_id = asked[number]
            if not request_id:
                request_id = next(ids)
                counters.requests += 1
            if look is not reason or its_template is not template:
                template, reason = its_template, look
                answer = self._known_denial(template.plan, look)
                if answer is not None:
                    around_ids, id_size = answer.around_ids(), answer.id_size
            try:
                if (
                    answer is None
                    or id_size != len(request_id)
                    or not one.turn_away(request_id.join(around_ids), idle_until)
                ):
                    one.look_closer(request_id, question, look)
                    continue
            except Exception as fault:
                if not self._turn.is_under_way:
                    raise
                one.break_off(fault)  # the others have their answers
                continue
            told.append(answer.reason)
            if refusals.lines_left:
                address = one.peer.address
                refusals.tell(answer.reason, answer.status, request_id, address)
            else:
                refusals.left_out += 1
        counters.count_all_denied(told)

    def _known_denial(
        self, plan: Plan, look: Reason | UnverifiedAccessToken | None
    ) -> PreparedDenial | None:
        """The answer to such a look, if it was written before and that is all to do."""
        if not isinstance(look, Reason) or self._server.draining:
            return None
        answer = plan.denials.get(look)
        return None if answer is None or answer.is_of_the_unknown else answer
