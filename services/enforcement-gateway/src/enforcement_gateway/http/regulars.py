"""Requests of every day: those of a turn, decided and forwarded together.

Their heads fit, their tokens were verified before, and their bodies name one write key.
One look at the view and at the clocks serves all that came in a turn of the loop, and
whoever is plainly admitted is forwarded without an exchange (ADR 32).
"""

from typing import TYPE_CHECKING, TypeAlias

from enforcement_gateway.domain.authorization import KnownToken
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.strangers import Stranger
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answers import Answers

if TYPE_CHECKING:
    from enforcement_gateway.http.server import Server


class Regular(Stranger):
    """The connection of such a request, which is under way from when it was added.

    A class to inherit from, as `Answers` is.
    """

    __slots__ = ("gives_way",)

    gives_way: bool

    def promote(self) -> None:
        """What it asked was let in: it keeps its place, and is heard as all others."""
        raise NotImplementedError

    def take_up(self, request: bytes, inflated: bytes | None) -> None:
        """Have an exchange go on with a request that is not plainly admitted.

        `inflated` is its body, if that came deflated.
        """
        raise NotImplementedError


Asking: TypeAlias = tuple[KnownToken, str, Regular, bytes, bytes, bytes | None]
"""Its token and write key; whose it is; how it is forwarded, if it is admitted; how it
came, and what was inflated of it. Its id is the connection's already."""


class Regulars:
    """Of one worker: those of this turn, in the order in which they came."""

    __slots__ = ("_server", "_turn", "asking")

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._turn = turn
        self.asking: list[Asking] = []

    def come(self) -> None:
        """The first was added: serve them when the turn is over; without one, now."""
        self._turn.put_off(self.serve)

    def serve(self) -> None:
        """Forward who is plainly admitted; an exchange takes care of all others."""
        asking, self.asking = self.asking, []
        if not asking:
            return
        server = self._server
        try:
            admitted = server.gate.admitted_among(asking)
        except Exception:  # noqa: BLE001 - whose fault it is meets it again, alone
            admitted = []
        counters = server.counters
        counters.requests += len(asking)
        counters.admitted += len(admitted)
        requests: list[tuple[bytes, Answers]] = []
        for _, _, one, forwarded, _, _ in admitted:
            if one.gives_way:
                one.promote()
            requests.append((forwarded, one))
        if requests:
            server.behind[Door.TRACKING].pool.send_each(requests)
        if len(admitted) < len(asking):
            self._have_taken_up(asking, admitted)

    def _have_taken_up(self, asking: list[Asking], admitted: list[Asking]) -> None:
        """Have exchanges go on with those that were not admitted."""
        let_in = {*map(id, admitted)}
        for each in asking:
            if id(each) in let_in:
                continue
            _, _, one, _, request, inflated = each
            try:
                one.take_up(request, inflated)
            except Exception as fault:
                if not self._turn.is_under_way:
                    raise  # to whoever called, as if it had been alone
                one.break_off(fault)
