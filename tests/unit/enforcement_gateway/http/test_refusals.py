"""Refusals on a connection: each request gets its own answer, from what is known."""

import asyncio
import json
import re
from contextlib import nullcontext
from itertools import cycle
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from enforcement_gateway.body.last_write_key import MAX_TAIL
from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.authorization import Admit, Deny
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Asked, Gate, Question
from enforcement_gateway.http import exchange, refusal_log
from enforcement_gateway.http.exchange import tell_of_fault
from enforcement_gateway.http.protocol import ServerConnection
from enforcement_gateway.http.refusal_log import MAX_LINES, RefusalLog
from enforcement_gateway.http.responses import dates, denial
from enforcement_gateway.http.routes import SCOPES, Door
from enforcement_gateway.http.server import Behind, Limits, Server
from enforcement_gateway.testing.recorders import (
    RecordingPool,
    RecordingTransport,
    a_turn,
)
from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import View
from tollgate.events.registry import Enforcement
from tollgate.oauth.access_tokens import UnverifiedAccessToken, VerifiedAccessToken
from tollgate.oauth.scopes import DEFAULT_AUDIENCES
from tollgate.testing.folded_logs import FoldedLogs
from tollgate.testing.tokens import verified_access_token

PYTHON = b"analytics-python/2.4.0"
OLD_PYTHON = b"analytics-python/2.3.0"
NODE = b"node-fetch/1.0"

VERIFIED = verified_access_token()


def node_body(version: str) -> bytes:
    library = {"name": "@segment/analytics-node", "version": version}
    batch = [{"context": {"library": library}}]
    return json.dumps({"batch": batch, "writeKey": "k"}).encode()


class ToldGate(Gate):
    """Says what a test says: to a first look, and by the whole of the rules."""

    def __init__(self) -> None:
        super().__init__(
            View(), Verifier("https://a"), Counters(), audiences=DEFAULT_AUDIENCES
        )
        self.refusal: Reason | None = None
        self.verdict: Admit | Deny = Admit()
        self.waiting = []
        self.asked_about = []
        self.counted = 0
        self.decided_on = []

    def refuses(self, token: bytes | Reason, body: bytes) -> Reason | None:
        del token, body
        return self.refusal

    def refuses_each(self, questions: list[Question]) -> list[Reason | None]:
        return [self.refuses(shown, request[at:]) for shown, request, at in questions]

    def decide(self, asked: Asked) -> Admit | Deny:
        self.decided_on.append(asked.token)
        return self.verdict

    def confirm(self, waiting: object, reason: Reason, requests: int = 1) -> None:
        self.counted += requests
        self.waiting.append(waiting)
        self.asked_about.append(reason)


def request(
    body: bytes = b'{"writeKey":"k"}',
    agent: bytes = PYTHON,
    more: bytes = b"",
    token: bytes = b"x.y.z",
) -> bytes:
    return (
        b"POST /v1/batch HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n%b"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (agent, more, token, len(body), body)
    )


class Client:
    """One connection to a gateway, whose gate a test holds if it gives no other."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = ToldGate() if gate is None else gate
        self._pool = RecordingPool()
        self.server = Server(
            self.gate,
            Counters(),
            {Door.TRACKING: Behind(self._pool, UpstreamAuthorization.NONE)},
            limits=Limits(),
        )
        self.transport = RecordingTransport()
        self.connection = ServerConnection(self.server)
        self.connection.connection_made(self.transport)

    def ask(
        self,
        body: bytes = b'{"writeKey":"k"}',
        agent: bytes = PYTHON,
        more: bytes = b"",
    ) -> bytes:
        """What is answered at once to a request with a bearer."""
        self.transport.written = b""
        self.connection.data_received(request(body, agent, more))
        return self.transport.written

    def ask_for(self, token: bytes, body: bytes) -> bytes:
        """What is answered at once to a request with that bearer."""
        self.transport.written = b""
        self.connection.data_received(request(body, token=token))
        return self.transport.written

    @property
    def forwarded(self) -> list[bytes]:
        return [request for request, _ in self._pool.sent]

    @property
    def last_id(self) -> bytes:
        """That of the last answer, which is in its head and in its body."""
        head, _, body = self.transport.written.partition(b"\r\n\r\n")
        (line,) = [x for x in head.split(b"\r\n") if x.startswith(b"X-Request-Id: ")]
        request_id = line.removeprefix(b"X-Request-Id: ")
        assert json.loads(body)["request_id"] == request_id.decode()
        return request_id


@pytest.fixture
async def client() -> Client:
    return Client()


class TestAnswers:
    async def test_each_is_the_one_that_is_written_from_scratch(self, client) -> None:
        """With the next id, and with the date of now."""
        ids = set()
        for reason in 2 * (Reason.TOKEN_MALFORMED, Reason.TOKEN_EXPIRED):
            client.gate.refusal = reason
            answer = client.ask()
            ids.add(client.last_id)
            assert answer == denial(
                reason,
                request_id=client.last_id,
                resends=True,
                scope=SCOPES[Door.TRACKING],
            )
            assert dates.line() in answer
        assert len(ids) == 4
        assert client.server.counters.denied == {
            Reason.TOKEN_MALFORMED: 2,
            Reason.TOKEN_EXPIRED: 2,
        }

    async def test_an_id_may_grow_longer(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_MALFORMED
        lengths = set()
        for _ in range(20):
            head, _, body = client.ask().partition(b"\r\n\r\n")
            assert b"Content-Length: %d\r\n" % len(body) in head
            lengths.add(len(client.last_id))
        assert len(lengths) == 2

    @pytest.mark.parametrize(
        ("agent", "body", "status"),
        [
            (PYTHON, b'{"writeKey":"k"}', b"511"),
            (OLD_PYTHON, b'{"writeKey":"k"}', b"401"),
            (NODE, node_body("3.1.0"), b"511"),
            (NODE, node_body("3.0.0"), b"401"),
        ],
    )
    async def test_a_stale_token_is_told_as_each_client_needs_it(
        self, client, agent, body, status
    ) -> None:
        client.gate.refusal = Reason.TOKEN_EXPIRED
        for _ in range(3):
            assert client.ask(body, agent).startswith(b"HTTP/1.1 %b " % status)

    async def test_one_head_may_bring_bodies_of_different_clients(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_EXPIRED
        for version, status in (
            ("3.1.0", b"511"),
            ("3.0.0", b"401"),
            ("3.2.0", b"511"),
        ):
            answer = client.ask(node_body(version), NODE)
            assert answer.startswith(b"HTTP/1.1 %b " % status)

    async def test_whoever_is_to_go_is_told_so(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_MALFORMED
        assert b"Connection: close" not in client.ask()
        client.server.draining = True
        assert b"\r\nConnection: close\r\n" in client.ask()
        assert client.transport.closed

    async def test_patience_with_a_client_begins_anew(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_MALFORMED
        server = client.server
        for _ in range(3):
            server.start()  # which is a look at the clock
            client.ask()
            assert client.connection.deadline == server.clock + server.idle_seconds

    async def test_nothing_of_the_token_is_in_it(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_MALFORMED
        assert b"x.y.z" not in client.ask()


class TestUnknown:
    async def test_it_is_told_once_the_logs_were_read(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        assert client.ask() == b""
        (waiting,) = client.gate.waiting
        waiting.confirmed(True)
        assert client.transport.written.startswith(b"HTTP/1.1 401 ")
        assert b"token_signing_key_unknown" in client.transport.written
        assert len(client.gate.waiting) == 1

    async def test_each_log_is_read_for_what_it_knows(self, client) -> None:
        """A key that came to be known says nothing of the app; both logs say all."""
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        assert client.ask() == b""
        client.gate.refusal = None
        client.gate.verdict = Deny(Reason.APP_UNKNOWN)
        client.gate.waiting.pop().confirmed(True)
        assert client.transport.written == b""
        client.gate.verdict = Deny(Reason.APP_KEY_UNKNOWN)
        client.gate.waiting.pop().confirmed(True)
        assert b"app_key_unknown" in client.transport.written
        assert client.gate.asked_about == [
            Reason.TOKEN_SIGNING_KEY_UNKNOWN,
            Reason.APP_UNKNOWN,
        ]

    async def test_what_has_come_to_be_known_passes(self, client) -> None:
        client.gate.verdict = Deny(Reason.APP_UNKNOWN)
        assert client.ask() == b""
        client.gate.verdict = Admit("app_1")
        (waiting,) = client.gate.waiting
        waiting.confirmed(True)
        assert client.transport.written == b""
        (request,) = client.forwarded
        assert b"app_1" in request

    async def test_nothing_is_said_while_nobody_can_be_asked(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        client.ask()
        (waiting,) = client.gate.waiting
        waiting.confirmed(False)
        assert client.transport.written.startswith(b"HTTP/1.1 503 ")
        assert client.server.counters.denied == {Reason.VIEW_UNCONFIRMED: 1}

    async def test_a_fault_of_ours_breaks_the_connection_off(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        client.ask()
        (waiting,) = client.gate.waiting
        client.gate.refuses = None
        waiting.confirmed(True)
        assert client.transport.aborted
        assert client.transport.written == b""

    async def test_a_client_that_left_hears_nothing(self, client) -> None:
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        client.ask()
        client.connection.connection_lost(None)
        (waiting,) = client.gate.waiting
        waiting.confirmed(True)
        assert client.transport.written == b""
        assert client.server.counters.denied == {}


class TestUnknownInAFlood:
    """Where the answer was written before, those of a turn wait as one."""

    @pytest.fixture
    async def flooded(self, client) -> Client:
        client.gate.refusal = Reason.TOKEN_SIGNING_KEY_UNKNOWN
        client.ask()
        client.gate.waiting.pop().confirmed(True)
        client.gate.counted = 0
        return client

    @pytest.fixture
    def others(self, flooded) -> list[ServerConnection]:
        """Connections on which the same was asked in one turn."""
        connections = [ServerConnection(flooded.server) for _ in range(3)]
        for each in connections:
            each.connection_made(RecordingTransport())
        with a_turn():
            for each in connections:
                each.data_received(request())
        return connections

    def said_to(self, connections: list[ServerConnection]) -> list[bytes]:
        return [each._transport.written for each in connections]

    async def test_all_are_told_once_the_logs_were_read(self, flooded, others) -> None:
        (waiting,) = flooded.gate.waiting
        assert flooded.gate.counted == 3
        assert self.said_to(others) == [b""] * 3
        waiting.confirmed(True)
        for said in self.said_to(others):
            assert said.startswith(b"HTTP/1.1 401 ")
            assert b"token_signing_key_unknown" in said
        assert len(flooded.gate.waiting) == 1
        assert flooded.server.counters.denied == {Reason.TOKEN_SIGNING_KEY_UNKNOWN: 4}
        assert flooded.server.counters.requests == 4

    async def test_what_came_to_be_known_meanwhile_counts(
        self, flooded, others
    ) -> None:
        flooded.gate.refusal = None
        flooded.gate.verdict = Admit("app_1")
        flooded.gate.waiting.pop().confirmed(True)
        assert self.said_to(others) == [b""] * 3
        assert len(flooded.forwarded) == 3

    async def test_they_may_come_back_while_nobody_can_be_asked(
        self, flooded, others
    ) -> None:
        flooded.gate.waiting.pop().confirmed(False)
        for said in self.said_to(others):
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"view_unconfirmed" in said

    async def test_each_may_leave_or_have_asked_for_more(self, flooded, others) -> None:
        gone, eager, _ = others
        gone.connection_lost(None)
        eager.data_received(request())
        flooded.gate.waiting.pop(0).confirmed(True)
        assert not gone._transport.written
        while flooded.gate.waiting:
            flooded.gate.waiting.pop(0).confirmed(True)
        assert [each.count(b"HTTP/1.1 401 ") for each in self.said_to(others)] == [
            0,
            2,
            1,
        ]

    async def test_a_fault_of_ours_ends_each(self, flooded, others) -> None:
        before = flooded.server.counters.requests
        flooded.gate.waiting.pop().break_off(RuntimeError())
        assert all(each._transport.aborted for each in others)
        assert flooded.server.counters.requests == before + 3
        assert self.said_to(others) == [b""] * 3


class TestSignatures:
    """They are looked at in bursts; meanwhile the request is under way."""

    @pytest.fixture
    def settled(self, client, monkeypatch) -> list[object]:
        """What the burst finds, in turn: a token of ours, or a reason."""
        outcomes = []
        unverified = UnverifiedAccessToken("kid", None, b"", b"", b"")
        monkeypatch.setattr(
            client.gate.verifier,
            "settle_each",
            lambda lot: [outcomes.pop(0) for _ in lot],
            raising=False,
        )

        def refuses(token: object, body: bytes) -> object:
            del body
            if isinstance(token, Reason):
                return token
            return unverified if isinstance(token, bytes) else None

        client.gate.refuses = refuses
        return outcomes

    async def test_a_wrong_one_is_refused_then(self, client, settled) -> None:
        settled.append(Reason.TOKEN_SIGNATURE_WRONG)
        assert client.ask() == b""
        await asyncio.sleep(0)
        assert b"token_signature_wrong" in client.transport.written
        assert client.forwarded == []

    async def test_a_right_one_is_decided_on_then(self, client, settled) -> None:
        settled.append(VERIFIED)
        client.gate.verdict = Admit("app_1")
        assert client.ask() == b""
        assert client.forwarded == []
        await asyncio.sleep(0)
        assert client.gate.decided_on == [VERIFIED]
        (request,) = client.forwarded
        assert b"app_1" in request

    async def test_of_one_burst_each_goes_on_with_what_its_own_head_said(
        self, client, settled, monkeypatch
    ) -> None:
        """Though the heads of one client share their template."""
        for trace in (b"1", b"2"):  # that it varies is seen from two
            settled.append(Reason.TOKEN_SIGNATURE_WRONG)
            client.ask(more=b"Trace: %b\r\n" % trace)
            await asyncio.sleep(0)
        other = ServerConnection(client.server)
        other.connection_made(RecordingTransport())
        client.gate.verdict, shown = Admit("app_1"), []
        monkeypatch.setattr(
            client.gate.verifier,
            "settle_each",
            lambda lot: [shown.append(token) or VERIFIED for token, _ in lot],
        )
        asked = [
            (client.connection, b"3", b"a.b.c", b'{"writeKey":"k"}'),
            (other, b"4", b"d.e.fff", b'{"batch":[],"writeKey":"k"}'),
        ]
        for connection, trace, token, body in asked:
            head = b"Trace: %b\r\n" % trace
            connection.data_received(request(body, more=head, token=token))
        assert client.forwarded == []
        await asyncio.sleep(0)
        assert shown == [token for _, _, token, _ in asked]
        for sent, (_, trace, _, body) in zip(client.forwarded, asked, strict=True):
            head, _, rest = sent.partition(b"\r\n\r\n")
            assert b"\r\nTrace: %b\r\n" % trace in head
            assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
            assert rest == body

    async def test_what_is_right_and_unknown_is_asked_for(
        self, client, settled
    ) -> None:
        settled.append(VERIFIED)
        client.gate.verdict = Deny(Reason.APP_UNKNOWN)
        client.ask()
        await asyncio.sleep(0)
        (waiting,) = client.gate.waiting
        waiting.confirmed(True)
        assert b"app_unknown" in client.transport.written
        assert settled == []

    async def test_a_client_that_left_hears_nothing(self, client, settled) -> None:
        settled.append(Reason.TOKEN_SIGNATURE_WRONG)
        client.ask()
        client.connection.connection_lost(None)
        await asyncio.sleep(0)
        assert client.transport.written == b""
        assert client.server.counters.denied == {}

    @pytest.fixture
    async def flooded(self, client, settled) -> Client:
        """One whose answer to a wrong signature was written already."""
        for _ in range(2):
            settled.append(Reason.TOKEN_SIGNATURE_WRONG)
            client.ask()
            await asyncio.sleep(0)
            assert b"token_signature_wrong" in client.transport.written
        return client

    async def test_what_was_asked_behind_it_is_answered_too(
        self, flooded, settled
    ) -> None:
        settled += 2 * [Reason.TOKEN_SIGNATURE_WRONG]
        assert flooded.ask() == b""
        flooded.connection.data_received(request())
        while settled:
            await asyncio.sleep(0)
        assert flooded.transport.written.count(b"HTTP/1.1 401 ") == 2

    async def test_nothing_is_said_on_a_connection_that_ends(
        self, flooded, settled
    ) -> None:
        settled.append(Reason.TOKEN_SIGNATURE_WRONG)
        flooded.ask()
        flooded.transport.closed = True
        await asyncio.sleep(0)
        assert settled == []
        assert flooded.transport.written == b""

    async def test_who_waits_for_it_is_not_too_slow(self, flooded, settled) -> None:
        """Until then the deadline of its connection is that of an idle one."""
        settled.append(Reason.TOKEN_SIGNATURE_WRONG)
        assert flooded.ask() == b""
        flooded.connection.time_out()
        await asyncio.sleep(0)
        assert flooded.transport.written.count(b"HTTP/1.1 ") == 1
        assert b"token_signature_wrong" in flooded.transport.written

    async def test_it_is_decided_by_what_is_known_then(self, flooded, settled) -> None:
        """The source may have ceased to enforce while the signature was looked at."""
        settled.append(Reason.TOKEN_SIGNATURE_WRONG)
        flooded.ask()
        flooded.gate.refuses = lambda *_: None
        flooded.gate.verdict = Admit()
        await asyncio.sleep(0)
        assert flooded.gate.decided_on == [Reason.TOKEN_SIGNATURE_WRONG]
        assert len(flooded.forwarded) == 1

    async def test_a_fault_is_nothing_to_a_client_that_left(
        self, flooded, settled
    ) -> None:
        assert settled == []
        flooded.ask()
        flooded.connection.connection_lost(None)
        await asyncio.sleep(0)
        assert not flooded.transport.aborted

    async def test_a_fault_of_ours_breaks_the_connection_off(
        self, client, settled
    ) -> None:
        assert settled == []
        client.ask()
        await asyncio.sleep(0)
        assert client.transport.aborted

    async def test_so_it_does_where_nothing_was_made_for_the_request(
        self, flooded, settled, monkeypatch
    ) -> None:
        """It is counted, and told under an id that no other request has."""
        told = []
        logger = SimpleNamespace(error=lambda _, **fields: told.append(fields))
        monkeypatch.setattr(exchange, "logger", logger)
        assert settled == []
        last, requests = flooded.last_id, flooded.server.counters.requests
        flooded.ask()
        await asyncio.sleep(0)
        assert flooded.transport.aborted
        assert flooded.server.counters.requests == requests + 1
        (fields,) = told
        assert fields["request_id"] not in (b"", last)

    async def test_so_does_one_that_comes_later(self, client, settled) -> None:
        settled.append(VERIFIED)
        client.gate.decide = None
        client.ask()
        await asyncio.sleep(0)
        assert client.transport.aborted


# --- The short way, and the exchange's ---

UNVERIFIED = UnverifiedAccessToken("kid", None, b"", b"", b"")
REASONS = (
    Reason.TOKEN_MALFORMED,
    Reason.TOKEN_EXPIRED,
    Reason.APP_UNKNOWN,
    Reason.TOKEN_SIGNING_KEY_UNKNOWN,
)


class Step(NamedTuple):
    """A request, what the gate says to it, and what happens while it is under way.

    `look` is of its token, `later` of what the token was `found` to be, `verdict` of
    all of it, and None a fault of ours; `is_level`: the logs could be read.
    """

    look: Reason | UnverifiedAccessToken | None
    found: Reason | VerifiedAccessToken
    later: Reason | None
    verdict: Admit | Deny | None
    is_level: bool = True
    agent: bytes = PYTHON
    meanwhile: str = "nothing"


STEPS = st.lists(
    st.builds(
        Step,
        look=st.just(UNVERIFIED) | st.sampled_from([*REASONS, None]),
        found=st.just(VERIFIED) | st.just(Reason.TOKEN_MALFORMED),
        later=st.just(Reason.TOKEN_MALFORMED) | st.sampled_from([*REASONS, None]),
        verdict=st.sampled_from([Admit("app_1"), *map(Deny, REASONS), None]),
        is_level=st.booleans(),
        agent=st.sampled_from([*3 * [PYTHON], OLD_PYTHON, NODE]),
        meanwhile=st.sampled_from(
            ["nothing", "ask", "end", "leave", "drain", "congest"]
        ),
    ),
    min_size=1,
    max_size=4,
)
EACH_ONCE = [Step(reason, VERIFIED, None, Admit()) for reason in REASONS]
"""From then on each answer is known, and may be given the short way."""
TURNS_FOR_ONE = 3  # of the loop: its signature, and what became known meanwhile
IDS = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+")
DATE = re.compile(rb"Date: [^\r]+\r\n")


class Neighbour(Client):
    """All that can be seen of a connection after one step and another."""

    def __init__(self, *, in_pieces: bool = False, in_turn: bool = False) -> None:
        super().__init__()
        self.in_pieces = in_pieces
        self.in_turn = in_turn
        self.gate.refuses, self.gate.decide = self._refuses, self._decide
        self.gate.verifier.settle_each = self._settle_each
        self.signatures = 0
        self.step = None
        self.is_over = False  # nothing more can come

    def _refuses(self, token: object, body: bytes) -> object:
        del body
        if isinstance(token, VerifiedAccessToken):
            return None
        return self.step.look if isinstance(token, bytes) else self.step.later

    def _settle_each(self, lot: list[object]) -> list[Reason | VerifiedAccessToken]:
        self.signatures += len(lot)
        return len(lot) * [self.step.found]

    def _decide(self, asked: Asked) -> Admit | Deny:
        del asked
        if self.step.verdict is None:
            raise RuntimeError
        return self.step.verdict

    async def take(self, step: Step) -> None:
        self.step = step
        head, end, body = request(agent=step.agent).partition(b"\r\n\r\n")
        pieces = (head + end, body) if self.in_pieces else (head + end + body,)
        try:
            with a_turn() if self.in_turn else nullcontext():
                for piece in pieces:
                    self.connection.data_received(piece)
        except RuntimeError as fault:  # as whoever called it does
            tell_of_fault(b"", fault)
            self.transport.abort()
        self.is_over = step.meanwhile in {"end", "leave"}
        self._meanwhile(step.meanwhile)
        for _ in range(2 * TURNS_FOR_ONE):  # a second one may have been asked
            await asyncio.sleep(0)
            waiting, self.gate.waiting = self.gate.waiting, []
            for each in waiting:
                each.confirmed(step.is_level)

    def _meanwhile(self, happens: str) -> None:
        match happens:
            case "ask":
                self.connection.data_received(request())
            case "end":
                self.connection.eof_received()
            case "leave":
                self.connection.connection_lost(None)
            case "drain":
                self.server.draining = True
            case "congest":
                self.transport.on_write = self.connection.pause_writing

    @property
    def seen(self) -> tuple[object, ...]:
        return (
            DATE.sub(b"", IDS.sub(b"id", self.transport.written)),
            [IDS.sub(b"id", each) for each in self.forwarded],
            self.transport.closed,
            self.transport.aborted,
            self.is_over,
            self.signatures,
            self.connection.deadline,
            self.server.counters.tally(),
            len(set(IDS.findall(self.transport.written))),
        )


class TestIsTheSame:
    """Whether an exchange takes care of a request, or nobody has to."""

    @settings(max_examples=300)
    @given(steps=STEPS)
    def test_as_with_an_exchange(self, steps) -> None:
        asyncio.run(self.compare(steps))

    async def compare(self, steps: list[Step]) -> None:
        told = []
        logger = SimpleNamespace(info=lambda _, **fields: told.append(fields))

        def break_off(_: str, **fields: object) -> None:
            assert isinstance(fields["exc_info"], RuntimeError)
            told.append({"reason": "fault", "status": None})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(refusal_log, "logger", logger)
            patch.setattr(exchange, "logger", SimpleNamespace(error=break_off))
            neighbours = [
                Neighbour(),
                Neighbour(in_pieces=True),
                Neighbour(in_turn=True),
            ]
            for step in EACH_ONCE + steps:
                lines = []
                for each in neighbours:
                    await each.take(step)
                    lines.append([(x["reason"], x["status"]) for x in told])
                    told.clear()
                event(f"{len(lines[0])} refused")
                assert lines[0] == lines[1] == lines[2]
                assert neighbours[0].seen == neighbours[1].seen == neighbours[2].seen
                if neighbours[0].is_over or neighbours[0].transport.has_ended:
                    return


class TestTogether:
    """What comes in one turn of the loop is answered at its end."""

    @pytest.fixture
    async def crowd(self, client) -> list[ServerConnection]:
        """Connections of two clients, in turn, that were refused something before."""
        client.gate.refusal = Reason.TOKEN_MALFORMED
        crowd = [ServerConnection(client.server) for _ in range(16)]
        for connection, agent in zip(crowd, cycle((PYTHON, OLD_PYTHON)), strict=False):
            connection.connection_made(RecordingTransport())
            for _ in range(20):  # until ids are as long as those to come
                connection.data_received(request(agent=agent))
            connection._transport.written = b""
        client.server.counters.denied.clear()
        return crowd

    @staticmethod
    def written_to(connection: ServerConnection) -> bytes:
        return connection._transport.written

    async def test_each_has_the_answer_to_its_own(
        self, client, crowd, monkeypatch
    ) -> None:
        said = [
            Reason.TOKEN_MALFORMED,
            Reason.TOKEN_EXPIRED,
            Reason.TOKEN_AUDIENCE_WRONG,
        ]
        told = []
        logger = SimpleNamespace(info=lambda _, **fields: told.append(fields))
        monkeypatch.setattr(refusal_log, "logger", logger)
        client.server.refusals.renew(1e9)
        told.clear()
        client.gate.refuses = lambda token, _: said[len(token) % 3]
        requests = client.server.counters.requests
        for burst in range(2):
            for connection in crowd:
                connection._transport.written = b""
            with a_turn():
                for number, connection in enumerate(crowd):
                    agent = OLD_PYTHON if number % 2 else PYTHON
                    token = b"x.y." + b"z" * (number // 4 + 1)
                    connection.data_received(request(agent=agent, token=token))
                    assert self.written_to(connection) == b""
            ids = set()
            for number, connection in enumerate(crowd):
                (request_id,) = set(IDS.findall(self.written_to(connection)))
                ids.add(request_id)
                assert self.written_to(connection) == denial(
                    said[(number // 4 + 5) % 3],
                    request_id=request_id,
                    resends=number % 2 == 0,
                    scope=SCOPES[Door.TRACKING],
                )
            assert len(ids) == len(crowd)
            counters = client.server.counters
            assert counters.requests == requests + (burst + 1) * len(crowd)
            assert sum(counters.denied.values()) == (burst + 1) * len(crowd)
        assert counters.denied == {
            reason: 2 * sum((n // 4 + 5) % 3 == at for n in range(len(crowd)))
            for at, reason in enumerate(said)
        }
        assert len(told) == MAX_LINES
        assert client.server.refusals.left_out == 2 * len(crowd) - MAX_LINES
        assert [each["reason"] for each in told[:4]] == 4 * [said[5 % 3]]

    @pytest.mark.parametrize("step", [1, 2])
    async def test_all_may_be_refused_for_one_reason(self, client, crowd, step) -> None:
        """Those of one client (every second), or those of both."""
        counters, some = client.server.counters, crowd[::step]
        client.gate.refusal = Reason.TOKEN_EXPIRED
        for _ in range(2):  # then that answer is ready
            before = counters.requests
            with a_turn():
                for connection in some:
                    connection._transport.written = b""
                    agent = OLD_PYTHON if crowd.index(connection) % 2 else PYTHON
                    connection.data_received(request(agent=agent))
            for connection in some:
                status = 401 if crowd.index(connection) % 2 else 511
                assert self.written_to(connection).startswith(b"HTTP/1.1 %d " % status)
            assert counters.requests == before + len(some)
        assert counters.denied == {Reason.TOKEN_EXPIRED: 2 * len(some)}

    async def test_a_missing_signature_keeps_nobody_else_waiting(
        self, client, crowd
    ) -> None:
        def refuses(token: bytes | Reason, _: bytes) -> object:
            return UNVERIFIED if token == b"x.y.forged" else Reason.TOKEN_MALFORMED

        client.gate.refuses = refuses
        client.gate.verifier.settle_each = lambda lot: (
            len(lot) * [Reason.TOKEN_SIGNATURE_WRONG]
        )
        with a_turn():
            for number, last in ((0, b"z"), (2, b"forged"), (4, b"forged"), (6, b"z")):
                crowd[number].data_received(request(token=b"x.y." + last))
        written = [bool(self.written_to(crowd[number])) for number in (0, 2, 4, 6)]
        assert written == [True, False, False, True]
        await asyncio.sleep(0)
        for number in (0, 2, 4, 6):
            answer = self.written_to(crowd[number])
            assert answer.count(b"HTTP/1.1 401 ") == 1
            assert b"token_malformed" in answer
        assert client.server.counters.denied == {Reason.TOKEN_MALFORMED: 4}

    @pytest.mark.parametrize("reason", [Reason.TOKEN_MALFORMED, None])
    async def test_by_what_is_known_at_its_end(self, client, crowd, reason) -> None:
        client.gate.refusal = None if reason else Reason.TOKEN_MALFORMED
        with a_turn():
            crowd[0].data_received(request())
            client.gate.refusal = reason
        assert (b"token_malformed" in self.written_to(crowd[0])) is bool(reason)
        assert len(client.forwarded) == (not reason)

    async def test_what_comes_behind_it_waits_for_its_answer(
        self, client, crowd
    ) -> None:
        with a_turn():
            crowd[0].data_received(request())
            crowd[0].data_received(request(agent=NODE, body=node_body("3.0.0")))
            crowd[2].data_received(request())
        assert self.written_to(crowd[0]).count(b"HTTP/1.1 401 ") == 2
        assert self.written_to(crowd[2]).count(b"HTTP/1.1 401 ") == 1
        crowd[0].data_received(request())
        assert self.written_to(crowd[0]).count(b"HTTP/1.1 401 ") == 3

    async def test_who_sends_no_more_is_answered_and_let_go(
        self, client, crowd
    ) -> None:
        with a_turn():
            crowd[0].data_received(request())
            assert crowd[0].eof_received()
        assert self.written_to(crowd[0]).startswith(b"HTTP/1.1 401 ")
        assert crowd[0]._transport.closed

    async def test_who_is_to_go_is_told_so(self, client, crowd) -> None:
        with a_turn():
            crowd[0].data_received(request())
            client.server.draining = True
        assert b"\r\nConnection: close\r\n" in self.written_to(crowd[0])
        assert crowd[0]._transport.closed

    async def test_who_left_hears_nothing(self, client, crowd) -> None:
        with a_turn():
            crowd[0].data_received(request())
            crowd[0].connection_lost(None)
            crowd[2].data_received(request())
        assert self.written_to(crowd[0]) == b""
        assert self.written_to(crowd[2]).startswith(b"HTTP/1.1 401 ")
        assert client.server.counters.denied == {Reason.TOKEN_MALFORMED: 1}

    async def test_a_fault_is_that_of_one(self, client, crowd) -> None:
        def refuses(token: bytes, _: bytes) -> Reason:
            if token == b"x.y.fault":
                raise RuntimeError
            return Reason.TOKEN_MALFORMED

        def decide(asked: Asked) -> Deny:
            if asked.token == b"x.y.fault":
                raise RuntimeError
            return Deny(Reason.TOKEN_MALFORMED)

        client.gate.refuses, client.gate.decide = refuses, decide
        with a_turn():
            for number, last in ((0, b"z"), (2, b"fault"), (4, b"z")):
                crowd[number].data_received(request(token=b"x.y." + last))
        for connection in (crowd[0], crowd[4]):
            assert self.written_to(connection).startswith(b"HTTP/1.1 401 ")
        assert self.written_to(crowd[2]) == b""
        assert crowd[2]._transport.aborted

    async def test_an_answer_that_fails_is_none(
        self, client, crowd, monkeypatch
    ) -> None:
        def fail(_: bytes) -> None:
            raise RuntimeError

        monkeypatch.setattr(crowd[2]._transport, "write", fail)
        with a_turn():
            for number in (0, 2, 4):
                crowd[number].data_received(request())
        for connection in (crowd[0], crowd[4]):
            assert self.written_to(connection).startswith(b"HTTP/1.1 401 ")
        assert crowd[2]._transport.aborted
        assert client.server.counters.denied == {Reason.TOKEN_MALFORMED: 2}

    async def test_those_whose_ids_are_longer_than_before_have_whole_answers(
        self, client
    ) -> None:
        client.gate.refusal = Reason.TOKEN_MALFORMED
        crowd = [ServerConnection(client.server) for _ in range(16)]
        for connection in crowd:
            connection.connection_made(RecordingTransport())
        for _ in range(7):
            client.ask()
        with a_turn():
            for connection in crowd:
                connection.data_received(request())
        ids = set()
        for connection in crowd:
            (request_id,) = set(IDS.findall(self.written_to(connection)))
            ids.add(request_id.rpartition(b"-")[2])
            assert self.written_to(connection) == denial(
                Reason.TOKEN_MALFORMED,
                request_id=request_id,
                scope=SCOPES[Door.TRACKING],
            )
        assert ids == {b"%x" % number for number in range(8, 24)}


class FoldedView(FoldedLogs, View):
    """One source, which enforces; always fresh."""

    def __init__(self) -> None:
        super().__init__()
        self.app()
        self.source("enforced", Enforcement.ENFORCE, "app_1")

    def look(self) -> None:
        """What was recorded is what it says."""

    def fresh_at(self, boottime: float, wall: float) -> bool:
        del boottime, wall
        return True


class AdmittingGate(Gate):
    """Lets in whoever shows one token, if it has no fault."""

    def __init__(self, token: bytes) -> None:
        verifier = Verifier("https://a")
        verifier.remembered.add(token, VERIFIED)
        super().__init__(
            FoldedView(), verifier, Counters(), audiences=DEFAULT_AUDIENCES
        )
        self.token = token
        self.has_fault = False

    def admitted_among(self, asking: list[Any]) -> list[Any]:
        if self.has_fault:
            raise RuntimeError
        return [each for each in asking if each[0].text == self.token]


class TestLikeTheLast:
    """Who was refused is read with others of its turn who were."""

    BODY = b'{"writeKey":"enforced-key"}'
    GOOD = b"eyJh.good.token"

    @pytest.fixture
    async def client(self) -> Client:
        """Whose gate knows one good token; whatever it asks next will be put off."""
        client = Client(AdmittingGate(self.GOOD))
        for _ in range(20):
            answer = client.ask_for(b"x" * len(self.GOOD), self.BODY)
            assert b"token_malformed" in answer
        client.server.counters.denied.clear()
        return client

    def neighbour(self, client: Client) -> ServerConnection:
        """Another connection of the same, which was refused something too."""
        connection = ServerConnection(client.server)
        connection.connection_made(RecordingTransport())
        connection.data_received(self.request())
        assert b"token_malformed" in connection._transport.written
        connection._transport.written = b""
        return connection

    def request(self, token: bytes = b"x" * len(GOOD)) -> bytes:
        return request(self.BODY, token=token)

    async def test_one_that_is_good_passes_among_them(self, client) -> None:
        others = [self.neighbour(client) for _ in range(2)]
        with a_turn():
            others[0].data_received(self.request())
            client.connection.data_received(self.request(self.GOOD))
            others[1].data_received(self.request())
            assert client.forwarded == []
        assert len(client.forwarded) == 1
        assert VERIFIED.client_id.encode() in client.forwarded[0]
        for other in others:
            assert b"token_malformed" in other._transport.written
        assert client.server.counters.denied == {Reason.TOKEN_MALFORMED: 2 + 2}
        assert client.server.counters.requests == 20 + 2 + 3
        assert client.server.counters.admitted == 1

    @pytest.mark.parametrize(
        ("was", "now", "code"),
        [
            (b"Bearer xx", b"Bearer x ", "credentials_malformed"),
            (b"Bearer xx", b"Digest xx", "token_missing"),
            (b"/v1/batch", b"/v1/nopes", "not_found"),
            (b"Host: a", b"Hos: aa", "host_invalid"),
            (b'key"}', b'key"]', "body_unreadable"),
        ],
    )
    async def test_each_is_told_as_if_it_came_alone(
        self, client, was, now, code
    ) -> None:
        other = self.neighbour(client)
        client.transport.written = b""
        with a_turn():
            client.connection.data_received(self.request().replace(was, now))
            other.data_received(self.request())
        answer = json.loads(client.transport.written.partition(b"\r\n\r\n")[2])
        assert answer["code"] == code
        assert b"token_malformed" in other._transport.written

    @pytest.mark.parametrize("was", [b"Content-Length: 2", b'key"}'])
    async def test_one_whose_body_is_longer_waits_for_it(self, client, was) -> None:
        """It is as long because its token is shorter; or nothing else is odd."""
        longer = self.request().replace(b"Length: 27", b"Length: 28")
        client.transport.written = b""
        with a_turn():
            client.connection.data_received(longer)
        assert client.transport.written == b""
        client.connection.data_received(b" " if was.endswith(b"}") else b"\n")
        assert b"token_malformed" in client.transport.written

    @pytest.mark.parametrize("end", [False, True])
    async def test_what_came_behind_it_is_read_behind_it(self, client, end) -> None:
        client.transport.written = b""
        odd = self.request().replace(b"User-Agent: ", b"user-agent: ")
        with a_turn():
            client.connection.data_received(odd)
            nowhere = self.request().replace(b"/v1/batch", b"/v1/nopes")
            client.connection.data_received(nowhere)
            if end:
                client.connection.eof_received()
        told = re.findall(rb'"code":"(\w+)"', client.transport.written)
        assert told == [b"token_malformed", b"not_found"]
        assert client.transport.closed is end

    async def test_one_that_is_too_large_is_told_so(self, client) -> None:
        """Also when one as large came between one that was refused and its answer."""
        large = request(self.BODY.rjust(Limits().body + 1), token=b"x")
        first, second = self.neighbour(client), self.neighbour(client)
        with a_turn():
            client.connection.data_received(self.request(b"x"))
            first.data_received(large)
        second.data_received(large)
        for each in (first, second):
            assert each._transport.written.startswith(b"HTTP/1.1 413 ")
            assert b"body_too_large" in each._transport.written

    async def test_one_that_is_cut_short_ends_its_connection(self, client) -> None:
        with a_turn():
            longer = b"x" * (len(self.GOOD) + len(self.BODY))
            head = self.request(longer).removesuffix(self.BODY)
            client.connection.data_received(head)
            client.connection.eof_received()
        assert client.transport.closed

    async def test_who_left_is_not_read(self, client) -> None:
        client.transport.written = b""
        with a_turn():
            client.connection.data_received(self.request(self.GOOD))
            client.connection.connection_lost(None)
        assert client.forwarded == []
        assert client.transport.written == b""

    async def test_a_fault_is_that_of_one(self, client) -> None:
        other = self.neighbour(client)
        client.gate.has_fault = True
        with a_turn():
            client.connection.data_received(self.request(self.GOOD))
            other.data_received(self.request())
        assert client.transport.aborted
        assert b"token_malformed" in other._transport.written

    async def test_an_empty_line_is_skipped_once(self, client) -> None:
        """Before each request, also one that was put off."""
        client.transport.written = b""
        for number in (1, 2):
            client.connection.data_received(b"\r\n")
            with a_turn():
                client.connection.data_received(self.request())
            assert client.transport.written.count(b'"token_malformed"') == number


NAMING = b'"writeKey":"enforced-key"'


class TestTheEndOfABody:
    """What refuses looks at the end of what came, which has a head in front."""

    @pytest.mark.parametrize("last", [b"X: 1", b"X: {" + NAMING, b"X: " + NAMING])
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"}", "body_unreadable"),
            (b"{" + NAMING + b"}", "token_malformed"),
            (b"{" + NAMING + b" " * (MAX_TAIL + 1) + b"}", "token_malformed"),
        ],
    )
    async def test_the_head_is_no_part_of_it(self, last, body, reason) -> None:
        """However long it is, and what is read in one piece as what is not."""
        verifier = Verifier("https://a")
        gate = Gate(FoldedView(), verifier, Counters(), audiences=DEFAULT_AUDIENCES)
        client = Client(gate)
        for size in (0, 100, *range(MAX_TAIL - 3, MAX_TAIL + 4)):
            padded = b" " * (size - len(body)) + body
            head, end, _ = request(padded).partition(b"\r\n\r\n")
            for pieces in (
                [head, b"\r\n", last, end, padded],
                [head + b"\r\n" + last + end + padded],
            ):
                client.transport.written = b""
                for piece in pieces:
                    client.connection.data_received(piece)
                answer = json.loads(client.transport.written.partition(b"\r\n\r\n")[2])
                assert answer["code"] == reason


class TestLog:
    def test_a_flood_is_counted_and_told_in_one_line(self, monkeypatch) -> None:
        told = []
        logger = SimpleNamespace(info=lambda event, **fields: told.append(fields))
        monkeypatch.setattr(refusal_log, "logger", logger)
        log = RefusalLog()
        log.renew(100.5)
        for number in range(1000):
            log.tell(Reason.TOKEN_MALFORMED, 401, b"id-%d" % number, b"192.0.2.1")
            log.renew(100.5 + number / 2000)
        assert len(told) == MAX_LINES
        assert told[0] == {
            "reason": "token_malformed",
            "status": 401,
            "request_id": "id-0",
            "client_address": "192.0.2.1",
        }
        log.renew(101.5)
        assert told[MAX_LINES] == {"n": 1000 - MAX_LINES}
        log.tell(Reason.TOKEN_EXPIRED, 511, b"id-1000", b"192.0.2.1")
        assert told[MAX_LINES + 1]["reason"] == "token_expired"
        log.renew(103.0)
        assert len(told) == MAX_LINES + 2

    async def test_the_sweep_renews_its_share(self, client, monkeypatch) -> None:
        told = []
        logger = SimpleNamespace(info=lambda event, **_: told.append(event))
        monkeypatch.setattr(refusal_log, "logger", logger)
        client.gate.refusal = Reason.TOKEN_MALFORMED
        for _ in range(MAX_LINES + 2):
            client.ask()
        assert told == ["request refused"] * MAX_LINES
        client.server.start()
        client.ask()
        assert told[MAX_LINES:] == [
            "requests refused, not told one by one",
            "request refused",
        ]
