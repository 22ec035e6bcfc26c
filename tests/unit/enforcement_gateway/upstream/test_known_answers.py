"""An answer that is recognised is the one that the parser would have read."""

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from enforcement_gateway.http.responses import dates
from enforcement_gateway.turns import turn
from enforcement_gateway.upstream.answer_parser import AnswerParser, Rubbish
from enforcement_gateway.upstream.answers import MAX_REST, AnswerHead, KnownHead
from enforcement_gateway.upstream.known_answers import MAX_KNOWN, KnownAnswers

DATE = b"Date: Tue, 24 Nov 2026 10:00:00 GMT"


def answer(*fields: bytes, body: bytes = b"{}", line: bytes = b"200 OK") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + line, *fields, b"", body))


def taught(*answers: bytes) -> KnownAnswers:
    """As a connection teaches: only what came whole, and left it open."""
    known = KnownAnswers()
    for data in answers:
        parser = AnswerParser()
        try:
            parser.feed(data)
        except Rubbish:
            continue
        if parser.head is not None and parser.complete and parser.keeps_alive:
            known.learn(data, parser.head)
    return known


class TestRecognises:
    def test_the_same_head_around_another_body(self) -> None:
        known = taught(answer(DATE, b"Content-Length: 2"))
        for body in (b"[]", b"{}", b"[]"):
            head = known.recognise(answer(DATE, b"Content-Length: 2", body=body))
            assert head is not None
            assert (head.status, head.length) == (200, 2)
            assert known.body == body

    def test_its_rendering_is_that_of_its_head(self) -> None:
        data = answer(DATE, b"X-Custom: \t a ", b"Content-Length: 2")
        known = taught(data)
        head = known.recognise(data)
        assert head is not None
        assert head.start == head.head.start()
        assert b"\r\nX-Custom: a\r\n" in head.start

    def test_it_knows_whether_there_is_a_date(self) -> None:
        dated, undated = (
            answer(DATE, b"Content-Length: 2"),
            answer(b"Content-Length: 2"),
        )
        known = taught(dated, undated)
        heads = known.recognise(dated), known.recognise(undated)
        assert [head is not None and head.is_dated for head in heads] == [True, False]

    def test_each_of_two_that_come_in_turns(self) -> None:
        one, other = (answer(b"X: %d" % n, b"Content-Length: 2") for n in range(2))
        known = taught(one, other)
        for data in (one, one, other, one, one, other, other, one):
            head = known.recognise(data)
            assert head is not None
            assert data.startswith(head.octets)

    def test_forgets_all_of_too_many(self) -> None:
        many = [answer(b"X: %d" % n, b"Content-Length: 2") for n in range(MAX_KNOWN)]
        known = taught(*many)
        assert known.recognise(many[0])
        known = taught(*many, answer(b"X: another", b"Content-Length: 2"))
        assert not known.recognise(many[0])
        assert known.recognise(answer(b"X: another", b"Content-Length: 2"))


class TestLeavesToTheParser:
    def test_an_answer_that_is_not_all_there(self) -> None:
        data = answer(DATE, b"Content-Length: 2")
        known = taught(data)
        assert not known.recognise(data[:-1])
        assert not known.recognise(data + b"H")

    def test_what_came_behind_the_one_that_was_recognised_last(self) -> None:
        data = answer(DATE, b"Content-Length: 2")
        known = taught(data)
        assert known.recognise(data)
        assert not known.recognise(data[:-1])
        assert not known.recognise(data + data)
        assert known.recognise(data)

    def test_one_that_ends_its_connection(self) -> None:
        data = answer(b"Connection: close", b"Content-Length: 2")
        assert not taught(data).recognise(data)

    def test_one_in_chunks(self) -> None:
        data = answer(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")
        assert not taught(data).recognise(data)

    def test_an_interim_answer_before_it(self) -> None:
        data = b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"Content-Length: 2")
        assert not taught(data).recognise(data)


FIELDS = st.lists(
    st.sampled_from(
        [
            DATE,
            b"Content-Length: 2",
            b"Content-Length: 0",
            b"content-length:\t02 ",
            b"Transfer-Encoding: chunked",
            b"Connection: keep-alive",
            b"Connection: x-custom",
            b"Connection: close",
            b"X-Custom: a",
            b"X-Request-Id: theirs",
        ]
    ),
    max_size=4,
)
LINES = st.sampled_from(
    [
        b"200 OK",
        b"200 OK",
        b"204 No Content",
        b"304 Not Modified",
        b"503 ",
        b"100 Continue",
    ]
)
BODIES = st.sampled_from([b"{}", b"{}", b"", b"0\r\n\r\n", b"\r\n\r\n", answer()])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    data = answer(*draw(FIELDS), body=draw(BODIES), line=draw(LINES))
    if draw(st.sampled_from([False, False, True])):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + 1 :]
    return data


@given(st.lists(answers(), min_size=1, max_size=4), answers(), st.integers(0, 3))
def test_what_is_recognised_is_what_the_parser_reads(before, last, which) -> None:
    known = taught(*before)
    for each in before:
        known.recognise(each)
    data = last if which == 0 else before[which % len(before)]
    found = known.recognise(data)
    if found is None:
        event("not recognised")
        return
    event("recognised")
    parser = AnswerParser()
    parser.feed(data)
    assert parser.complete
    assert parser.keeps_alive
    assert parser.head is not None
    body = b"".join(parser.take_body())
    assert data.endswith(body)
    assert known.body == body
    assert len(body) == found.length
    for name in ("status", "phrase", "fields", "length", "is_dated"):
        assert getattr(found.head, name) == getattr(parser.head, name)
    assert (found.status, found.is_dated) == (found.head.status, found.head.is_dated)


class TestWhole:
    """What our client gets: what is kept for the next one is told from what is not."""

    BODIES = (b"{}", b"[]", b"", b" " * MAX_REST)

    @pytest.mark.parametrize("is_dated", [False, True])
    @given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.booleans())))
    def test_it_is_written_as_if_nothing_were(self, is_dated, steps) -> None:
        known = {
            len(body): KnownHead(
                AnswerHead(
                    status=200,
                    phrase=b"OK",
                    fields=[(b"Date", b"then")] if is_dated else [],
                    length=len(body),
                    is_dated=is_dated,
                ),
                b"octets",
                len(body),
            )
            for body in self.BODIES
        }
        turn.begin()
        turn.end()
        now = 1_000_000.5
        with pytest.MonkeyPatch.context() as patched:
            for number, (in_another_turn, which, is_copy) in enumerate(steps):
                if in_another_turn:
                    now += 1
                    turn.begin()
                    turn.end()
                patched.setattr("time.time", lambda now=now: now)
                body = self.BODIES[which]
                head = known[len(body)]
                date = b"" if is_dated else dates.line()
                if is_copy:
                    body = bytes(bytearray(body))
                said = head.whole(b"%d" % number, body)
                assert said == head.start + b"%d\r\n%b\r\n%b" % (number, date, body)
