"""Our reader and llhttp never read one head in two ways.

llhttp is the parser behind Node.js and half of what a gateway may stand in front of.
Whatever our reader accepts, without having asked it, llhttp must accept as well, and
take for the same request with the same end. The reverse does not hold: what llhttp
leaves to its users is refused here (DESIGN 12).
"""

from unittest.mock import patch

import httptools
import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st

from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http import framing
from enforcement_gateway.http.framing import Head, read_head

BODY = b"01234567"
CHUNKS = b"4\r\n0123\r\n4;x\r\n4567\r\n0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


class Llhttp:
    """What llhttp makes of a request, fed an octet at a time after its head."""

    def __init__(self, head: bytes, after: bytes) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended_after: int | None = None
        """Octets behind the head that still belonged to the request."""
        self.switches = False
        self._fed = 0
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(head + b"\r\n\r\n")
            for octet in after:
                if self.ended_after is not None:
                    break
                self._fed += 1
                self._parser.feed_data(bytes([octet]))
        except httptools.HttpParserUpgrade:
            self.switches = True
        self.method = self._parser.get_method()
        self.version = self._parser.get_http_version()
        self.keeps_alive = self._parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.ended_after = self._fed

    def values(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other.lower() == name]


def read_alone(head: bytes) -> Head | None:
    """Our reading, with nobody asked for a second opinion."""
    with patch.object(framing, "_ask_llhttp", lambda _: None):
        try:
            return read_head(head)
        except Refused:
            return None


def assert_both_read_the_same(head: bytes, ours: Head) -> None:
    after = CHUNKS if ours.chunked else BODY[: ours.content_length]
    theirs = Llhttp(head, after + NEXT)
    request_line, *lines = head.split(b"\r\n")
    assert theirs.method == ours.method
    assert request_line == b"%b %b HTTP/%b" % (
        theirs.method,
        theirs.url,
        theirs.version.encode(),
    )
    assert (theirs.version == "1.1") is ours.is_http_1_1
    assert theirs.fields == [
        (name, value.strip(b" \t"))
        for name, _, value in (line.partition(b":") for line in lines)
    ]
    assert set(ours.forwarded) <= set(lines)
    authorization = ours.authorization
    assert theirs.values(b"authorization") == (
        [] if authorization is None else [authorization.value]
    )
    assert not (ours.keep_alive and not theirs.keeps_alive)
    if theirs.switches:
        return  # llhttp stops here; we stay with the protocol that we speak
    if ours.content_length <= len(BODY):
        assert theirs.ended_after == len(after)
        if ours.has_body:
            assert theirs.body == BODY[: len(theirs.body)]


# --- Heads: mostly sound, with something odd in them now and then ---

METHODS = st.sampled_from(
    [*sorted(framing.KNOWN_METHODS - {b"CONNECT"}), b"get", b"PRI", b"SOURCE", b"M-A"]
)
TARGETS = st.one_of(
    st.sampled_from(
        [
            b"/",
            b"/v1/batch",
            b"/?b=c2",
            b"*",
            b"//token",
            b"http://other/v1/b?x=y",
            b"https://[::1]:1",
            b"http:///",
            b"other:443",
            b"/a#b",
            b"/\\{}|^`\"<>%zz'",
        ]
    ),
    st.binary(min_size=1, max_size=12).map(lambda octets: b"/" + octets),
)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 8
    + [b"HTTP/1.0"] * 2
    + [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b"HTTP/01.1"]
)
GAPS = st.sampled_from([b" "] * 12 + [b"  ", b"\t", b""])
NAMES = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"content-length",
        b"Transfer-Encoding",
        b"TRANSFER-ENCODING",
        b"Connection",
        b"Upgrade",
        b"Expect",
        b"Authorization",
        b"Content-Type",
        b"Content_Length",
        b"Transfer_Encoding",
        b"X-Custom",
        b"TE",
        b"Trailer",
        b"Proxy-Connection",
        b"Keep-Alive",
        b"X!#$%&'*+-.^_`|~0",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"host",
            b"0",
            b"3",
            b"8",
            b"08",
            b"+8",
            b"8, 8",
            b"0x8",
            b"18446744073709551617",
            b"chunked",
            b"Chunked",
            b"chunked, chunked",
            b"gzip, chunked",
            b"chunked, gzip",
            b"identity",
            b",chunked",
            b"chunked,",
            b"close",
            b"keep-alive",
            b"upgrade",
            b"close, upgrade",
            b"h2c",
            b"websocket",
            b"100-continue",
            b"Bearer t",
            b"",
            b"a\tb",
            b"\xff\x80",
        ]
    ),
    st.binary(max_size=8),
)
COLONS = st.sampled_from([b": "] * 10 + [b":", b":\t ", b" :", b" ", b"\t:", b":\r\n "])
ENDS = st.sampled_from([b""] * 12 + [b" ", b"\t", b"\r", b"\n", b" \r"])
BREAKS = st.sampled_from([b"\r\n"] * 16 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n"])


@st.composite
def fields(draw: st.DrawFn) -> bytes:
    return draw(NAMES) + draw(COLONS) + draw(VALUES) + draw(ENDS)


SOUND_FIELDS = st.sampled_from(
    [
        b"Host: host",
        b"Content-Length: 8",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: x-custom",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        b"Authorization: Bearer t",
        b"X-Custom: \t value ",
        b"X-Custom:\xc3\xa9",
        b"X_Custom:",
    ]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    line = (
        draw(METHODS) + draw(GAPS) + draw(TARGETS) + draw(GAPS) + draw(VERSIONS)
        if draw(st.booleans())
        else draw(st.sampled_from([b"POST /v1/b HTTP/1.1", b"GET /?b=c2 HTTP/1.0"]))
    )
    sound = draw(st.lists(SOUND_FIELDS, max_size=5, unique_by=lambda f: f[:9]))
    odd = draw(st.lists(fields(), max_size=2))
    lines = [line, *draw(st.permutations([*sound, *odd]))]
    if draw(st.booleans()):
        lines.insert(1, b"Host: host")
    if draw(st.booleans()):
        return b"\r\n".join(lines)
    head = lines[0]
    for each in lines[1:]:
        head += draw(BREAKS) + each
    return head


@st.composite
def damaged_heads(draw: st.DrawFn) -> bytes:
    """A sound head in which one octet is another, one more, or gone."""
    head = b"\r\n".join(
        [
            draw(
                st.sampled_from([b"POST /v1/b?x HTTP/1.1", b"GET http://a/ HTTP/1.1"])
            ),
            b"Host: host",
            *draw(
                st.lists(SOUND_FIELDS.filter(lambda f: f[:4] != b"Host"), max_size=3)
            ),
        ]
    )
    at = draw(st.integers(0, len(head)))
    kept = at + draw(st.sampled_from([0, 1]))
    octet = draw(st.one_of(st.just(b""), st.binary(min_size=1, max_size=2)))
    return head[:at] + octet + head[kept:]


@given(st.one_of(heads(), damaged_heads()))
@example(b"POST / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\nConnection: close")
@example(b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked")
def test_what_we_accept_llhttp_reads_in_the_same_way(head: bytes) -> None:
    assume(b"\r\n\r\n" not in head)  # that would have been the end
    ours = read_alone(head)
    event("refused" if ours is None else "accepted")
    if ours is not None:
        assert_both_read_the_same(head, ours)


def sound_heads() -> st.SearchStrategy[bytes]:
    """Heads with nothing wrong: the property above must not hold for want of them."""
    plain = st.lists(
        st.sampled_from(
            [b"Connection: close", b"X-A: b", b"Authorization: Bearer t", b"X-C:\t\xe9"]
        ),
        unique=True,
    )
    lengths = st.sampled_from(
        [(), (b"Content-Length: 8",), (b"Transfer-Encoding: chunked",)]
    )
    return st.builds(
        lambda method, target, some, length: b"\r\n".join(
            [b"%b %b HTTP/1.1" % (method, target), b"Host: host", *some, *length]
        ),
        st.sampled_from(sorted(framing.KNOWN_METHODS - {b"CONNECT"})),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
        .filter(lambda text: "#" not in text)
        .map(lambda text: b"/" + text.encode()),
        plain,
        lengths,
    )


@given(sound_heads())
def test_both_accept_what_is_sound(head: bytes) -> None:
    ours = read_head(head)
    assert_both_read_the_same(head, ours)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GET / HTTP/1.1", Reason.HOST_INVALID),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", Reason.HOST_INVALID),
        (b"GET / HTTP/1.1\r\nHost: a@b", Reason.HOST_INVALID),
        (b"GET / HTTP/2.0\r\nHost: a", Reason.VERSION_UNSUPPORTED),
        (b"GET / HTTP/0.9\r\nHost: a", Reason.VERSION_UNSUPPORTED),
        (b"GET  / HTTP/1.1\r\nHost: a", Reason.HEAD_MALFORMED),
        (b"GET * HTTP/1.1\r\nHost: a", Reason.HEAD_MALFORMED),
        (b"GET /#a HTTP/1.1\r\nHost: a", Reason.HEAD_MALFORMED),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked",
            Reason.TRANSFER_CODING_INVALID,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: a",
            Reason.CREDENTIALS_AMBIGUOUS,
        ),
    ],
)
def test_llhttp_leaves_this_to_its_users(head: bytes, reason: Reason) -> None:
    """If llhttp comes to refuse one of these, the list in ADR 15 is out of date."""
    theirs = Llhttp(head, b"")
    assert theirs.method == b"GET"
    with pytest.raises(Refused) as refused:
        read_head(head)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nb",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : a",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1",
    ],
)
def test_llhttp_has_a_say_of_its_own(head: bytes) -> None:
    """Should our reader ever overlook something, there is another."""
    with pytest.raises(Refused) as refused:
        framing._ask_llhttp(head)
    assert refused.value.reason is Reason.HEAD_MALFORMED


def test_what_llhttp_refuses_is_refused() -> None:
    sound = b"GET / HTTP/1.1\r\nHost: a"
    read_head(sound)
    with (
        patch.object(framing, "_ask_llhttp", side_effect=Refused(Reason.NOT_FOUND)),
        pytest.raises(Refused),
    ):
        read_head(sound)
