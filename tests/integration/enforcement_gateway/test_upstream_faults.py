"""Whatever an upstream does: 502, 503 or 504, no POST twice, no poisoned connection."""

import asyncio
import contextlib
import json
import socket
import ssl
from datetime import timedelta

import pytest

from enforcement_gateway.counters import Counters
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.server import Limits
from enforcement_gateway.upstream.forwarding import UpstreamAuthorization
from tollgate.testing.raw_http import OK, ScriptedUpstream
from tollgate.testing.waiting import PATIENCE, until

HEAD = b"HTTP/1.1 200 OK\r\n"

RUBBISH = {
    "no HTTP at all": b"SSH-2.0-OpenSSH\r\n",
    "HTML alone": b"<html></html>\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "two equal lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a length beyond 64 bits": HEAD + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "a length and chunked": HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "gzip and chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a broken chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n",
    "NUL in a value": HEAD + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\n{}",
    "two answers": OK + OK,
    "more than its length": HEAD + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n"
    b"Connection: upgrade\r\n\r\n",
    "a storm of 1xx": b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + OK,
    "too many fields": HEAD + b"X: y\r\n" * 300 + b"Content-Length: 0\r\n\r\n",
    "an endless head": HEAD + b"X: " + b"y" * 100_000,
}


def code_of(answer):
    return json.loads(answer.body)["code"]


async def ask(gateway):
    return await gateway.ask(gateway.batch("open-key"))


def held_up(upstream):
    """Every answer waits for the event that is returned."""
    go_on = asyncio.Event()

    async def slow(_, served):
        await go_on.wait()
        await served.send(OK)

    upstream.answering = slow
    return go_on


class TestRubbish:
    @pytest.mark.parametrize("name", RUBBISH)
    async def test_is_502_and_its_connection_never_used_again(self, gateway, name):
        gateway.upstream.answer_with(RUBBISH[name], OK)
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (502, "upstream_rubbish")
        assert answer["Retry-After"] == "1"
        assert (await ask(gateway)).status == 200
        assert gateway.upstream.connections == 2
        assert len(gateway.upstream.requests) == 2, "the POST was sent once"

    async def test_rubbish_behind_a_good_answer_reaches_nobody(self, gateway):
        async def late_rubbish(_, served):
            await served.send(OK)
            await asyncio.sleep(0)
            with contextlib.suppress(ConnectionError):
                await served.send(OK.replace(b"true", b"evil"))

        gateway.upstream.answering = late_rubbish
        for _ in range(20):
            answer = await ask(gateway)
            if answer.status == 200:
                assert answer.body == b'{"success": true}'

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "304 Not Modified"])
    async def test_a_redirect_is_502(self, gateway, status):
        gateway.upstream.answer_with(
            b"HTTP/1.1 %b\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n"
            % status.encode()
        )
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (502, "upstream_redirected")
        assert "Location" not in answer


class TestPassedOn:
    @pytest.mark.parametrize("status", [200, 201, 400, 413, 429, 500, 503])
    async def test_statuses_and_fields(self, gateway, status):
        gateway.upstream.answer_with(
            b"HTTP/1.1 %d Whatever\r\nRetry-After: 7\r\nX-RateLimit-Reset: 7\r\n"
            b"Date: Tue, 24 Nov 2026 00:00:00 GMT\r\nX-Request-Id: theirs\r\n"
            b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\n{}"
            % status
        )
        answer = await ask(gateway)
        assert answer.start_line == f"HTTP/1.1 {status} Whatever"
        assert answer.body == b"{}"
        assert answer["Retry-After"] == answer["X-RateLimit-Reset"] == "7"
        assert answer["Date"] == "Tue, 24 Nov 2026 00:00:00 GMT"
        assert answer.all("Set-Cookie") == ["a=1", "b=2"]
        assert answer["X-Request-Id"] != "theirs"
        for gone in ("X-Hop", "Keep-Alive", "Connection"):
            assert gone not in answer

    async def test_interim_answers_are_passed_over(self, gateway):
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        gateway.upstream.answer_with(b"HTTP/1.1 100 Continue\r\n\r\n" + interim + OK)
        for _ in range(2):
            answer = await ask(gateway)
            assert answer.status == 200
            assert "Link" not in answer
        assert gateway.upstream.connections == 1

    @pytest.mark.parametrize(
        "answer_of_upstream",
        [
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: z\r\n\r\n",
            HEAD + b"Content-Length: 11\r\n\r\nhello world",
        ],
    )
    async def test_bodies_are_framed_anew(self, gateway, answer_of_upstream):
        gateway.upstream.answer_with(answer_of_upstream)
        client = await gateway.client()
        for _ in range(2):
            answer = await client.ask(gateway.request(gateway.batch("open-key")))
            assert answer.body == b"hello world"
            assert answer["Content-Length"] == "11"
            assert "X-T" not in answer
        assert gateway.upstream.connections == 1

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    async def test_an_answer_may_last_until_the_connection_ends(self, gateway, version):
        gateway.upstream.answer_with(
            f"HTTP/{version} 200 OK\r\n\r\nhello".encode(), then_close=True
        )
        assert (await ask(gateway)).body == b"hello"

    async def test_a_204_has_no_length(self, gateway):
        gateway.upstream.answer_with(b"HTTP/1.1 204 No Content\r\n\r\n")
        client = await gateway.client()
        for _ in range(2):
            answer = await client.ask(gateway.request(gateway.batch("open-key")))
            assert answer.status == 204
            assert "Content-Length" not in answer

    async def test_a_large_answer_comes_in_pieces(self, gateway):
        pieces = 40

        async def slowly(_, served):
            await served.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(pieces):
                await served.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await served.send(b"0\r\n\r\n")

        gateway.upstream.answering = slowly
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("open-key")))
        answer = await client.answer()
        assert len(answer.body) == pieces * 65536
        assert answer["Transfer-Encoding"] == "chunked"

    async def test_http_1_0_gets_what_it_understands(self, gateway):
        begun = asyncio.Event()

        async def slowly(_, served):
            await served.send(
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            )
            await begun.wait()
            await served.send(b"1\r\n!\r\n0\r\n\r\n")

        gateway.upstream.answering = slowly
        client = await gateway.client()
        await client.send(
            b"POST /v1/batch HTTP/1.0\r\nContent-Length: 23\r\n\r\n"
            b'{"writeKey":"open-key"}'
        )
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in head
        assert b"Content-Length" not in head
        begun.set()
        assert await client.rest() == b"hello!"


class TestGone:
    async def test_refused_is_502_and_heals_by_itself(self, make_gateway):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        gateway = await make_gateway(upstream_url=f"http://127.0.0.1:{port}")
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (502, "upstream_unreachable")
        late = ScriptedUpstream()
        await late.start(port)
        assert (await ask(gateway)).status == 200
        await late.stop()

    async def test_no_such_name_is_502(self, make_gateway):
        gateway = await make_gateway(upstream_url="http://nowhere.invalid")
        assert (await ask(gateway)).status == 502

    async def test_silence_is_504_and_the_post_is_not_sent_again(self, make_gateway):
        gateway = await make_gateway(answer_timeout=0.3)

        async def silent(_, served):
            await served.reader.read()

        gateway.upstream.answering = silent
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (504, "upstream_timeout")
        assert len(gateway.upstream.requests) == 1
        await gateway.upstream.until(lambda: gateway.upstream.open_connections == 0)

    async def test_closing_without_a_word_is_502_and_not_sent_again(self, gateway):
        async def close(_, served):
            served.writer.close()

        gateway.upstream.answering = close
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (502, "upstream_closed")
        assert len(gateway.upstream.requests) == 1

    async def test_a_kept_connection_that_dies_is_502_and_not_sent_again(self, gateway):
        answers = [OK]

        async def die_later(_, served):
            if answers:
                await served.send(answers.pop())
            else:
                served.writer.transport.abort()

        gateway.upstream.answering = die_later
        assert (await ask(gateway)).status == 200
        assert (await ask(gateway)).status == 502
        assert len(gateway.upstream.requests) == 2
        assert gateway.upstream.connections == 1

    async def test_an_idle_connection_that_was_closed_is_not_used(self, gateway):
        """Its end may have arrived before the loop came to it."""
        for _ in range(30):
            gateway.upstream.answer_with(OK, then_close=True)
            assert (await ask(gateway)).status == 200
            await gateway.upstream.until(lambda: not gateway.upstream.open_connections)

    async def test_a_head_cut_short_is_502(self, gateway):
        gateway.upstream.answer_with(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True)
        assert (await ask(gateway)).status == 502

    @pytest.mark.parametrize(
        "start",
        [
            HEAD + b"Content-Length: 100\r\n\r\nhello",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ],
    )
    async def test_a_body_cut_short_is_seen_to_be_so(self, gateway, start):
        begun = asyncio.Event()

        async def cut(_, served):
            await served.send(start)
            await begun.wait()
            served.writer.close()

        gateway.upstream.answering = cut
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("open-key")))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        begun.set()
        try:
            rest = await client.rest()
        except ConnectionError:
            return  # a reset says it, too
        assert len(rest) < 100
        assert not rest.endswith(b"0\r\n\r\n")


class TestBusy:
    async def test_a_connection_that_was_just_made_counts_once(self, make_gateway):
        gateway = await make_gateway(max_connections=2)
        go_on = held_up(gateway.upstream)
        clients = [await gateway.client() for _ in range(2)]
        request = gateway.request(gateway.batch("open-key"))
        await clients[0].send(request)
        pool = gateway.server.behind[Door.TRACKING].pool
        async with asyncio.timeout(PATIENCE):
            while not pool._open:
                await asyncio.sleep(0)  # a turn of the loop: later it counts right
        assert not pool._connecting
        await clients[1].send(request)
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 2)
        go_on.set()
        assert [(await each.answer()).status for each in clients] == [200, 200]

    async def test_beyond_the_limit_is_503_at_once(self, make_gateway):
        gateway = await make_gateway(max_connections=3)
        go_on = held_up(gateway.upstream)
        waiting = [asyncio.create_task(ask(gateway)) for _ in range(3)]
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 3)
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (503, "upstream_busy")
        assert (await gateway.ask(gateway.batch())).status == 401
        go_on.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 3
        assert (await ask(gateway)).status == 200


class TestClientsThatLeave:
    async def test_the_upstream_finishes_and_its_connection_is_kept(self, gateway):
        go_on = held_up(gateway.upstream)
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("open-key")))
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 1)
        client.writer.transport.abort()
        go_on.set()
        assert (await ask(gateway)).status == 200
        assert len(gateway.upstream.requests) == 2

    async def test_a_reader_that_never_reads_holds_up_the_upstream(self, gateway):
        sent = 0

        async def endless(_, served):
            nonlocal sent
            await served.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                await served.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536

        gateway.upstream.answering = endless
        client = await gateway.client()
        client.writer.transport.pause_reading()
        await client.send(gateway.request(gateway.batch("open-key")))
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 1)
        taken = await gateway.at_rest(lambda: sent)
        assert 0 < taken < 32 * 1024 * 1024, "kernel buffers, and no more"
        client.writer.transport.abort()
        await gateway.upstream.until(lambda: gateway.upstream.open_connections == 0)

    async def test_a_reader_that_never_reads_is_cut_off(self, make_gateway):
        gateway = await make_gateway(
            limits=Limits(write_seconds=0.3, sweep_seconds=0.05)
        )

        async def endless(_, served):
            await served.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                await served.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

        gateway.upstream.answering = endless
        client = await gateway.client()
        client.writer.transport.pause_reading()
        await client.send(gateway.request(gateway.batch("open-key")))
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 1)
        await gateway.upstream.until(lambda: gateway.upstream.open_connections == 0)
        assert gateway.counters.connections_now == 0

    async def test_an_upstream_that_accepts_and_closes_is_502(self, make_gateway):
        listener = await asyncio.start_server(
            lambda _, writer: writer.transport.abort(), "127.0.0.1", 0
        )
        port = listener.sockets[0].getsockname()[1]
        gateway = await make_gateway(upstream_url=f"http://127.0.0.1:{port}")
        for _ in range(50):
            answer = await ask(gateway)
            assert (answer.status, code_of(answer)) == (502, "upstream_closed")
        assert gateway.counters.upstream_connections_now == 0
        listener.close()

    async def test_leaving_at_any_moment_leaks_nothing(self, gateway):
        request = gateway.request(gateway.batch("open-key"))
        for cut in range(0, len(request), 5):
            client = await gateway.client()
            await client.send(request[:cut])
            client.writer.transport.abort()
        assert (await ask(gateway)).status == 200
        counters: Counters = gateway.counters
        await until(lambda: counters.connections_now <= 1)
        assert counters.body_bytes_now == 0
        assert counters.upstream_connections_now <= 2


class TestAuthorization:
    @pytest.mark.parametrize(
        ("how", "key", "expected"),
        [
            (UpstreamAuthorization.NONE, "enforced-key", None),
            (UpstreamAuthorization.BEARER, "enforced-key", "Bearer {token}"),
            (UpstreamAuthorization.BASIC, "enforced-key", "Basic ZW5mb3JjZWQta2V5Og=="),
            (UpstreamAuthorization.BASIC, "open-key", "Basic b3Blbi1rZXk6"),
        ],
    )
    async def test_what_the_upstream_gets_to_see(
        self, make_gateway, world, how, key, expected
    ):
        gateway = await make_gateway(authorization=how)
        token = world.token()
        assert (await gateway.ask(gateway.batch(key), token=token)).status == 200
        (request,) = gateway.upstream.requests
        wanted = [] if expected is None else [expected.format(token=token)]
        assert request.all("Authorization") == wanted


class TestPrefix:
    async def test_a_path_in_the_upstream_is_kept(self, make_gateway, upstream):
        url = f"http://127.0.0.1:{upstream.port}/collect/"
        gateway = await make_gateway(upstream_url=url)
        assert (await ask(gateway)).status == 200
        assert upstream.requests[0].start_line == "POST /collect/v1/batch HTTP/1.1"


class TestDrain:
    async def test_what_was_accepted_is_answered_and_then_closed(self, make_gateway):
        gateway = await make_gateway()
        go_on = held_up(gateway.upstream)
        client, idle = await gateway.client(), await gateway.client()
        half = await gateway.client()
        request = gateway.request(gateway.batch("open-key"))
        await client.send(request)
        await half.send(request[:30])
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 1)
        gateway.listener.close()
        draining = asyncio.create_task(gateway.server.drain(timedelta(seconds=10)))
        await asyncio.sleep(0)
        await half.send(request[30:])
        await gateway.upstream.until(lambda: len(gateway.upstream.requests) == 2)
        late = await idle.ask(gateway.request(path="/nowhere"))
        assert (late.status, late["Connection"]) == (404, "close")
        go_on.set()
        for each in (client, half):
            answer = await each.answer()
            assert (answer.status, answer["Connection"]) == (200, "close")
            assert await each.rest() == b""
        async with asyncio.timeout(5):
            await draining
        assert gateway.counters.connections_now == 0


class TestTls:
    async def test_an_upstream_whose_certificate_does_not_verify_is_502(
        self, make_gateway, self_signed
    ):
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(*self_signed)
        listener = await asyncio.start_server(
            lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=served
        )
        port = listener.sockets[0].getsockname()[1]
        gateway = await make_gateway(
            upstream_url=f"https://127.0.0.1:{port}", tls=ssl.create_default_context()
        )
        answer = await ask(gateway)
        assert (answer.status, code_of(answer)) == (502, "upstream_unreachable")
        listener.close()

    async def test_tls_on_both_sides(self, make_gateway, self_signed, world):
        certificate, key = self_signed
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(certificate, key)
        trusting = ssl.create_default_context(cafile=str(certificate))

        async def serve(reader, writer):
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    await reader.readuntil(b"}]}")
                    writer.write(OK)
            writer.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
        port = listener.sockets[0].getsockname()[1]
        gateway = await make_gateway(
            upstream_url=f"https://localhost:{port}", tls=trusting, listener_tls=served
        )
        client = await gateway.client(ssl=trusting, server_hostname="localhost")
        body = b'{"writeKey":"enforced-key","batch":[{}]}'
        for _ in range(3):
            request = gateway.request(body, token=world.token())
            assert (await client.ask(request)).status == 200
        assert gateway.counters.upstream_connections == 1
        too_large = await client.ask(
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        )
        assert too_large.status == 413
        listener.close()
