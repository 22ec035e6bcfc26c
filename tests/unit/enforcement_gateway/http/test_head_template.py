"""A head that fits the last one's template means what the strict reader makes of it."""

from types import SimpleNamespace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from enforcement_gateway.counters import Counters
from enforcement_gateway.domain.denials import Refused
from enforcement_gateway.http.framing import MAX_HEAD, read_head
from enforcement_gateway.http.head_template import (
    MAX_SHARED,
    MAX_SHARED_HEAD,
    HeadTemplate,
    Templates,
    template_of,
)
from enforcement_gateway.http.plans import Plan, outlined, plan_of
from enforcement_gateway.http.routes import Door
from enforcement_gateway.http.server import Behind
from enforcement_gateway.known_tokens import KnownTokens
from enforcement_gateway.upstream.forwarding import Peer, UpstreamAuthorization
from enforcement_gateway.upstream.pool import Origin, Pool
from tollgate.testing.tokens import verified_access_token

BEHIND = Behind(
    pool=Pool(
        Origin.of("http://upstream.test:81/up"),
        Counters(),
        max_connections=1,
        connect_timeout=1.0,
        answer_timeout=1.0,
    ),
    authorization=UpstreamAuthorization.NONE,
)
SERVER = SimpleNamespace(behind={Door.TRACKING: BEHIND}, admin_prefix=None)
PEERS = [
    Peer(address=b"192.0.2.7", is_tls=False, trusted=False),
    Peer(address=b"192.0.2.8", is_tls=True, trusted=True),
]
TOKEN = b"eyJa.bbbb.cccc"


def known_tokens(*tokens: bytes) -> KnownTokens:
    known = KnownTokens(len(tokens))
    for number, token in enumerate(tokens):
        known.add(token, verified_access_token(jti=f"jti-{number}"))
    return known


NONE = known_tokens()
LONG = b"eyJa.%b.cccccccccccccccccccccccc" % (b"b" * 300)
ALIKE = b"eyJa.bbbb.dddd"
SOUND = [TOKEN, TOKEN + b"c", ALIKE, LONG]
VERIFIED = known_tokens(*SOUND)
UNVERIFIED = [
    TOKEN[:-1],
    TOKEN[:-1] + b"d",
    TOKEN + b"cc",
    # As long, or ending as those that are sound.
    LONG.replace(b"bc", b"cb", 1),
    LONG.replace(b"b", b"d", 1),
    LONG.replace(b"b", b"", 1),
    b"x" + LONG,
    LONG[-15:],
    LONG[:-1] + b"d",
    b"x" + TOKEN,
]


def written(fields: list[bytes], line: bytes = b"POST /v1/batch HTTP/1.1") -> bytes:
    return b"\r\n".join((line, b"Host: gateway.test", *fields, b"", b""))


def planned(head: bytes) -> Plan:
    return plan_of(read_head(head[:-4]), SERVER)


def template(*heads: bytes, peer: Peer = PEERS[0]) -> HeadTemplate | None:
    """What is known after these heads, one after the other."""
    known = None
    for head in heads:
        known = template_of(head, planned(head), peer, known)
    return known


BEARER = b"Authorization: Bearer " + TOKEN
LENGTH = b"Content-Length: 12"
SDK = [
    b"User-Agent: analytics-python/2.3.4",
    b"Accept-Encoding: gzip, deflate",
    b"Accept: */*",
    b"Connection: keep-alive",
    b"Content-Type: application/json",
]

# --- What fits ---


class TestFits:
    @pytest.mark.parametrize(
        "fields",
        [
            [*SDK, BEARER, LENGTH],
            [LENGTH, *SDK, BEARER],
            [BEARER, LENGTH],
            [b"content-LENGTH:12", b"authorization:bearer   " + TOKEN],
        ],
    )
    @pytest.mark.parametrize("token", [b"x", b"-._~+/==", b"y" * 4000])
    @pytest.mark.parametrize("digits", [b"7", b"12", b"1234567890"])
    def test_another_token_and_another_length(self, fields, token, digits) -> None:
        head = written(fields)
        known = template(head)
        assert known is not None
        other = head.replace(TOKEN, token).replace(b"12\r\n", digits + b"\r\n")
        assert known.fit(other + b"body", NONE) == len(other)
        assert (known.token, known.length) == (token, int(digits))

    @given(st.lists(st.sampled_from(SOUND + UNVERIFIED), min_size=1))
    def test_what_a_token_was_verified_to_be_is_never_that_of_another(
        self, tokens: list[bytes]
    ) -> None:
        head = written([*SDK, BEARER, LENGTH])
        known = template(head)
        assert known is not None
        assert known.known is None
        for token in tokens:
            other = head.replace(TOKEN, token)
            assert known.fit(other, VERIFIED) == len(other)
            assert known.token == token
            assert known.known is (VERIFIED.get(token) if token in SOUND else None)
            assert known.known is None or known.known.text == token

    @pytest.mark.parametrize(
        "fields",
        [[BEARER, LENGTH], [LENGTH, BEARER], [b"Traceparent: 1", BEARER, LENGTH]],
    )
    def test_a_token_may_come_to_be_verified(self, fields) -> None:
        """And one that comes again is known then, as any other."""
        head = written(fields)
        known = template(head, head.replace(b"parent: 1", b"parent: 2"))
        assert known is not None
        sound = KnownTokens(1)
        for found in (None, None, verified_access_token()):
            if found is not None:
                sound.add(TOKEN, found)
            assert known.fit(head, sound) == len(head)
            assert (known.known and known.known.verified) is found

    def test_one_that_comes_behind_a_verified_one_may_come_to_be_verified(self) -> None:
        head = written([*SDK, BEARER, LENGTH])
        other = head.replace(TOKEN, ALIKE)
        known = template(head)
        assert known is not None
        sound = KnownTokens(2)
        sound.add(TOKEN, verified_access_token())
        for said in (head, head, other, other):
            assert known.fit(said, sound) == len(head)
        assert known.known is None
        sound.add(ALIKE, verified_access_token(jti="another"))
        assert known.fit(other, sound) == len(head)
        assert known.known is not None
        assert known.known.verified.jti == "another"

    @pytest.mark.parametrize("digits", [b"0", b"07", b"0012", b"", b"1x", b"9" * 19])
    def test_what_is_no_plain_length_is_for_the_strict_reader(self, digits) -> None:
        head = written([*SDK, BEARER, LENGTH])
        known = template(head)
        assert known is not None
        assert known.fit(head, NONE) == len(head)
        other = head.replace(b"12\r\n", digits + b"\r\n")
        assert known.fit(other, NONE) == 0

    def test_a_head_that_ends_with_its_length_has_no_token_behind_it(self) -> None:
        head = written([LENGTH, BEARER])
        known = template(head)
        assert known is not None
        assert known.fit(head, NONE) == len(head)
        assert known.fit(written([LENGTH]), NONE) == 0

    def test_without_a_bearer_only_the_length_is_open(self) -> None:
        basic = b"Authorization: Basic d3JpdGVrZXk6"
        head = written([basic, LENGTH])
        known = template(head)
        assert known is not None
        other = head.replace(b"12\r\n", b"7\r\n")
        for _ in range(3):
            assert known.fit(other, NONE) == len(other)
            assert (known.token, known.length) == (None, 7)
        assert known.plan.authorization.write_key == "writekey"
        assert known.fit(head.replace(b"d3Jp", b"d3Jq"), NONE) == 0

    def test_a_head_that_has_grown_too_large_does_not(self) -> None:
        head = written([BEARER, LENGTH])
        known = template(head)
        assert known is not None
        room = MAX_HEAD - len(head) + len(TOKEN)
        assert known.fit(head.replace(TOKEN, b"t" * room), NONE) == MAX_HEAD
        assert known.fit(head.replace(TOKEN, b"t" * (room + 1)), NONE) == 0

    @pytest.mark.parametrize(
        "fill",
        [b"", b"a b", b"a,b", b"a\x00", b"=", b"=a", b"a\r", b"a\nX: y", b"a\xe9"],
    )
    def test_what_is_no_token_does_not(self, fill) -> None:
        head = written([BEARER, LENGTH])
        known = template(head)
        assert known is not None
        assert known.fit(head.replace(TOKEN, fill), NONE) == 0

    @pytest.mark.parametrize(
        "fill",
        [b"", b"-1", b"+1", b"1 ", b" 1", b"0x1", b"1_0", b"1,1", b"9" * 19, b"\xb2"],
    )
    def test_what_is_no_length_does_not(self, fill) -> None:
        head = written([BEARER, LENGTH])
        known = template(head)
        assert known is not None
        assert known.fit(head.replace(b" 12\r\n", b" " + fill + b"\r\n"), NONE) == 0


def told_by(known: HeadTemplate, data: bytes) -> tuple[object, ...]:
    """All that a template says of a head that was held against it."""
    if not (at := known.fit(data, VERIFIED)):
        return (0,)
    return at, known.token, known.known, known.digits, known.length, known.values


class TestHeadsInARow:
    """What a template says of a head does not hang on those held against it before."""

    FIRST = written([*SDK, BEARER, LENGTH])
    ROOM = b"t" * (MAX_HEAD - len(FIRST) + len(TOKEN))

    @pytest.mark.parametrize(
        ("between", "then"),
        [
            # Its token is read, and then it does not fit.
            (FIRST.replace(TOKEN, b"x").replace(b" 12\r\n", b" 1x\r\n"), FIRST),
            (FIRST.replace(TOKEN, b"x").replace(LENGTH, b"X: 1"), FIRST),
            # Its length is, and then it does not fit.
            (FIRST[:-2].replace(b" 12", b" 7") + b"X: 1\r\n\r\n", FIRST),
            (FIRST.replace(b" 12\r\n", b" 7\r\n")[:-1], FIRST),
            # Another length after the same token, and the same after another.
            (FIRST.replace(b" 12\r\n", b" 7\r\n"), FIRST),
            (FIRST.replace(TOKEN, b"x"), FIRST.replace(b" 12\r\n", b" 7\r\n")),
            # Another length each time, and then another token, or no end.
            (FIRST.replace(b" 12\r\n", b" 7\r\n"), FIRST.replace(b" 12", b" 345")),
            (FIRST.replace(b" 12\r\n", b" 7\r\n"), FIRST.replace(TOKEN, ALIKE)),
            (FIRST.replace(b" 12\r\n", b" 7\r\n"), FIRST.replace(b" 12", b" 345")[:-1]),
            # Another token as long, verified or not, and the last one once more.
            (FIRST.replace(TOKEN, ALIKE), FIRST),
            (FIRST.replace(TOKEN, TOKEN[:-1] + b"d"), FIRST),
            # All of the last one but for its last octet.
            (FIRST, FIRST[:-1] + b"x"),
            # The digits of the last one without an end.
            (FIRST, FIRST[: -len(b"\r\n\r\n")] + b"3"),
            # As large as may be, and then too large: each is seen twice.
            (FIRST.replace(TOKEN, ROOM), FIRST.replace(TOKEN, ROOM + b"t")),
            (
                FIRST.replace(TOKEN, ROOM),
                FIRST.replace(TOKEN, ROOM).replace(b" 12\r\n", b" 123\r\n"),
            ),
        ],
    )
    def test_that_nearly_repeat(self, between, then) -> None:
        known = template(self.FIRST)
        assert known is not None
        for head in (self.FIRST, self.FIRST, between, then, then, between, then):
            anew = template(self.FIRST)
            assert anew is not None
            assert told_by(known, head) == told_by(anew, head)

    @pytest.mark.parametrize(
        "fields",
        [[BEARER, LENGTH], [LENGTH, BEARER], [b"Traceparent: 1", BEARER, LENGTH]],
    )
    @given(st.data())
    def test_whatever_they_are(self, fields, data) -> None:
        head = written(fields)
        before = [head, head.replace(b"parent: 1", b"parent: 2")]  # it varies, if any
        known = template(*before)
        assert known is not None
        fills = st.sampled_from([TOKEN, TOKEN + b"c", b"12", b"7", b"123", b"", b" "])
        others = []
        for _ in range(3):
            other = head.replace(TOKEN, data.draw(fills))
            other = other.replace(b"Length: 12", b"Length: " + data.draw(fills))
            other = other.replace(b"parent: 1", b"parent: " + data.draw(fills))
            others.append(other[: data.draw(st.sampled_from([None, None, -1]))])
        anew = [template(*before) for _ in others]
        for at in data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=3)):
            said = told_by(known, others[at])
            event("fits" if said[0] else "does not fit")
            assert said == told_by(anew[at], others[at])


TOO_LONG = b"x" * MAX_HEAD


class TestOfATurn:
    """Tokens of requests that are read in one go: each as it is alone, or none."""

    @pytest.mark.parametrize(
        "fields",
        [[*SDK, BEARER, LENGTH], [LENGTH, BEARER], [b"Traceparent: 1", BEARER, LENGTH]],
    )
    @given(st.data())
    def test_each_fits_with_a_body_as_long(self, fields, data) -> None:
        first = written(fields)
        before = [first, first.replace(b"parent: 1", b"parent: 2")]
        known = template(*before)
        assert known is not None
        body = b"twelve bytes"
        for head in data.draw(st.lists(st.just(first), max_size=2)):
            assert known.fit(head + body, NONE)
        known.expect_more()
        tokens = st.sampled_from(
            [TOKEN, ALIKE, b"eyJa.bbbb.ccc=", b"eyJa.bbbb cccc", b"e", b"", TOO_LONG]
        )
        requests = []
        for token in data.draw(st.lists(tokens, min_size=1, max_size=4)):
            request = first.replace(TOKEN, token) + body
            odd, as_long = data.draw(
                st.sampled_from(
                    [
                        *3 * [(b"", b"")],
                        (b"POST", b"PUT "),
                        (b"Length: 12", b"Length: 13"),
                        (b"\r\n\r\n", b"\r\n\r "),
                        (body, body[:-1]),
                    ]
                )
            )
            requests.append(request.replace(odd, as_long) if odd else request)
        together = known.tokens_of(tuple(requests))
        event("read together" if together else "not read")
        alone = []
        for request in requests:
            anew = template(*before)
            assert anew is not None
            at = anew.fit(request, NONE)
            fits = 0 < at == len(request) - anew.length and anew.length == len(body)
            alone.append(anew.token if fits else None)
        is_usual = known.refuses
        assert together == (alone if is_usual and None not in alone else None)

    def test_it_expects_others_where_they_can_be_read_so(self) -> None:
        head = written([*SDK, BEARER, LENGTH])
        known = template(head)
        assert known is not None
        known.expect_more()
        assert not known.refuses
        assert known.tokens_of((head + b"twelve bytes",)) is None
        known.fit(head + b"twelve bytes", NONE)
        known.expect_more()
        assert known.refuses


class TestVarying:
    """A field that was another in the next head may be another in the one after it."""

    @staticmethod
    def head(trace: bytes, *others: bytes) -> bytes:
        return written([b"Traceparent: " + trace, *others, BEARER, LENGTH])

    def test_one_field(self) -> None:
        known = template(self.head(b"a"), self.head(b"b"))
        assert known is not None
        assert known.fit(self.head(b"c d"), NONE) == len(self.head(b"c d"))
        assert known.values == [b" c d"]
        assert known.fit(self.head(b""), NONE) == len(self.head(b""))

    def test_it_stays_open_when_it_repeats(self) -> None:
        known = template(self.head(b"a"), self.head(b"b"), self.head(b"b"))
        assert known is not None
        assert known.fit(self.head(b"c"), NONE)

    def test_a_field_that_is_never_passed_on(self) -> None:
        first, second, third = (
            self.head(b"a", b"X-Request-Id: %d" % n) for n in range(3)
        )
        known = template(first, second)
        assert known is not None
        assert known.fit(third, NONE) == len(third)
        assert known.values == []

    @pytest.mark.parametrize(
        "name",
        [
            b"User-Agent",
            b"Content-Type",
            b"X-Forwarded-For",
            b"Via",
            b"Max-Forwards",
            b"Connection",
        ],
    )
    def test_a_field_that_means_something_to_us_is_none(self, name) -> None:
        first, second, third = (self.head(b"a", name + b": %d" % n) for n in range(3))
        known = template(first, second)
        assert known is not None
        assert known.fit(second, NONE)
        assert known.fit(third, NONE) == 0

    def test_a_value_beyond_printable_ascii_is_read_in_full(self) -> None:
        known = template(self.head(b"a"), self.head(b"b"))
        assert known is not None
        for value in (b"\x00", b"\x7f", b"\xe9", b"\t", b"c\nX: y"):
            assert known.fit(self.head(value), NONE) == 0

    def test_too_many_of_them_are_none(self) -> None:
        first, second, third = (
            self.head(b"a", *(b"X-%d: %d" % (n, nth) for n in range(5)))
            for nth in range(3)
        )
        known = template(first, second)
        assert known is not None
        assert known.fit(second, NONE)
        assert known.fit(third, NONE) == 0


class TestHasNone:
    """Heads after which every next one is read in full."""

    @pytest.mark.parametrize(
        "head",
        [
            written([BEARER, b"Transfer-Encoding: chunked"]),
            written([BEARER, LENGTH, b"Expect: 100-continue"]),
            written([BEARER]),
            written([BEARER, LENGTH], b"POST /v1/nothing HTTP/1.1"),
            written([BEARER, LENGTH], b"GET /v1/pixel/track HTTP/1.1"),
            written([LENGTH], b"OPTIONS /v1/batch HTTP/1.1"),
            written([LENGTH, b"Authorization: Bearer a b"]),
            written([LENGTH, b"Content-Encoding: br"]),
        ],
    )
    def test_one_that_is_not_a_plain_batch(self, head) -> None:
        assert template(head) is None


class TestShared:
    """Connections of one peer whose heads are of one make have one template."""

    HEAD = written([*SDK, BEARER, LENGTH])

    @pytest.fixture
    def templates(self) -> Templates:
        return Templates()

    @staticmethod
    def made(head: bytes, peer: Peer = PEERS[0]) -> HeadTemplate:
        made = template(head, peer=peer)
        assert made is not None
        return made

    def test_whatever_fills_its_holes(self, templates) -> None:
        first, second = (
            templates.share(self.made(head), PEERS[0])
            for head in (
                self.HEAD,
                self.HEAD.replace(TOKEN, b"x").replace(b" 12\r\n", b" 7\r\n"),
            )
        )
        assert first is second

    @pytest.mark.parametrize(
        "other",
        [
            written([*SDK, b"X-Custom: 1", BEARER, LENGTH]),
            written([*SDK, LENGTH, BEARER]),
            written([*SDK, BEARER, LENGTH], b"POST /v1/import HTTP/1.1"),
            written([*SDK, BEARER, LENGTH, b"X-Custom: 1"]),
        ],
    )
    def test_not_by_another_head(self, templates, other) -> None:
        first = templates.share(self.made(self.HEAD), PEERS[0])
        second = templates.share(self.made(other), PEERS[0])
        assert first is not second
        assert second.fit(other, NONE) == len(other)

    def test_not_by_one_in_which_other_fields_vary(self, templates) -> None:
        heads = [written([b"Traceparent: %d" % n, BEARER, LENGTH]) for n in range(2)]
        open_one = template(*heads)
        assert open_one is not None
        first = templates.share(self.made(heads[1]), PEERS[0])
        assert templates.share(open_one, PEERS[0]) is open_one is not first

    def test_not_with_another_peer(self, templates) -> None:
        first, second = (
            templates.share(self.made(self.HEAD, peer), peer) for peer in PEERS
        )
        assert first is not second
        assert [templates.last_of(peer) for peer in PEERS] == [first, second]

    def test_the_last_one_of_a_peer_is_where_its_next_connection_begins(
        self, templates
    ) -> None:
        assert templates.last_of(PEERS[0]) is None
        for head in (self.HEAD, written([BEARER, LENGTH]), self.HEAD):
            shared = templates.share(self.made(head), PEERS[0])
            assert templates.last_of(PEERS[0]) is shared

    def test_a_large_head_is_not_kept(self, templates) -> None:
        room = MAX_SHARED_HEAD - self.made(written([b"X: ", BEARER, LENGTH])).size
        for size, is_kept in ((room, True), (room + 1, False)):
            made = self.made(written([b"X: " + b"x" * size, BEARER, LENGTH]))
            assert templates.share(made, PEERS[0]) is made
            assert (templates.last_of(PEERS[0]) is made) is is_kept

    def test_there_is_a_limit_to_heads_and_to_peers(self, templates) -> None:
        for number in range(MAX_SHARED + 1):
            head = written([b"X: %d" % number, BEARER, LENGTH])
            templates.share(self.made(head), PEERS[0])
        first = self.made(written([b"X: 0", BEARER, LENGTH]))
        assert templates.share(first, PEERS[0]) is first, "it was forgotten"
        for number in range(MAX_SHARED + 1):
            peer = Peer(address=b"%d" % number, is_tls=False, trusted=False)
            templates.share(first, peer)
        assert templates.last_of(PEERS[0]) is None


# --- The property ---

LINES = st.lists(
    st.sampled_from(
        [
            *SDK,
            b"Content-Encoding: gzip",
            b"Connection: close",
            b"Connection: x-custom",
            b"X-Custom: a",
            b"X-Custom: Bearer eyJa.bbbb.cccc",
            b"X-Length: 12",
            b"X-Forwarded-For: 198.51.100.1",
            b"X-Request-Id: 12",
            b"Traceparent:12",
            b"Connection: traceparent",
            b"Via: 1.0 proxy",
            b"Proxy-Authorization: Bearer eyJa.bbbb.cccc",
            b"Content_Length: 12",
        ]
    ),
    max_size=6,
)
CREDENTIALS = st.sampled_from(
    [
        BEARER,
        b"authorization:\tbearer  " + TOKEN + b" ",
        b"Authorization: Basic d3JpdGVrZXk6",
        b"Authorization: Digest x",
        b"X-No: credential",
    ]
)
LENGTHS = st.sampled_from([LENGTH, b"content-length:\t12 ", b"Content-Length:12"])
TARGETS = st.sampled_from(
    [
        b"POST /v1/batch HTTP/1.1",
        b"POST /v1/t?writeKey=w HTTP/1.1",
        b"POST /v1/batch?access_token=t HTTP/1.1",
        b"POST http://other.test/v1/b HTTP/1.1",
        b"POST /v1/batch HTTP/1.0",
    ]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    fields = [*draw(LINES), draw(CREDENTIALS), draw(LENGTHS)]
    return written(draw(st.permutations(fields)), draw(TARGETS))


FILLS = st.one_of(
    st.sampled_from(
        [b"1", b"0", b"00", b"x.y.z", b"a=", b"", b" ", b"\t", b"\r\n", b"\n", b"a b"]
    ),
    st.from_regex(rb"[0-9]{1,20}", fullmatch=True),
    st.from_regex(rb"[A-Za-z0-9\-._~+/]{1,20}={0,3}", fullmatch=True),
    st.binary(max_size=3),
    st.just(b"1\r\nContent-Length: 2"),
    st.just(b"t\r\nAuthorization: Bearer u"),
    st.just(b"t\r\n\r\n"),
)


@st.composite
def variants(draw: st.DrawFn) -> list[bytes]:
    """Heads that follow each other: mostly the same with some values anew."""
    known = draw(heads())
    following = [known]
    for _ in range(draw(st.sampled_from([1, 2, 2, 3]))):
        other = known
        if draw(st.booleans()):
            other = other.replace(TOKEN, draw(FILLS), draw(st.sampled_from([-1, 1])))
        if draw(st.booleans()):
            other = other.replace(b"12", draw(FILLS), draw(st.sampled_from([-1, 1])))
        if draw(st.booleans()):
            other = other.replace(b"parent:12", b"parent:" + draw(FILLS))
        following.append(other)
    last = following.pop()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start = draw(st.integers(0, len(last)))
        end = draw(st.integers(start, min(len(last), start + 3)))
        last = last[:start] + draw(FILLS) + last[end:]
    return [*following, last]


def same_but_for_the_holes(ours: Plan, strict: Plan) -> bool:
    def rest(plan: Plan) -> dict[str, object]:
        head = {
            name: getattr(plan.head, name)
            for name in plan.head.__struct_fields__
            if name not in ("authorization", "content_length", "forwarded")
        }
        return head | {name: getattr(plan, name) for name in _OF_PLANS}

    return rest(ours) == rest(strict)


_OF_PLANS = (
    "route",
    "door",
    "behind",
    "pool",
    "query",
    "refusal",
    "must_close",
    "body_decides",
    "is_plain",
    "inflates",
)


@given(variants(), st.sampled_from(PEERS), st.booleans())
def test_what_fits_is_read_as_the_strict_reader_reads_it(
    variants, peer, shared
) -> None:
    *before, data = variants
    templates = Templates()
    try:
        known = template(*before, peer=peer)
        if shared and known is not None:
            for head in before:
                for each in PEERS:
                    alike = template(head, peer=each)
                    if alike is not None:
                        templates.share(alike, each)
            known = templates.share(known, peer)
    except Refused:
        known = None
    if known is None:
        event("no template")
        return
    at = known.fit(data, NONE)
    if not at:
        event("does not fit")
        return
    event("fits")
    assert data.find(b"\r\n\r\n") == at - 4
    strict = planned(data[:at])
    assert strict.refusal is None
    assert same_but_for_the_holes(known.plan, strict)
    assert known.length == strict.head.content_length
    if known.token is None:
        assert strict.authorization == known.plan.authorization
    else:
        assert strict.authorization.token == known.token
        assert strict.authorization.ours
    plainly = outlined(strict, peer)
    assert plainly is not None
    assert int(known.digits) == known.length
    for client_id in (b"app", None):
        ours = known.outline.filled(client_id, b"id", b"1", b"x", known.values)
        assert ours == plainly.filled(client_id, b"id", b"1", b"x", [])
