"""Which requests are known by the octets of their head."""

import asyncio
from typing import cast

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from tollgate.http.familiar_heads import MAX_HEADS, MAX_LENGTH, Familiar, FamiliarHeads


def request(*lines: str, body: bytes = b"body") -> bytes:
    fields = "".join(f"{line}\r\n" for line in ("Host: a", *lines))
    return (
        f"POST / HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


PLAIN = request()


async def head_of(octets: bytes) -> RawRequestMessage:
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, auto_decompress=False)
    messages, _, _ = parser.feed_data(octets)
    return cast(RawRequestMessage, messages[0][0])


async def test_a_request_is_known_by_its_head() -> None:
    heads, head = FamiliarHeads[str](), await head_of(PLAIN)

    assert heads.read(PLAIN) is None
    assert heads.learn(PLAIN, head, "kind")
    known = Familiar(head, "kind", len(PLAIN))
    assert heads.read(PLAIN) == (known, b"body")
    assert heads.read(PLAIN.replace(b"body", b"\r\n\r\n")) == (known, b"\r\n\r\n")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"P",
        PLAIN + PLAIN,
        PLAIN[: -len("body")],
        PLAIN.replace(b"Host: a", b"Host: b"),
        b"\r\n" + PLAIN,
    ],
)
async def test_other_octets_are_not_known(octets: bytes) -> None:
    heads = FamiliarHeads[str]()
    assert heads.learn(PLAIN, await head_of(PLAIN), "kind")

    assert heads.read(octets) is None


@pytest.mark.parametrize(
    "octets",
    [
        PLAIN + b"P",
        PLAIN[:-1],
        b"\r\n" + PLAIN,
        PLAIN.replace(b"1.1", b"1.0"),
        request("Upgrade: h2c", "Connection: Upgrade"),
        request("Content-Encoding: gzip"),
        request("X-Long: " + "x" * MAX_LENGTH),
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_more_or_less_than_a_plain_request_is_not_learned(
    octets: bytes,
) -> None:
    heads = FamiliarHeads[str]()

    assert not heads.learn(octets, await head_of(octets), "kind")
    assert heads.read(octets) is None


@pytest.mark.parametrize(
    "line", ["X-Folded: one\r\n two", "X-Bare: one\ntwo: three", "X-Nul: \0", "X : a"]
)
async def test_nor_is_one_that_others_may_read_in_another_way(line: str) -> None:
    """Whatever aiohttp's parser makes of it."""
    heads = FamiliarHeads[str]()

    assert not heads.learn(request(line), await head_of(PLAIN), "kind")


async def test_no_more_are_remembered_than_there_is_room_for() -> None:
    heads, head = FamiliarHeads[str](), await head_of(PLAIN)
    requests = [request(f"X-Number: {number}") for number in range(MAX_HEADS + 1)]

    for each in requests:
        assert heads.learn(each, head, "kind")

    assert heads.read(requests[-1]) is not None
    assert sum(heads.read(each) is not None for each in requests) <= MAX_HEADS
