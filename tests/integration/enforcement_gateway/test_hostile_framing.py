"""Heads and bodies by which requests are smuggled past gates, byte by byte.

After each refusal for framing the connection must end: nobody can tell where the next
request would begin.
"""

import json

import pytest

HEAD = b"POST /v1/batch HTTP/1.1\r\nHost: gateway.test\r\n"
BODY = b'{"writeKey":"open-key","batch":[{}]}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def get(head):
    return head + b"\r\n"


REFUSED = {
    # request line
    "bare LF after the request line": (
        400,
        b"POST /v1/batch HTTP/1.1\nHost: x\r\n" + LENGTH + b"\r\n" + BODY,
    ),
    "bare LF everywhere": (
        400,
        b"POST /v1/batch HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    ),
    "bare CR in the request line": (
        400,
        b"POST /v1/batch\rx HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    "two spaces": (400, b"POST  /v1/batch HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a tab for a space": (400, b"POST\t/v1/batch HTTP/1.1\r\nHost: x\r\n\r\n"),
    "no version": (400, b"POST /v1/batch\r\nHost: x\r\n\r\n"),
    "a version in lower case": (400, b"POST /v1/batch http/1.1\r\nHost: x\r\n\r\n"),
    "version 1.2": (505, b"POST /v1/batch HTTP/1.2\r\nHost: x\r\n\r\n"),
    "version 2.0": (505, b"POST /v1/batch HTTP/2.0\r\nHost: x\r\n\r\n"),
    "the HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a fragment": (400, b"POST /v1/batch#x HTTP/1.1\r\nHost: x\r\n\r\n"),
    "bytes beyond ASCII in the target": (
        400,
        b"POST /v1/batch\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    "no leading slash": (400, b"POST v1/batch HTTP/1.1\r\nHost: x\r\n\r\n"),
    "two empty lines first": (400, b"\r\n\r\n" + HEAD + LENGTH + b"\r\n" + BODY),
    "whitespace before the first field": (
        400,
        b"POST /v1/batch HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
    ),
    # Host
    "no Host": (400, b"POST /v1/batch HTTP/1.1\r\n" + LENGTH + b"\r\n" + BODY),
    "two Hosts": (400, get(HEAD + b"Host: gateway.test\r\n")),
    "an empty Host": (400, b"POST /v1/batch HTTP/1.1\r\nHost:\r\n\r\n"),
    "a Host with a path": (400, b"POST /v1/batch HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    "a Host with a user": (400, b"POST /v1/batch HTTP/1.1\r\nHost: u@x\r\n\r\n"),
    "a list of Hosts": (400, b"POST /v1/batch HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    "a Host with an odd port": (400, b"POST /v1/batch HTTP/1.1\r\nHost: x:y\r\n\r\n"),
    "an absolute target without Host": (
        400,
        b"POST http://x/v1/batch HTTP/1.1\r\n\r\n",
    ),
    "an absolute target with a user": (
        400,
        b"POST http://u@x/v1/batch HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    # fields
    "a space before the colon": (400, get(HEAD + b"X-Y : z\r\n")),
    "a length with a space before the colon": (
        400,
        HEAD + b"Content-Length : 5\r\n\r\nhello",
    ),
    "obsolete folding": (400, get(HEAD + b"X-Y: a\r\n b\r\n")),
    "obsolete folding by a tab": (400, get(HEAD + b"X-Y: a\r\n\tb\r\n")),
    "no colon": (400, get(HEAD + b"X-Y\r\n")),
    "no name": (400, get(HEAD + b": x\r\n")),
    "NUL in a value": (400, get(HEAD + b"X-Y: a\x00b\r\n")),
    "bare CR in a value": (400, get(HEAD + b"X-Y: a\rb\r\n")),
    "bare LF in a value": (400, get(HEAD + b"X-Y: a\nX-Z: b\r\n")),
    "DEL in a value": (400, get(HEAD + b"X-Y: a\x7f\r\n")),
    "a control character in a name": (400, get(HEAD + b"X\x01Y: a\r\n")),
    "beyond ASCII in a name": (400, get(HEAD + b"X\xe9Y: a\r\n")),
    "bracket in a name": (400, get(HEAD + b"X(Y): a\r\n")),
    "Connection names the length": (
        400,
        HEAD + b"Connection: content-length\r\n" + LENGTH + b"\r\n" + BODY,
    ),
    "Connection names the coding": (
        400,
        HEAD + b"Connection: close, Content-Encoding\r\n" + LENGTH + b"\r\n" + BODY,
    ),
    "two content types": (
        400,
        get(HEAD + b"Content-Type: a/b\r\nContent-Type: c/d\r\n"),
    ),
    # length
    "a signed length": (400, HEAD + b"Content-Length: +5\r\n\r\nhello"),
    "a negative length": (400, HEAD + b"Content-Length: -5\r\n\r\nhello"),
    "a length in hex": (400, HEAD + b"Content-Length: 0x5\r\n\r\nhello"),
    "a length with an underscore": (400, HEAD + b"Content-Length: 1_0\r\n\r\nhello"),
    "a length with a fraction": (400, HEAD + b"Content-Length: 5.0\r\n\r\nhello"),
    "a length in other digits": (
        400,
        HEAD + "Content-Length: \u0665\r\n\r\nhello".encode(),
    ),
    "a list of lengths": (400, HEAD + b"Content-Length: 5, 5\r\n\r\nhello"),
    "two lengths": (
        400,
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    "two equal lengths": (
        400,
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "an empty length": (400, HEAD + b"Content-Length:\r\n\r\n"),
    "a length beyond 64 bits": (
        400,
        HEAD + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    ),
    "a length of a thousand digits": (
        400,
        HEAD + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n",
    ),
    # coding
    "a length and chunked": (400, HEAD + LENGTH + CHUNKED + b"\r\n" + IN_CHUNKS),
    "chunked and a length": (400, HEAD + CHUNKED + LENGTH + b"\r\n" + IN_CHUNKS),
    "chunked in HTTP/1.0": (
        400,
        b"POST /v1/batch HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"\r\n" + IN_CHUNKS,
    ),
    "chunked twice": (
        400,
        HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + IN_CHUNKS,
    ),
    "chunked twice, in two fields": (
        400,
        HEAD + CHUNKED + CHUNKED + b"\r\n" + IN_CHUNKS,
    ),
    "chunked not last": (
        400,
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + IN_CHUNKS,
    ),
    "chunked not last, in two fields": (
        400,
        HEAD + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n" + IN_CHUNKS,
    ),
    "an empty coding": (400, HEAD + b"Transfer-Encoding:\r\n\r\n" + IN_CHUNKS),
    "an empty element": (
        400,
        HEAD + b"Transfer-Encoding: ,chunked\r\n\r\n" + IN_CHUNKS,
    ),
    "an unknown coding": (
        501,
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + IN_CHUNKS,
    ),
    "gzip before chunked": (
        501,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + IN_CHUNKS,
    ),
    "a coding with a parameter": (
        501,
        HEAD + b"Transfer-Encoding: chunked;x=y\r\n\r\n" + IN_CHUNKS,
    ),
    "a quoted coding": (
        501,
        HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n' + IN_CHUNKS,
    ),
    "a vertical tab in a coding": (
        400,
        HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + IN_CHUNKS,
    ),
    # expectations
    "an unknown expectation": (417, get(HEAD + b"Expect: 200-ok\r\n")),
    # sizes
    "a target that is too long": (
        414,
        b"POST /v1/batch?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
    "too many fields": (431, get(HEAD + b"X: y\r\n" * 101)),
    "a head that is too large": (431, get(HEAD + b"X: %b\r\n" % (b"y" * 40_000))),
}

BROKEN_CHUNKS = {
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\nhellohellohello!\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "no hex": b"g\r\nhello\r\n0\r\n\r\n",
    "sixteen digits": b"f" * 16 + b"\r\nhello\r\n0\r\n\r\n",
    "a bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "a bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "more data than told": b"5\r\nhello!\r\n0\r\n\r\n",
    "less data than told": b"6\r\nhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "a malformed trailer": b"0\r\nno colon\r\n\r\n",
    "a folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "too many trailers": b"0\r\n" + b"X: y\r\n" * 4000 + b"\r\n",
}


async def refusal(gateway, data):
    client = await gateway.client()
    answer = await client.ask(data)
    assert answer["Connection"] == "close"
    assert await client.rest() == b"", "nothing behind it is answered"
    assert gateway.upstream.requests == []
    body = json.loads(answer.body)
    assert body["success"] is False
    return answer.status


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    async def test_whole(self, gateway, name):
        status, data = REFUSED[name]
        assert await refusal(gateway, data + SMUGGLED) == status

    @pytest.mark.parametrize("name", BROKEN_CHUNKS)
    async def test_chunks(self, gateway, name):
        data = HEAD + CHUNKED + b"\r\n" + BROKEN_CHUNKS[name]
        assert await refusal(gateway, data + SMUGGLED) == 400

    @pytest.mark.parametrize("name", REFUSED)
    async def test_byte_by_byte(self, gateway, name):
        """The answer does not depend on how the bytes fall into segments."""
        status, data = REFUSED[name]
        client = await gateway.client()
        for at in range(0, len(data), max(1, len(data) // 100)):
            client.writer.write(data[at : at + max(1, len(data) // 100)])
            try:
                await client.writer.drain()
            except ConnectionError:
                break
        assert (await client.answer()).status == status

    async def test_after_one_good_request(self, gateway):
        client = await gateway.client()
        await client.send(HEAD + LENGTH + b"\r\n" + BODY + b"GET / HTTP/9.9\r\n\r\n")
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 505
        assert await client.rest() == b""


class TestAccepted:
    @pytest.mark.parametrize(
        "data",
        [
            HEAD + LENGTH + b"\r\n" + BODY,
            b"\r\n" + HEAD + LENGTH + b"\r\n" + BODY,
            HEAD + CHUNKED + b"\r\n" + IN_CHUNKS,
            HEAD + b"tRANSFER-eNCODING:  CHUNKED  \r\n\r\n" + IN_CHUNKS,
            HEAD + b"Content-Length: 00%d\r\n\r\n" % len(BODY) + BODY,
            HEAD + LENGTH + b"X-Empty:\r\nX-Latin: \xe9\r\n\r\n" + BODY,
            HEAD + LENGTH + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY,
            HEAD + CHUNKED + b"\r\n" + IN_CHUNKS.replace(b"\r\n{", b";a=b;c\r\n{", 1),
            b"POST /v1/batch HTTP/1.1\r\nHost: [::1]:80\r\n" + LENGTH + b"\r\n" + BODY,
        ],
    )
    async def test_the_body_arrives_whole(self, gateway, data):
        client = await gateway.client()
        assert (await client.ask(data)).status == 200
        (request,) = gateway.upstream.requests
        assert request.body == BODY
        assert request["Content-Length"] == str(len(BODY))
        for gone in ("Transfer-Encoding", "Upgrade", "Connection"):
            assert gone not in request

    async def test_http_1_0_needs_no_host_and_is_closed(self, gateway):
        client = await gateway.client()
        answer = await client.ask(
            b"POST /v1/batch HTTP/1.0\r\n" + LENGTH + b"\r\n" + BODY
        )
        assert (answer.status, answer["Connection"]) == (200, "close")
        assert await client.rest() == b""

    async def test_trailers_never_become_headers(self, gateway, world):
        chunks = IN_CHUNKS.replace(b"open-key", b"enforced-key").replace(
            b"%x\r\n" % len(BODY), b"%x\r\n" % (len(BODY) + 4)
        )
        trailer = f"Authorization: Bearer {world.token()}\r\n".encode()
        client = await gateway.client()
        answer = await client.ask(
            HEAD + CHUNKED + b"\r\n" + chunks[:-2] + trailer + b"\r\n"
        )
        assert answer.status == 401
        assert (await client.ask(HEAD + LENGTH + b"\r\n" + BODY)).status == 200

    async def test_a_long_target_and_a_large_head_within_the_limits(self, gateway):
        head = b"POST /v1/batch?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: x\r\n"
        head += b"".join(b"X-%d: %b\r\n" % (n, b"y" * 200) for n in range(90))
        client = await gateway.client()
        assert (await client.ask(head + LENGTH + b"\r\n" + BODY)).status == 200


class TestPipelining:
    async def test_answers_come_in_order_and_each_is_authorised(self, gateway, world):
        client = await gateway.client()
        good = gateway.request(gateway.batch(), token=world.token())
        bad = gateway.request(gateway.batch())
        await client.send((good + bad) * 100)
        statuses = [(await client.answer()).status for _ in range(200)]
        assert statuses == [200, 401] * 100

    async def test_what_is_pipelined_behind_a_slow_answer_waits(self, gateway):
        client = await gateway.client()
        body = b'{"writeKey":"open-key","x":"%b"}' % (b"y" * 500_000)
        await client.send(gateway.request(body) * 3)
        for _ in range(3):
            assert (await client.answer()).status == 200
        assert [len(each.body) for each in gateway.upstream.requests] == [len(body)] * 3


class TestStripped:
    async def test_what_only_we_may_say(self, gateway, world):
        mine = [
            "Tollgate-Client-Id: evil",
            "TOLLGATE_CLIENT_ID: evil",
            "Tollgate-Anything: evil",
            "X-Request-Id: evil",
            "x_request_id: evil",
            "X-Request_Id: evil",
            "X-Forwarded-For: 6.6.6.6",
            "X_Forwarded_For: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil",
            "Forwarded: for=6.6.6.6",
            "X-Real-IP: 6.6.6.6",
            "Content_Length: 0",
            "Transfer_Encoding: chunked",
            "Content_Encoding: gzip",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic eDo=",
            "TE: trailers",
            "Trailer: X-T",
            "Upgrade: h2c",
            "Connection: keep-alive, X-Private",
            "X-Private: evil",
        ]
        kept = [
            "X-Custom: kept",
            "User_Agent2: kept",
            "Via: 1.0 first",
            "User-Agent: ua",
        ]
        head = "POST /v1/batch HTTP/1.1\r\nHost: gateway.test\r\n"
        head += "\r\n".join((*mine, *kept)) + "\r\n"
        body = BODY.replace(b"open-key", b"enforced-key")
        head += (
            f"Content-Length: {len(body)}\r\nAuthorization: Bearer {world.token()}\r\n"
        )
        client = await gateway.client()
        assert (await client.ask(head.encode() + b"\r\n" + body)).status == 200

        (request,) = gateway.upstream.requests
        assert request["Tollgate-Client-Id"] == "app_one"
        assert request["X-Forwarded-For"] == "127.0.0.1"
        assert request["X-Forwarded-Proto"] == "http"
        assert request["X-Forwarded-Host"] == "gateway.test"
        assert request["Via"] == "1.0 first, 1.1 tollgate"
        assert request["X-Custom"] == "kept"
        assert request["User-Agent"] == "ua"
        folded = [name.lower().replace("_", "-") for name, _ in request.fields]
        assert len(folded) == len(set(folded))
        assert "evil" not in "".join(value for _, value in request.fields)
        expected = {
            *("host", "tollgate-client-id", "x-request-id", "via", "x-custom"),
            *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"),
            *("user-agent2", "user-agent", "content-length"),
        }
        assert set(folded) == expected
