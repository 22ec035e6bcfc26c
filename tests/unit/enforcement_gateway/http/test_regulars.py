"""Requests of every day are decided by the turn: each as if it had come alone."""

import asyncio
import gzip
import re
import time
from contextlib import nullcontext
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Reason
from enforcement_gateway.gate import Gate
from enforcement_gateway.http import exchange
from enforcement_gateway.http.protocol import ServerConnection
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.server import Behind, Limits, Server
from enforcement_gateway.testing.recorders import (
    RecordingPool,
    RecordingTransport,
    a_turn,
)
from enforcement_gateway.upstream.answers import AnswerHead
from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from enforcement_gateway.upstream.pool import MAX_PUT_OFF
from enforcement_gateway.verification import Verifier
from enforcement_gateway.view import View
from tollgate.events.registry import Enforcement
from tollgate.events.tokens import TokenRevoked
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.testing.folded_logs import RECORDED_AT, FoldedLogs
from tollgate.testing.tokens import verified_access_token

NOW = int(time.time())
GOOD = b"eyJh.good.token"
TOKENS = {
    GOOD: {"jti": "jti-good"},
    b"eyJh.other.token": {"jti": "jti-other", "client_id": "app_2"},
    b"eyJh.over.token": {"jti": "jti-over", "exp": NOW - 3600},
    b"eyJh.early.token": {"jti": "jti-early", "nbf": NOW + 3600},
    b"eyJh.revoked.token": {"jti": "jti-revoked"},
}
KEYS = ["enforced", "reporting", "open", "other", "unknown"]
BODIES = [
    *(b'{"batch":[{"n":1}],"writeKey":"%b-key"}' % key.encode() for key in KEYS),
    b'{"batch":[{"writeKey":"other-key"}],"writeKey":"enforced-key"}',
    b'{"writeKey":"enforced-key"}',
    b'{"writeKey":"enforced-key"',
    b'{"batch":[],"writeKey":"enforced-key"}'.ljust(MAX_PUT_OFF + 1),
]
FAULTY_SECOND = [BODIES[0], BODIES[KEYS.index("other")], BODIES[0]]
IDS = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+")
DATE = re.compile(rb"Date: [^\r]+\r\n")
TURNS = 8  # of the loop: those in which what became known is asked for


class FoldedView(FoldedLogs, View):
    """Two apps with a source each, and three sources of other kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.is_fresh = True
        self.looks = 0
        self.signing_key("kid")
        self.app()
        self.app("app_2")
        self.source("enforced", Enforcement.ENFORCE, "app_1")
        self.source("reporting", Enforcement.REPORT, "app_2")
        self.source("open")
        self.source("other", Enforcement.ENFORCE, "app_2")
        self.revoke("jti-revoked")

    def revoke(self, jti: str) -> None:
        expires_at = RECORDED_AT.replace(year=2200)
        revoked = TokenRevoked(jti=jti, expires_at=expires_at)
        self.record("oauth_app-app_1", revoked)

    def look(self) -> None:
        self.looks += 1

    def fresh_at(self, boottime: float, wall: float) -> bool:
        del boottime, wall
        return self.is_fresh

    async def refresh(self) -> None:
        """They hold no more than that."""

    async def refresh_tokens(self) -> None:
        """They hold no more than that."""


ANSWER = AnswerHead(status=200, phrase=b"OK", fields=[], length=2)


def request(token: bytes, body: bytes, more: bytes = b"") -> bytes:
    return (
        b"POST /v1/batch HTTP/1.1\r\nHost: a\r\n%bAuthorization: Bearer %b\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (more, token, len(body), body)
    )


class FaultyGate(Gate):
    """Has a fault, if a test says so, that shows with one write key.

    The logs are read at once, without the pause that others are given.
    """

    faulty_key = None

    def admitted_among(self, asking: list[Any]) -> list[Any]:
        if self.faulty_key in [key for _, key, *_ in asking]:
            raise RuntimeError
        return super().admitted_among(asking)

    def confirm(self, waiting: Any, reason: Reason, requests: int = 1) -> None:
        del reason, requests
        asyncio.get_running_loop().call_soon(waiting.confirmed, True)


class Crowd:
    """Connections to one gateway, and what each was told, or had forwarded."""

    def __init__(self, size: int) -> None:
        self.view = FoldedView()
        verifier = Verifier("https://a")
        for text, claims in TOKENS.items():
            usual = {
                "audiences": frozenset(DEFAULT_AUDIENCES.values()),
                "scopes": frozenset({Scope.TRACKING_API_WRITE}),
                "iat": NOW - 60,
                "nbf": NOW - 60,
                "exp": NOW + 3600,
            }
            verifier.remembered.add(text, verified_access_token(**usual | claims))
        self.counters = Counters()
        self.gate = FaultyGate(
            self.view, verifier, self.counters, audiences=DEFAULT_AUDIENCES
        )
        self.pool = RecordingPool()
        self.server = Server(
            self.gate,
            self.counters,
            {Door.TRACKING: Behind(self.pool, UpstreamAuthorization.NONE)},
            limits=Limits(),
        )
        for _ in range(16):  # so that all ids are as long, and what they stand in
            next(self.server.request_ids)
        self.connections = [ServerConnection(self.server) for _ in range(size)]
        for connection in self.connections:
            connection.connection_made(RecordingTransport())

    def learn(self, connection: ServerConnection, octets: bytes) -> None:
        """Read it the strict way, so that the next like it are of every day."""
        connection.data_received(octets)
        ((_, answers),) = self.pool.sent
        answers.answer_whole(ANSWER, b"{}")
        assert connection._exchange is None
        self.pool.sent.clear()

    async def said(self) -> list[bytes]:
        """To each, but for ids and dates, if all that is forwarded is answered.

        An answer tells what of, so that it shows whose request that was.
        """
        while self.pool.sent:
            octets, answers = self.pool.sent.pop(0)
            body = sha256(IDS.sub(b"", octets)).hexdigest().encode()
            answers.answer_whole(replace(ANSWER, length=len(body)), body)
            await settle()
        written = [each._transport.written for each in self.connections]
        return [DATE.sub(b"", IDS.sub(b"", each)) for each in written]


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Asked(NamedTuple):
    """`body` is one of `BODIES`, and what `happens` does before the turn is over."""

    token: bytes
    body: int
    is_packed: bool
    happens: str

    def octets(self) -> tuple[bytes, bytes]:
        """Of the head, and of the body."""
        body, more = BODIES[self.body], b""
        if self.is_packed:
            body, more = gzip.compress(body, mtime=0), b"Content-Encoding: gzip\r\n"
        whole = request(self.token, body, more)
        at = len(whole) - len(body)
        return whole[:at], whole[at:]


ASKED = st.builds(
    Asked,
    token=st.just(GOOD) | st.sampled_from([*TOKENS]),
    body=st.just(0) | st.integers(0, len(BODIES) - 1),
    is_packed=st.sampled_from([False, False, True]),
    happens=st.sampled_from([*3 * ["nothing"], "asks more", "sends no more", "leaves"]),
)


class TestIsToldAsIfAlone:
    @settings(deadline=None)
    @given(
        asked=st.lists(ASKED, min_size=1, max_size=6),
        is_fresh=st.sampled_from([True, True, True, False]),
    )
    def test_whatever_came_in_its_turn(self, asked, is_fresh) -> None:
        """Beside one whose head and body come apart, for which it has an exchange."""

        async def ask(crowd: Crowd, *, together: bool) -> None:
            for each, connection in zip(asked, crowd.connections, strict=True):
                good = each._replace(token=GOOD, body=0)
                crowd.learn(connection, b"".join(good.octets()))
            crowd.view.is_fresh = is_fresh
            with a_turn() if together else nullcontext():
                for each, connection in zip(asked, crowd.connections, strict=True):
                    head, body = each.octets()
                    for piece in (head + body,) if together else (head, body):
                        connection.data_received(piece)
                    if each.happens == "asks more":
                        connection.data_received(head + body)
                    elif each.happens == "sends no more":
                        connection.eof_received()
            for each, connection in zip(asked, crowd.connections, strict=True):
                if each.happens == "leaves":
                    connection.connection_lost(None)
            await settle()

        async def compare() -> None:
            crowds = Crowd(len(asked)), Crowd(len(asked))
            for crowd, together in zip(crowds, (True, False), strict=True):
                await ask(crowd, together=together)
            ours, theirs = crowds
            event(f"{len(ours.pool.sent)} forwarded")
            assert await ours.said() == await theirs.said()
            for name in ("requests", "admitted", "open", "denied", "reported"):
                ours_are = getattr(ours.counters, name)
                assert ours_are == getattr(theirs.counters, name), name

        asyncio.run(compare())


class TestTurn:
    @pytest.fixture
    async def crowd(self) -> Crowd:
        crowd = Crowd(3)
        for each in crowd.connections:
            crowd.learn(each, request(GOOD, BODIES[0]))
        return crowd

    async def test_is_over_before_they_are_decided(self, crowd) -> None:
        """By what is known then, of which one look is taken."""
        before = crowd.view.looks
        with a_turn():
            crowd.connections[0].data_received(request(GOOD, BODIES[0]))
            crowd.connections[1].data_received(request(GOOD, BODIES[0]))
            assert (crowd.view.looks, crowd.pool.sent) == (before, [])
        assert crowd.view.looks == before + 1
        assert len(crowd.pool.sent) == 2
        assert [to for _, to in crowd.pool.sent] == crowd.connections[:2]
        ids = [IDS.search(octets)[0] for octets, _ in crowd.pool.sent]
        assert len(set(ids)) == 2

    @pytest.mark.parametrize("change", ["revoked", "too old"])
    async def test_what_was_learnt_until_its_end_counts(self, crowd, change) -> None:
        with a_turn():
            crowd.connections[0].data_received(request(GOOD, BODIES[0]))
            if change == "revoked":
                crowd.view.revoke("jti-good")
            else:
                crowd.view.is_fresh = False
        assert crowd.pool.sent == []
        assert crowd.connections[0]._transport.written

    async def test_what_is_large_does_not_wait_for_its_end(self, crowd) -> None:
        with a_turn():
            crowd.connections[0].data_received(request(GOOD, BODIES[0]))
            crowd.connections[1].data_received(request(GOOD, BODIES[-1]))
            assert len(crowd.pool.sent) == 2
            crowd.connections[2].data_received(request(GOOD, BODIES[0]))
            assert len(crowd.pool.sent) == 2
        assert len(crowd.pool.sent) == 3

    async def test_without_one_each_is_served_at_once(self, crowd) -> None:
        for number, connection in enumerate(crowd.connections):
            connection.data_received(request(GOOD, BODIES[0]))
            assert len(crowd.pool.sent) == number + 1

    async def test_a_fault_ends_one(self, crowd, monkeypatch) -> None:
        """Nobody else is kept from an answer by it."""
        told = []
        logger = SimpleNamespace(error=lambda _, **fields: told.append(fields))
        monkeypatch.setattr(exchange, "logger", logger)
        crowd.gate.faulty_key = "other-key"
        with a_turn():
            for each, body in zip(crowd.connections, FAULTY_SECOND, strict=True):
                each.data_received(request(GOOD, body))
        aborted = [each._transport.aborted for each in crowd.connections]
        assert aborted == [False, True, False]
        assert len(told) == 1
        assert len(crowd.pool.sent) == 2
