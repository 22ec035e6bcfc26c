"""The chunked coding: its grammar and limits, wherever the reads happen to end."""

import contextlib
import re
from itertools import pairwise

import httptools
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http.chunks import (
    MAX_CHUNK_LINE,
    MAX_TRAILERS,
    ChunkedBody,
)

LIMIT = 1000


def taken(*pieces: bytes, limit: int = LIMIT) -> tuple[bytes, bytes] | None:
    """The body and what comes after it, or None if more must come."""
    body = ChunkedBody(limit)
    for number, piece in enumerate(pieces):
        rest = body.feed(piece)
        if rest is not None:
            return b"".join(body.parts), rest + b"".join(pieces[number + 1 :])
    return None


def refusal_of(*pieces: bytes, limit: int = LIMIT) -> Reason:
    with pytest.raises(Refused) as refused:
        taken(*pieces, limit=limit)
    return refused.value.reason


class TestGrammar:
    @pytest.mark.parametrize(
        ("data", "body"),
        [
            (b"0\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
            (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
            (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        ],
    )
    def test_chunks_make_a_body(self, data: bytes, body: bytes) -> None:
        assert taken(data) == (body, b"")
        assert taken(data + b"POST") == (body, b"POST")

    @pytest.mark.parametrize(
        "extension", [b"a", b"a=b", b'a="b;\\"\xff"', b"a;b;c", b'a="";b', b"-=~"]
    )
    def test_extensions_are_ignored(self, extension: bytes) -> None:
        data = b"5;%b\r\nhello\r\n0;%b\r\n\r\n" % (extension, extension)
        assert taken(data) == (b"hello", b"")

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"+5",
            b"-5",
            b"0x5",
            b"5_0",
            b" 5",
            b"5 ",
            b"5\t",
            b"5 ;a",
            b"g",
            b"5h",
            b"\xd9\xa5",
            b"\xb2",
            b";a",
            b"5;",
            b"5;;a",
            b"5; a",
            b"5;a=",
            b'5;a="',
            b'5;a="b"c',
            b"5;a=b=c",
            b"5;\xff",
            b'5;a="\n"',
            b"5;a\nb",
            b"5;a\rb",
            b"5;a\x00b",
            b"5;a\x7f",
            b"5\n",
            b"5\r",
            b"5,5",
            b"1" + b"0" * 15,
            b"ffffffffffffffffffff",
            b"5;" + b"a" * MAX_CHUNK_LINE,
        ],
    )
    def test_any_other_size_is_malformed(self, line: bytes) -> None:
        assert refusal_of(line + b"\r\nhello\r\n0\r\n\r\n") is Reason.CHUNK_MALFORMED
        data = b"1\r\nx\r\n" + line + b"\r\nhello\r\n0\r\n\r\n"
        assert refusal_of(data) is Reason.CHUNK_MALFORMED

    @pytest.mark.parametrize(
        "data",
        [
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r\r\n0\r\n\r\n",
            b"4\r\nhello\r\n0\r\n\r\n",
        ],
    )
    def test_a_chunk_ends_where_it_says(self, data: bytes) -> None:
        assert refusal_of(data) is Reason.CHUNK_MALFORMED

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"5",
            b"5\r",
            b"5\r\nhell",
            b"5\r\nhello",
            b"5\r\nhello\r",
            b"5\r\nhello\r\n",
            b"5\r\nhello\r\n0\r\n",
            b"5\r\nhello\r\n0\r\n\r",
            b"0\r\nX: y\r\n",
        ],
    )
    def test_what_is_cut_short_is_not_complete(self, data: bytes) -> None:
        assert taken(data) is None


class TestTrailers:
    def test_they_are_read_and_dropped(self) -> None:
        body = ChunkedBody(LIMIT)
        trailers = b"Authorization: Bearer t\r\nX:\r\n\r\n"
        assert body.feed(b"1\r\nx\r\n0\r\n" + trailers + b"rest") == b"rest"
        assert body.parts == [b"x"]

    @pytest.mark.parametrize(
        "line",
        [
            b"no colon",
            b" folded: x",
            b"X : y",
            b": y",
            b"X: a\nb",
            b"X: a\x00",
            b"X\xe9: a",
        ],
    )
    def test_their_grammar_is_that_of_fields(self, line: bytes) -> None:
        data = b"0\r\n" + line + b"\r\n\r\n"
        assert refusal_of(data) is Reason.CHUNK_MALFORMED

    def test_there_is_an_end_to_them(self) -> None:
        line = b"X: " + b"y" * 97 + b"\r\n"
        many = line * (MAX_TRAILERS // 100)
        assert taken(b"0\r\n" + many + b"\r\n") == (b"", b"")
        assert refusal_of(b"0\r\n" + many + line) is Reason.CHUNK_MALFORMED


class TestLimits:
    def test_the_body_is_refused_before_the_chunk_that_is_too_much(self) -> None:
        assert taken(b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n") is not None
        assert refusal_of(b"3e9\r\n") is Reason.BODY_TOO_LARGE
        full = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        assert refusal_of(full, b"1\r\n") is Reason.BODY_TOO_LARGE
        assert refusal_of(b"fffffffffffffff\r\n") is Reason.BODY_TOO_LARGE

    def test_chunks_may_not_cost_more_than_they_carry(self) -> None:
        extended = b"1;" + b"e" * 200 + b"\r\nx\r\n"
        assert refusal_of(extended * 100, limit=1000) is Reason.BODY_TOO_LARGE
        assert refusal_of(b"1\r\nx\r\n" * 1000) is Reason.BODY_TOO_LARGE

    def test_a_line_without_end_is_refused_at_once(self) -> None:
        size = b"5;" + b"a" * MAX_CHUNK_LINE
        assert refusal_of(size) is Reason.CHUNK_MALFORMED
        trailer = b"0\r\nX:" + b"a" * MAX_TRAILERS
        assert refusal_of(trailer) is Reason.CHUNK_MALFORMED


# --- Every cut, and an oracle that has never heard of cuts ---

PIECES = st.sampled_from(
    [
        b"5\r\nhello\r\n",
        b"1\r\n\r\r\n",
        b"1\r\n\n\r\n",
        b"0A;a=b\r\n0123456789\r\n",
        b"0\r\n\r\n",
        b"0\r\n",
        b"00;last\r\n",
        b"X: y\r\n",
        b"X : y\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"5",
        b";",
        b"0x",
        b"+",
        b"_",
        b" ",
        b"hello",
        b"\x00",
        b"\xff",
        b"1;" + b"e" * (MAX_CHUNK_LINE - 2) + b"\r\nx\r\n",
        b"1;" + b"e" * (MAX_CHUNK_LINE - 1) + b"\r\nx\r\n",
        b"0\r\nX:" + b"e" * (MAX_TRAILERS - 2) + b"\r\n\r\n",
    ]
)
DATA = st.lists(PIECES, max_size=6).map(b"".join)
CUTS = st.lists(st.integers(0, 600), max_size=6).map(sorted)

ORACLE_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(?:;[a-z]+(?:=[a-z]+)?)*\r\n")
ORACLE_TRAILER = re.compile(rb"[!#-'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n")


def by_the_rfc(data: bytes) -> tuple[bytes, bytes] | None:
    """RFC 9112 §7.1 read off the page; None for what is broken or cut short."""
    body = b""
    at = 0
    while True:
        line = ORACLE_CHUNK.match(data, at)
        if line is None or len(line[0]) > MAX_CHUNK_LINE + 2:
            return None
        at = line.end()
        size = int(line[1], 16)
        if size == 0:
            break
        if data[at + size : at + size + 2] != b"\r\n":
            return None
        body += data[at : at + size]
        at += size + 2
    trailers = 0
    while (trailer := ORACLE_TRAILER.match(data, at)) is not None:
        at = trailer.end()
        trailers += len(trailer[0]) - 2
    if trailers > MAX_TRAILERS:
        return None
    return (body, data[at + 2 :]) if data[at : at + 2] == b"\r\n" else None


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


def outcome(pieces: list[bytes], limit: int = 10_000) -> object:
    try:
        return taken(*pieces, limit=limit)
    except Refused as refused:
        return refused.reason


@given(data=DATA, cuts=CUTS)
@example(data=b"5\r\nhello\r\n0\r\n\r\n", cuts=[1, 2, 3, 8, 9])
@example(data=b"1;" + b"e" * (MAX_CHUNK_LINE - 2) + b"\r\nx\r\n", cuts=[257])
@example(data=b"0\r\nX:" + b"e" * (MAX_TRAILERS - 2) + b"\r\n\r\n", cuts=[8196])
def test_it_does_not_matter_where_reads_end(data: bytes, cuts: list[int]) -> None:
    in_octets = [data[at : at + 1] for at in range(len(data))]
    assert outcome(cut(data, cuts)) == outcome(in_octets) == outcome([data])


@given(data=DATA)
def test_it_is_what_the_rfc_says(data: bytes) -> None:
    ours = outcome([data])
    expected = by_the_rfc(data)
    event("complete" if expected else "broken or cut short")
    assert (ours if isinstance(ours, tuple) else None) == expected


class Llhttp:
    def __init__(self, data: bytes) -> None:
        self.body = b""
        self.complete = False
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        with contextlib.suppress(httptools.HttpParserUpgrade):
            httptools.HttpRequestParser(self).feed_data(head + data)

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.complete = True


@given(data=DATA)
@example(data=b'5;a="\xff;\\"\t"\r\nhello\r\n0\r\nX: y\r\n\r\n')
def test_what_we_accept_llhttp_reads_in_the_same_way(data: bytes) -> None:
    ours = outcome([data])
    if not isinstance(ours, tuple):
        return
    body, rest = ours
    theirs = Llhttp(data[: len(data) - len(rest)])
    assert theirs.complete
    assert theirs.body == body
