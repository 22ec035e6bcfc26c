"""Heads: what we accept is what llhttp accepts, and means the same."""

import contextlib

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.domain.denials import Refused
from enforcement_gateway.http import framing
from enforcement_gateway.http.chunks import ChunkedBody
from enforcement_gateway.http.framing import read_head


class Seen:
    """What llhttp makes of bytes, told as we tell it."""

    def __init__(self, data):
        self.fields = []
        self.body = b""
        self.target = b""
        self.complete = False
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(data)
        self.method = parser.get_method()
        self.version = parser.get_http_version()

    def on_url(self, url):
        self.target += url

    def on_header(self, name, value):
        self.fields.append((name.lower(), value))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.complete = True


PIECES = st.sampled_from(
    [
        *(b"POST", b"GET", b"OPTIONS", b" ", b"  ", b"\t", b"/v1/batch", b"/", b"*"),
        *(b"http://h", b"?q=1", b"#f", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"),
        *(b"\r\n", b"\n", b"\r", b"Host", b"host", b":", b": ", b"x", b"x.test:80"),
        *(b"Content-Length", b"5", b"05", b"+5", b"5, 5", b"Transfer-Encoding"),
        *(b"chunked", b"gzip", b",", b"Connection", b"close", b"keep-alive", b"X-A"),
        *(b"\x00", b"\xe9", b"a b", b"Expect", b"100-continue", b"Authorization"),
        *(b"Bearer a.b.c", b"Upgrade", b"h2c", b"upgrade", b"Content-Encoding"),
    ]
)
LINES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection"),
                *(b"Expect", b"X-Any", b"x_any", b"Authorization", b"Content-Type"),
            ]
        ),
        st.sampled_from([b":", b": ", b":\t", b" :"]),
        st.sampled_from(
            [
                *(b"h.test", b"[::1]:8", b"5", b"", b"0", b"chunked", b"Chunked"),
                *(b"close", b"upgrade, x-any", b"100-continue", b"a\x01b", b"\xff"),
            ]
        ),
        st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\n ", b" \r\n"]),
    ).map(b"".join),
    max_size=6,
).map(b"".join)
HEADS = st.lists(PIECES, max_size=14).map(b"".join) | st.tuples(
    st.sampled_from(
        [
            b"POST /v1/batch HTTP/1.1\r\n",
            b"POST /v1/batch?q HTTP/1.0\r\n",
            b"GET http://a.test/x HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
        ]
    ),
    LINES,
).map(lambda parts: b"".join(parts).removesuffix(b"\r\n"))


class TestAgainstLlhttp:
    @given(head=HEADS)
    def test_what_we_accept_it_reads_alike(self, head):
        if b"\r\n\r\n" in head or b"\n\r\n" in head:
            return  # never handed over: the end would have been found earlier
        try:
            read = read_head(head)
        except Refused:
            return
        seen = Seen(head + b"\r\n\r\n")
        assert seen.method == read.method
        assert seen.version == ("1.1" if read.is_http_1_1 else "1.0")
        assert seen.target.endswith(
            read.path if read.query is None else read.path + b"?" + read.query
        )
        names = [name for name, _ in seen.fields]
        assert names.count(b"host") == (1 if read.is_http_1_1 else names.count(b"host"))
        assert read.chunked == (b"transfer-encoding" in names)
        lengths = [value for name, value in seen.fields if name == b"content-length"]
        assert [read.content_length] == [int(value) for value in lengths or [b"0"]]
        for line in read.forwarded:
            name, _, value = line.partition(b":")
            assert (name.lower(), value.strip(b" \t")) in [
                (name, value.strip(b" \t")) for name, value in seen.fields
            ]

    @given(
        data=st.lists(
            st.sampled_from(
                [
                    *(b"5\r\nhello\r\n", b"5", b";a=b", b"\r\n", b"\n", b"hello"),
                    *(b"0\r\n\r\n", b"0", b"a", b"A\r\n0123456789\r\n", b"X: y\r\n"),
                    *(b"0x1", b"+1", b" ", b"00\r\n", b"\r", b"-", b"_", b"\x00"),
                ]
            ),
            max_size=8,
        ).map(b"".join),
        cut=st.integers(0, 40),
    )
    def test_chunks_that_we_accept_make_the_same_body(self, data, cut):
        body = ChunkedBody(1000)
        rest = None
        try:
            rest = body.feed(data[:cut])
            if rest is None and data[cut:]:
                rest = body.feed(data[cut:])
            elif rest is not None:
                rest += data[cut:]
        except Refused:
            return
        if rest is None:
            return
        taken = data[: len(data) - len(rest)]
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        seen = Seen(head + taken)
        assert seen.complete
        assert seen.body == b"".join(body.parts)


class TestKnownLines:
    """A line seen before has a known meaning, and the memory of lines has an end."""

    def test_is_bounded_and_holds_no_credentials(self, monkeypatch):
        monkeypatch.setattr(framing, "_known_lines", {})
        head = b"POST / HTTP/1.1\r\nHost: x\r\n"
        for number in range(10_000):
            read_head(
                head + b"X-%d: y\r\nAuthorization: Bearer s.e.%d" % (number, number)
            )
        known = framing._known_lines
        assert len(known) <= framing._MAX_KNOWN_LINES
        assert not any(b"Bearer" in line for line in known)

    def test_long_lines_are_not_remembered(self, monkeypatch):
        monkeypatch.setattr(framing, "_known_lines", {})
        read_head(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000)
        assert all(len(line) < 300 for line in framing._known_lines)


class TestTime:
    @pytest.mark.parametrize(
        "head",
        [
            b"POST / HTTP/1.1\r\nHost: x\r\nX:" + b" " * 30_000 + b"\x01",
            b"POST / HTTP/1.1\r\nHost: x\r\nX:" + b"a " * 15_000 + b"\x01",
            b"POST / HTTP/1.1\r\nHost: " + b"a" * 30_000 + b"\x01",
            b"POST / HTTP/1.1\r\nHost: " + b"%41" * 9000 + b"@",
            b"POST " + b"/" * 8000 + b"\xff HTTP/1.1\r\nHost: x",
        ],
    )
    def test_no_pattern_runs_away(self, head):
        """Quadratic matching of such a head would take the minute of the timeout."""
        for _ in range(100):
            with pytest.raises(Refused):
                read_head(head)
