"""Bodies: codings, sizes, patience, and what is answered before one is complete."""

import asyncio
import gzip
import json
import zlib

import pytest

from enforcement_gateway.http.server import Limits
from tollgate.testing.waiting import until

GZIP = {"Content_Encoding": "gzip"}


def code_of(answer):
    return json.loads(answer.body)["code"]


def head(*lines):
    fields = ("Host: gateway.test", *lines)
    return "\r\n".join(("POST /v1/batch HTTP/1.1", *fields, "", "")).encode()


class TestGzip:
    async def test_keys_are_read_inside_and_the_body_passes_unchanged(
        self, gateway, world
    ):
        body = gzip.compress(json.dumps(gateway.batch()).encode())
        assert (await gateway.ask(body, **GZIP)).status == 401
        answer = await gateway.ask(body, token=world.token(), **GZIP)
        assert answer.status == 200
        (request,) = gateway.upstream.requests
        assert request.body == body
        assert request["Content-Encoding"] == "gzip"

    async def test_every_member_counts(self, gateway):
        """What reads on behind the first member would see another source."""
        first = b'{"writeKey":"open-key","batch":[{}'
        second = b',{"writeKey":"enforced-key"}]}'
        body = gzip.compress(first) + gzip.compress(b"") + gzip.compress(second)
        assert (await gateway.ask(body, **GZIP)).status == 403

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda body: body[:-1],
            lambda body: body[: len(body) // 2],
            lambda body: body + b"\x00",
            lambda body: body + b"rubbish",
            lambda body: body[:-8] + bytes(4) + body[-4:],
            lambda body: body + body[:12],
            lambda _: b"",
            lambda _: b'{"writeKey":"open-key"}',
            lambda _: zlib.compress(b'{"writeKey":"open-key"}'),
        ],
    )
    async def test_what_is_not_whole_gzip_is_unreadable(self, gateway, spoil):
        body = spoil(gzip.compress(b'{"writeKey":"open-key"}'))
        answer = await gateway.ask(body, **GZIP)
        assert (answer.status, code_of(answer)) == (400, "body_unreadable")
        assert gateway.upstream.requests == []

    @pytest.mark.parametrize(
        "coding",
        ["br", "deflate", "gzip, gzip", "identity, gzip", "x-gzip", "zstd", ""],
    )
    async def test_other_codings_are_415(self, gateway, coding):
        answer = await gateway.ask(gateway.batch("open-key"), Content_Encoding=coding)
        assert (answer.status, code_of(answer)) == (415, "encoding_unsupported")
        assert answer["Accept-Encoding"] == "gzip"

    async def test_gzip_twice_in_two_fields_is_415(self, gateway):
        client = await gateway.client()
        body = gzip.compress(gzip.compress(b'{"writeKey":"open-key"}'))
        answer = await client.ask(
            head(
                "Content-Encoding: gzip",
                "Content-Encoding: gzip",
                f"Content-Length: {len(body)}",
            )
            + body
        )
        assert answer.status == 415

    async def test_a_bomb_is_413_and_others_are_served_meanwhile(self, gateway):
        bomb = gzip.compress(bytes(100 * 1024 * 1024))
        assert len(bomb) < 1024 * 1024
        answer = await gateway.ask(bomb, **GZIP)
        assert (answer.status, code_of(answer)) == (413, "body_inflates_too_large")

    async def test_many_tiny_members_leave_the_loop_to_others(self, gateway):
        body = gzip.compress(b" ") * 30_000
        slow = asyncio.create_task(gateway.ask(body[: 1024 * 1024], **GZIP))
        meanwhile = 0
        while not slow.done():
            assert (await gateway.ask(gateway.batch("open-key"))).status == 200
            meanwhile += 1
        assert (await slow).status == 400
        assert meanwhile > 2  # one, if nobody got a turn before the end

    async def test_the_node_version_is_read_inside(self, gateway, world):
        library = {"name": "@segment/analytics-node", "version": "3.1.0"}
        batch = gateway.batch("enforced-key", {"context": {"library": library}})
        body = gzip.compress(json.dumps(batch).encode())
        answer = await gateway.ask(body, token=world.token(age=90_000), **GZIP)
        assert answer.status == 511


class TestSizes:
    async def test_up_to_a_mebibyte_passes(self, gateway):
        body = b'{"writeKey":"open-key","x":"'
        body += b"y" * (1024 * 1024 - len(body) - 2) + b'"}'
        assert len(body) == 1024 * 1024
        assert (await gateway.ask(body)).status == 200
        assert gateway.upstream.requests[0].body == body

    async def test_a_longer_length_is_413_before_the_body(self, gateway):
        client = await gateway.client()
        answer = await client.ask(head(f"Content-Length: {1024 * 1024 + 1}"))
        assert (answer.status, code_of(answer)) == (413, "body_too_large")
        assert answer["Connection"] == "close"
        assert await client.rest() == b""

    async def test_the_answer_survives_a_client_that_goes_on_sending(self, gateway):
        client = await gateway.client()
        await client.send(head(f"Content-Length: {3 * 1024 * 1024}"))
        for _ in range(30):
            client.writer.write(bytes(100_000))
        assert (await client.answer()).status == 413

    async def test_chunks_without_an_end_are_413_at_the_limit(self, gateway):
        client = await gateway.client()
        await client.send(head("Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(40):
            client.writer.write(chunk)
        answer = await client.answer()
        assert (answer.status, code_of(answer)) == (413, "body_too_large")
        assert gateway.counters.body_bytes_now == 0

    async def test_one_huge_chunk_is_413_before_it_comes(self, gateway):
        client = await gateway.client()
        answer = await client.ask(head("Transfer-Encoding: chunked") + b"7fffffff\r\n")
        assert answer.status == 413

    async def test_a_body_in_tiny_chunks_is_413(self, gateway):
        client = await gateway.client()
        await client.send(head("Transfer-Encoding: chunked"))
        client.writer.write(b"1\r\n \r\n" * 100_000)
        assert (await client.answer()).status == 413

    async def test_all_unfinished_bodies_together_have_a_limit(self, make_gateway):
        gateway = await make_gateway(limits=Limits(unfinished_bodies=300_000))
        waiting = [await gateway.client() for _ in range(3)]
        for client in waiting:
            await client.send(head("Content-Length: 200000") + b"x" * 90_000)
        await until(lambda: gateway.counters.body_bytes_now == 270_000)
        late = await gateway.client()
        await late.send(head("Content-Length: 200000") + b"x" * 90_000)
        answer = await late.answer()
        assert (answer.status, code_of(answer)) == (503, "overloaded")
        assert "Retry-After" in answer
        for client in waiting:
            await client.close()
        await until(lambda: gateway.counters.body_bytes_now == 0)


class TestExpectations:
    async def test_100_continue_is_answered(self, gateway):
        body = json.dumps(gateway.batch("open-key")).encode()
        client = await gateway.client()
        await client.send(head(f"Content-Length: {len(body)}", "Expect: 100-Continue"))
        assert (await client.answer()).start_line == "HTTP/1.1 100 Continue"
        assert (await client.ask(body)).status == 200
        assert "Expect" not in gateway.upstream.requests[0]

    async def test_it_is_not_asked_for_a_body_that_is_refused(self, gateway):
        client = await gateway.client()
        answer = await client.ask(
            head("Content-Length: 2000000", "Expect: 100-continue")
        )
        assert answer.status == 413
        client = await gateway.client()
        answer = await client.ask(
            head("Content-Length: 5", "Content-Encoding: br", "Expect: 100-continue")
        )
        assert (answer.status, answer["Connection"]) == (415, "close")

    async def test_http_1_0_knows_no_expectation(self, gateway):
        client = await gateway.client()
        answer = await client.ask(
            b"POST /v1/batch HTTP/1.0\r\nExpect: 100-continue\r\n"
            b"Content-Length: 23\r\n\r\n" + b'{"writeKey":"open-key"}'
        )
        assert answer.status == 200


class TestEarlyAnswers:
    async def test_a_small_body_is_read_and_the_connection_kept(self, gateway):
        client = await gateway.client()
        answer = await client.ask(gateway.request({}, path="/nowhere"))
        assert answer.status == 404
        assert "Connection" not in answer
        request = gateway.request(gateway.batch("open-key"))
        assert (await client.ask(request)).status == 200

    async def test_a_large_one_ends_it(self, gateway):
        client = await gateway.client()
        await client.send(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
        )
        answer = await client.answer()
        assert (answer.status, answer["Connection"]) == (404, "close")
        assert await client.rest() == b""


class TestPatience:
    @pytest.fixture
    async def hasty(self, make_gateway):
        return await make_gateway(
            limits=Limits(
                head_seconds=0.3,
                idle_seconds=0.3,
                body_seconds=0.3,
                write_seconds=0.3,
                sweep_seconds=0.05,
            )
        )

    async def test_a_silent_connection_is_closed(self, hasty):
        client = await hasty.client()
        assert await client.rest() == b""

    async def test_an_idle_connection_is_closed(self, hasty):
        client = await hasty.client()
        request = hasty.request(hasty.batch("open-key"))
        assert (await client.ask(request)).status == 200
        assert await client.rest() == b""

    async def test_a_head_that_drips_is_408(self, hasty):
        client = await hasty.client()
        await client.send(b"POST /v1/batch HTTP/1.1\r\n")
        drip = asyncio.create_task(self.drip(client))
        answer = await client.answer()
        drip.cancel()
        assert (answer.status, code_of(answer)) == (408, "request_too_slow")

    async def test_a_body_that_drips_is_408(self, hasty):
        client = await hasty.client()
        await client.send(head("Content-Length: 1000"))
        drip = asyncio.create_task(self.drip(client))
        answer = await client.answer()
        drip.cancel()
        assert (answer.status, answer["Connection"]) == (408, "close")

    async def drip(self, client):
        while True:
            await client.send(b"x")
            await asyncio.sleep(0.05)

    async def test_many_slow_ones_do_not_hold_up_the_others(self, hasty):
        slow = []
        for _ in range(100):
            slow.append(await hasty.client())
            await slow[-1].send(b"POST /v1")  # at once: who is idle is let go
        for _ in range(20):
            assert (await hasty.ask(hasty.batch("open-key"))).status == 200
        for client in slow:
            assert (await client.answer()).status == 408


class TestTruncation:
    @pytest.mark.parametrize(
        "data",
        [
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\n",
            head("Content-Length: 24") + b'{"writeKey":"open-key"}',
            head("Transfer-Encoding: chunked") + b'17\r\n{"writeKey":"open-key"}\r\n',
            head("Transfer-Encoding: chunked")
            + b'17\r\n{"writeKey":"open-key"}\r\n0\r\n',
        ],
    )
    async def test_a_request_cut_short_is_never_complete(self, gateway, data):
        client = await gateway.client()
        await client.send(data)
        client.writer.write_eof()
        assert b"200" not in await client.rest()
        assert gateway.upstream.requests == []

    async def test_a_client_that_says_no_more_still_gets_its_answer(self, gateway):
        client = await gateway.client()
        await client.send(gateway.request(gateway.batch("open-key")))
        client.writer.write_eof()
        assert (await client.answer()).status == 200
        assert await client.rest() == b""


class TestOddBodies:
    async def test_a_large_one_is_read_by_the_rule_beside_the_loop(self, gateway):
        odd = b'{"x":{"batch":1},"batch":[{}],"writeKey":"open-key","y":"'
        body = odd + b"z" * 200_000 + b'"}'
        assert (await gateway.ask(body)).status == 200
        assert gateway.upstream.requests[0].body == body

    async def test_and_refused_by_it(self, gateway):
        body = b'{"WriteKey":"open-key","y":"' + b"z" * 200_000 + b'"}'
        assert (await gateway.ask(body)).status == 400
        body = b'{"x":{"batch":1},"writeKey":"enforced-key","y":"' + b"z" * 99_999
        assert (await gateway.ask(body + b'"}')).status == 401
