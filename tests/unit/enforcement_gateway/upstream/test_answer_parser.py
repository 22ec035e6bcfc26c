"""Answers of an upstream: taken apart, passed on or called rubbish."""

import itertools

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from enforcement_gateway.upstream.answer_parser import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_INTERIM,
    AnswerParser,
    Rubbish,
)

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_2 = OK + b"Content-Length: 2\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def parsed(*pieces: bytes) -> AnswerParser:
    parser = AnswerParser()
    for piece in pieces:
        parser.feed(piece)
    return parser


def body_of(parser: AnswerParser) -> bytes:
    return b"".join(parser.take_body())


class TestPassedOn:
    def test_an_answer_with_a_length(self) -> None:
        answer = parsed(LENGTH_2 + b"X-Custom: \t a  b \r\n\r\n{}")
        assert answer.head is not None
        assert (answer.head.status, answer.head.phrase) == (200, b"OK")
        assert answer.head.fields == [(b"X-Custom", b"a  b")]
        assert answer.head.length == 2
        assert body_of(answer) == b"{}"
        assert answer.complete
        assert answer.keeps_alive

    @pytest.mark.parametrize("value", [b"2", b"\t2 ", b"02"])
    def test_space_around_a_length_means_nothing(self, value: bytes) -> None:
        answer = parsed(OK + b"Content-Length:" + value + b"\r\n\r\n{}")
        assert answer.complete
        assert body_of(answer) == b"{}"

    def test_an_answer_in_chunks(self) -> None:
        answer = parsed(CHUNKED + b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        assert answer.head is not None
        assert answer.head.length is None
        assert body_of(answer) == b"hello"
        assert answer.complete
        assert answer.keeps_alive

    def test_trailers_never_become_header_fields(self) -> None:
        answer = parsed(CHUNKED + b"0\r\nSet-Cookie: a=b\r\n\r\n")
        assert answer.complete
        assert answer.head is not None
        assert answer.head.fields == []

    @pytest.mark.parametrize("version", [b"1.0", b"1.1"])
    def test_one_that_lasts_until_the_end(self, version: bytes) -> None:
        answer = parsed(b"HTTP/" + version + b" 200 OK\r\n\r\nhello")
        assert answer.until_close
        assert not answer.complete
        assert not answer.keeps_alive
        assert body_of(answer) == b"hello"

    @pytest.mark.parametrize("status", [204, 304])
    def test_one_that_has_no_body_whatever_it_says(self, status: int) -> None:
        line = b"HTTP/1.1 %d X\r\n" % status
        answer = parsed(line + b"Content-Length: 5\r\n\r\n")
        assert answer.complete
        assert answer.head is not None
        assert answer.head.length == 0

    def test_interim_answers_are_passed_over(self) -> None:
        hints = b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n"
        answer = parsed(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + LENGTH_2 + b"\r\n{}")
        assert answer.head is not None
        assert (answer.head.status, answer.head.phrase) == (200, b"OK")
        assert answer.head.fields == []
        assert answer.complete

    def test_octets_beyond_ascii(self) -> None:
        answer = parsed(
            b"HTTP/1.1 200 \xc3\xa9\r\nX: \xff\r\nContent-Length: 0\r\n\r\n"
        )
        assert answer.head is not None
        assert answer.head.phrase == b"\xc3\xa9"
        assert answer.head.fields == [(b"X", b"\xff")]

    def test_no_phrase_at_all(self) -> None:
        answer = parsed(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
        assert answer.head is not None
        assert answer.head.phrase == b""

    def test_one_after_the_other(self) -> None:
        parser = parsed(LENGTH_2 + b"\r\nab")
        assert body_of(parser) == b"ab"
        parser.expect_another()
        assert not parser.complete
        assert not parser.has_begun
        parser.feed(b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nc")
        assert parser.head is not None
        assert (parser.head.status, body_of(parser)) == (404, b"c")


class TestNotPassedOn:
    @pytest.mark.parametrize(
        "name",
        [
            b"Connection",
            b"Keep-Alive",
            b"Proxy-Authenticate",
            b"Proxy-Connection",
            b"TE",
            b"Trailer",
            b"UPGRADE",
            b"X-Request-Id",
        ],
    )
    def test_hop_by_hop_and_our_own(self, name: bytes) -> None:
        answer = parsed(LENGTH_2 + name + b": x\r\nX-Kept: y\r\n\r\n{}")
        assert answer.head is not None
        assert answer.head.fields == [(b"X-Kept", b"y")]

    def test_what_connection_names(self) -> None:
        fields = (
            b"X-Hop: 1\r\nConnection: keep-alive, x-HOP\r\nx-hop: 2\r\nX-Kept: 3\r\n"
        )
        answer = parsed(LENGTH_2 + fields + b"\r\n{}")
        assert answer.head is not None
        assert answer.head.fields == [(b"X-Kept", b"3")]
        assert answer.keeps_alive

    def test_a_connection_that_closes_is_not_kept(self) -> None:
        assert not parsed(LENGTH_2 + b"Connection: close\r\n\r\n{}").keeps_alive
        ten = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
        assert not parsed(ten).keeps_alive


RUBBISH = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTML": b"<html></html>",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 20": b"HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n",
    "NUL in the phrase": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n",
    "a control in the phrase": b"HTTP/1.1 200 O\x0bK\r\nContent-Length: 0\r\n\r\n",
    "a control in a value": OK + b"X: a\x01b\r\nContent-Length: 0\r\n\r\n",
    "DEL in a value": OK + b"X: a\x7fb\r\nContent-Length: 0\r\n\r\n",
    "a bare LF": OK + b"X: a\nContent-Length: 0\r\n\r\n",
    "a bare CR": OK + b"X: a\rY: b\r\nContent-Length: 0\r\n\r\n",
    "a folded field": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a folded length": OK + b"Content-Length: 1\r\n 0\r\n\r\n0123456789",
    "a space before the colon": OK + b"X : a\r\nContent-Length: 0\r\n\r\n",
    "a name that is no token": OK + b"X(y: a\r\nContent-Length: 0\r\n\r\n",
    "two lengths": LENGTH_2 + b"Content-Length: 3\r\n\r\n{} ",
    "two equal lengths": LENGTH_2 + b"Content-Length: 2\r\n\r\n{}",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "a length beyond 64 bits": OK + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "a length and chunks": LENGTH_2 + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "two codings": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a broken size": CHUNKED + b"xyz\r\n",
    "a signed size": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "a size in hex with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size beyond 64 bits": CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a chunk that does not end": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "a bare LF behind a size": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "a second answer": LENGTH_2 + b"\r\n{}" + LENGTH_2 + b"\r\n{}",
    "more than its length": LENGTH_2 + b"\r\n{}x",
    "a body where none may be": b"HTTP/1.1 204 X\r\nContent-Length: 2\r\n\r\n{}",
    "more after close": LENGTH_2 + b"Connection: close\r\n\r\n{}x",
    "another protocol": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "101 without a word": b"HTTP/1.1 101 X\r\n\r\n",
    "a storm of 1xx": b"HTTP/1.1 102 X\r\n\r\n" * (MAX_INTERIM + 1),
    "too many fields": OK + b"X: y\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "a head without end": OK + b"X: " + b"y" * MAX_HEAD,
}


@pytest.mark.parametrize("name", RUBBISH)
class TestRubbish:
    def test_it_is_refused(self, name: str) -> None:
        with pytest.raises(Rubbish):
            parsed(RUBBISH[name])

    def test_octet_by_octet_as_well(self, name: str) -> None:
        with pytest.raises(Rubbish):
            parsed(*(bytes([octet]) for octet in RUBBISH[name]))


def test_what_is_cut_short_is_not_complete() -> None:
    for whole in (LENGTH_2 + b"\r\n{}", CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"):
        for end in range(len(whole)):
            parser = parsed(whole[:end])
            assert not parser.complete
            assert not parser.until_close


# --- Whatever comes, what goes on is sound ---

LINES = st.sampled_from(
    [
        b"Content-Length: 2\r\n",
        b"Content-Length: 0 \r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: x-a\r\n",
        b"X-A: b\r\n",
        b"X-B:\tc \r\n",
        b"X-C: \xe9\r\n",
        b"Set-Cookie: a\x00\r\n",
        b" folded\r\n",
        b"bare\n",
        b"\r",
    ]
)
BODIES = st.sampled_from(
    [
        b"",
        b"{}",
        b"2\r\n{}\r\n0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ]
)
ANSWERS = st.builds(
    lambda line, fields, body: line + b"".join(fields) + b"\r\n" + body,
    st.sampled_from(
        [OK] * 6
        + [
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.1 204 \r\n",
            b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 500 E\r\n",
            b"HTTP/1.1 200 \x07\r\n",
            b"HTTP/2.0 200 OK\r\n",
        ]
    ),
    st.lists(LINES, max_size=4),
    BODIES,
)


@given(
    data=st.one_of(ANSWERS, st.binary(max_size=60)), cuts=st.lists(st.integers(0, 200))
)
@example(data=LENGTH_2 + b"X-A: b\r\n\r\n{}", cuts=[1, 17, 40])
def test_it_is_sound_and_the_same_however_it_came(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(bounds)]
    outcomes = []
    for feeds in ([data], pieces):
        try:
            parser = parsed(*feeds)
        except Rubbish:
            outcomes.append(None)
        else:
            outcomes.append((parser.head, parser.complete, body_of(parser)))
    assert outcomes[0] == outcomes[1]
    if outcomes[0] is None or outcomes[0][0] is None:
        event("rubbish or unfinished")
        return
    event("passed on")
    head, complete, body = outcomes[0]
    assert 200 <= head.status <= 999
    for octets in (head.phrase, *(value for _, value in head.fields)):
        assert not set(octets) & {*range(9), *range(10, 32), 127}
    if complete and head.length is not None:
        assert len(body) == head.length
