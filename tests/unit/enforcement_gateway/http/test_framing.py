"""What a request head must look like before anybody looks at what it asks."""

import pytest

from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http import framing
from enforcement_gateway.http.framing import (
    MAX_FIELDS,
    MAX_TARGET,
    Head,
    read_head,
)

HOST = b"Host: api.example"


def head_of(*fields: bytes, line: bytes = b"POST /v1/batch HTTP/1.1") -> Head:
    """The head with `fields` and nothing else: no Host, unless it is among them."""
    return read_head(b"\r\n".join((line, *fields)))


def ask(line: bytes) -> Head:
    return head_of(HOST, line=line)


def refusal_of(*fields: bytes, line: bytes = b"POST /v1/batch HTTP/1.1") -> Reason:
    with pytest.raises(Refused) as refused:
        head_of(*fields, line=line)
    return refused.value.reason


class TestTheRequestLine:
    def test_it_is_taken_apart(self) -> None:
        head = ask(b"POST /v1/batch?writeKey=k&x HTTP/1.1")
        assert (head.method, head.path, head.query) == (
            b"POST",
            b"/v1/batch",
            b"writeKey=k&x",
        )
        assert head.is_http_1_1
        assert head.keep_alive

    def test_no_query_and_an_empty_one_differ(self) -> None:
        assert ask(b"GET / HTTP/1.1").query is None
        assert ask(b"GET /? HTTP/1.1").query == b""
        assert ask(b"GET /?a?b HTTP/1.1").query == b"a?b"

    def test_a_path_is_raw(self) -> None:
        assert ask(b"POST //v1/%62atch/../x HTTP/1.1").path == b"//v1/%62atch/../x"

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"GET",
            b"GET /",
            b"GET  / HTTP/1.1",
            b"GET /  HTTP/1.1",
            b" GET / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b"GET\t/ HTTP/1.1",
            b"GET / HTTP/1.1\n",
            b"GET / \nHTTP/1.1",
            b"GET / HTTP/1.1\rX: y",
            b"GET /a b HTTP/1.1",
            b"GET /\x00 HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET /\xc3\xa9 HTTP/1.1",
            b"GET /#fragment HTTP/1.1",
            b"GET v1/batch HTTP/1.1",
            b"GET * HTTP/1.1",
            b"G(T / HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTP/11",
            b"GET / HTTP/1.10",
            b"GET / HTTP/1,1",
            b"GET / HTTP/\xb9.1",
            b"GET / ICY/1.1",
        ],
    )
    def test_anything_odd_is_malformed(self, line: bytes) -> None:
        assert refusal_of(HOST, line=line) is Reason.HEAD_MALFORMED

    @pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
    def test_only_two_versions_are_spoken(self, version: bytes) -> None:
        line = b"GET / HTTP/" + version
        assert refusal_of(HOST, line=line) is Reason.VERSION_UNSUPPORTED

    @pytest.mark.parametrize(
        "method", [b"get", b"PROPFIND", b"PRI", b"POST0", b"QUERY"]
    )
    def test_an_unknown_method_is_no_malformed_one(self, method: bytes) -> None:
        line = method + b" / HTTP/1.1"
        assert refusal_of(HOST, line=line) is Reason.METHOD_UNKNOWN

    def test_a_target_may_be_as_long_as_rfc_9112_wants(self) -> None:
        path = b"/" + b"a" * 7999
        assert ask(b"GET " + path + b" HTTP/1.1").path == path

    def test_a_longer_target_is_too_long(self) -> None:
        for length in (MAX_TARGET + 1, 2 * MAX_TARGET):
            line = b"GET /" + b"a" * (length - 1) + b" HTTP/1.1"
            assert refusal_of(HOST, line=line) is Reason.TARGET_TOO_LONG

    def test_a_method_without_end_is_too_long(self) -> None:
        line = b"G" * 10_000 + b" / HTTP/1.1"
        assert refusal_of(HOST, line=line) is Reason.TARGET_TOO_LONG


class TestTheAbsoluteForm:
    @pytest.mark.parametrize(
        ("target", "path", "query", "authority"),
        [
            (b"http://other/v1/batch", b"/v1/batch", None, b"other"),
            (b"HTTPS://other:8443/a?b", b"/a", b"b", b"other:8443"),
            (b"http://other", b"/", None, b"other"),
            (b"http://other?b", b"/", b"b", b"other"),
            (b"http://[::1]:80/", b"/", None, b"[::1]:80"),
        ],
    )
    def test_its_authority_wins_over_host(
        self, target: bytes, path: bytes, query: bytes | None, authority: bytes
    ) -> None:
        head = ask(b"POST " + target + b" HTTP/1.1")
        assert (head.path, head.query, head.authority) == (path, query, authority)

    def test_host_is_needed_all_the_same(self) -> None:
        line = b"POST http://other/ HTTP/1.1"
        assert refusal_of(line=line) is Reason.HOST_INVALID

    @pytest.mark.parametrize(
        "target", [b"http:///path", b"http://user@host/", b"http://a,b/", b"http://"]
    )
    def test_its_authority_must_be_one(self, target: bytes) -> None:
        line = b"POST " + target + b" HTTP/1.1"
        assert refusal_of(HOST, line=line) is Reason.HOST_INVALID

    def test_other_schemes_are_malformed(self) -> None:
        line = b"POST ftp://other/ HTTP/1.1"
        assert refusal_of(HOST, line=line) is Reason.HEAD_MALFORMED

    def test_the_asterisk_is_for_options(self) -> None:
        assert ask(b"OPTIONS * HTTP/1.1").path == b"*"


class TestHost:
    @pytest.mark.parametrize(
        "value",
        [b"a", b"a.b-c_d~", b"a:8080", b"a:", b"[::1]", b"[2001:db8::1]:443", b"%41"],
    )
    def test_one_valid_host_is_taken(self, value: bytes) -> None:
        assert head_of(b"Host: " + value).authority == value

    def test_http_1_1_needs_one(self) -> None:
        assert refusal_of() is Reason.HOST_INVALID

    def test_http_1_0_does_not(self) -> None:
        assert head_of(line=b"POST / HTTP/1.0").authority == b""

    @pytest.mark.parametrize(
        "fields",
        [
            (b"Host: a", b"Host: a"),
            (b"Host: a", b"host: b"),
            (b"Host:",),
            (b"Host: a b",),
            (b"Host: a, b",),
            (b"Host: a/b",),
            (b"Host: user@a",),
            (b"Host: a:b",),
            (b"Host: a:123456",),
            (b"Host: :80",),
            (b"Host: [::1",),
            (b"Host: \xe9",),
            (b"Host: %4",),
        ],
    )
    def test_another_is_invalid(self, fields: tuple[bytes, ...]) -> None:
        assert refusal_of(*fields) is Reason.HOST_INVALID
        line = b"POST / HTTP/1.0"
        assert refusal_of(*fields, line=line) is Reason.HOST_INVALID


class TestFields:
    def test_those_for_everyone_are_passed_on_as_they_came(self) -> None:
        lines = (b"X-Custom:  spaced \t", b"accept: */*", b"Cookie: a=b", b"X-Empty:")
        assert head_of(HOST, *lines).forwarded == list(lines)

    @pytest.mark.parametrize(
        "field",
        [
            b"no colon",
            b": no name",
            b"Name : value",
            b"Name\t: value",
            b" Name: value",
            b"\tfolded",
            b" folded",
            b"Na me: value",
            b"Na\x00me: value",
            b"N\xe4me: value",
            b"Name: a\nb",
            b"Name: a\rb",
            b"Name: a\x00b",
            b"Name: a\x01b",
            b"Name: a\x7fb",
            b"Name: a\n",
            b"Name: a\r",
            b"(Name): value",
            b"",
        ],
    )
    def test_anything_odd_is_malformed(self, field: bytes) -> None:
        assert refusal_of(HOST, field, b"X: y") is Reason.HEAD_MALFORMED
        assert refusal_of(HOST, b"X: y", field, b"X: y") is Reason.HEAD_MALFORMED

    def test_octets_beyond_ascii_are_allowed_in_values(self) -> None:
        assert head_of(HOST, b"X: \xe9\t\xff").forwarded == [b"X: \xe9\t\xff"]

    def test_there_may_be_so_many_and_no_more(self) -> None:
        fields = [b"X-%d: y" % number for number in range(MAX_FIELDS - 1)]
        assert len(head_of(HOST, *fields).forwarded) == MAX_FIELDS - 1
        assert refusal_of(HOST, *fields, b"X: y") is Reason.HEAD_TOO_LARGE

    def test_a_repeated_content_type_is_malformed(self) -> None:
        fields = (b"Content-Type: a/b", b"content-type: a/b")
        assert refusal_of(HOST, *fields) is Reason.HEAD_MALFORMED

    def test_content_codings_are_added_up(self) -> None:
        fields = (b"Content-Encoding: gzip", b"content-encoding: gzip")
        assert head_of(HOST, *fields).content_encoding == b"gzip, gzip"

    def test_what_the_gateway_reads_is_read(self) -> None:
        head = head_of(
            HOST,
            b"User-Agent: analytics-python/2.4.0 ",
            b"Content-Type:application/json",
            b"Content-Encoding: gzip",
            b"X-Forwarded-For: 10.0.0.1",
            b"X-Forwarded-For: 10.0.0.2",
            b"X-Forwarded-Proto: https",
            b"Via: 1.1 proxy",
            b"Max-Forwards: 3",
        )
        assert head.user_agent == b"analytics-python/2.4.0"
        assert head.content_type == b"application/json"
        assert head.content_encoding == b"gzip"
        assert head.forwarded_for == b"10.0.0.1, 10.0.0.2"
        assert head.forwarded_proto == b"https"
        assert head.via == b"1.1 proxy"
        assert head.max_forwards == 3


class TestAuthorization:
    def test_one_is_kept_and_not_passed_on(self) -> None:
        head = head_of(HOST, b"authorization:  Bearer t ")
        assert head.authorization is not None
        assert head.authorization.value == b"Bearer t"
        assert head.forwarded == []

    @pytest.mark.parametrize("second", [b"Bearer t", b"Basic eDo=", b""])
    def test_two_are_ambiguous_even_if_equal(self, second: bytes) -> None:
        fields = (b"Authorization: Bearer t", b"AUTHORIZATION: " + second)
        assert refusal_of(HOST, *fields) is Reason.CREDENTIALS_AMBIGUOUS


class TestContentLength:
    @pytest.mark.parametrize(
        ("value", "length"), [(b"0", 0), (b"5", 5), (b"007", 7), (b" 12\t", 12)]
    )
    def test_ascii_digits_are_a_length(self, value: bytes, length: int) -> None:
        head = head_of(HOST, b"Content-Length:" + value)
        assert head.content_length == length
        assert head.has_body is (length > 0)
        assert not head.chunked

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"+5",
            b"-5",
            b"-0",
            b"5_0",
            b"0x5",
            b"5.0",
            b"5e0",
            b"5 5",
            b"5, 5",
            b"5,5",
            b"\xd9\xa5",
            b"\xb2",
            b"five",
            b"1" * 19,
            b"18446744073709551616",
            b"18446744073709551621",
        ],
    )
    def test_anything_else_is_invalid(self, value: bytes) -> None:
        assert refusal_of(HOST, b"Content-Length: " + value) is Reason.LENGTH_INVALID

    @pytest.mark.parametrize("second", [b"5", b"6"])
    def test_two_are_invalid_even_if_equal(self, second: bytes) -> None:
        fields = (b"Content-Length: 5", b"content-length: " + second)
        assert refusal_of(HOST, *fields) is Reason.LENGTH_INVALID


class TestTransferEncoding:
    @pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"\tCHUNKED "])
    def test_chunked_alone_is_understood(self, value: bytes) -> None:
        head = head_of(HOST, b"Transfer-Encoding:" + value)
        assert head.chunked
        assert head.has_body

    @pytest.mark.parametrize(
        "values",
        [
            (b"chunked, gzip",),
            (b"chunked", b"gzip"),
            (b"chunked, chunked",),
            (b"chunked", b"chunked"),
            (b"",),
            (b",chunked",),
            (b"chunked,",),
            (b"", b"chunked"),
        ],
    )
    def test_chunked_is_last_and_stands_once(self, values: tuple[bytes, ...]) -> None:
        fields = [b"Transfer-Encoding: " + value for value in values]
        assert refusal_of(HOST, *fields) is Reason.TRANSFER_CODING_INVALID

    @pytest.mark.parametrize(
        "value",
        [
            b"gzip",
            b"identity",
            b"gzip, chunked",
            b"xchunked",
            b'"chunked"',
            b"chunked;a",
        ],
    )
    def test_other_codings_are_unknown(self, value: bytes) -> None:
        fields = (HOST, b"Transfer-Encoding: " + value)
        assert refusal_of(*fields) is Reason.TRANSFER_CODING_UNKNOWN

    def test_a_length_beside_it_is_refused(self) -> None:
        fields = [b"Transfer-Encoding: chunked", b"Content-Length: 5"]
        assert refusal_of(HOST, *fields) is Reason.TRANSFER_CODING_INVALID
        fields.reverse()
        assert refusal_of(HOST, *fields) is Reason.TRANSFER_CODING_INVALID

    def test_http_1_0_does_not_know_it(self) -> None:
        fields = (HOST, b"Transfer-Encoding: chunked")
        line = b"POST / HTTP/1.0"
        assert refusal_of(*fields, line=line) is Reason.TRANSFER_CODING_INVALID

    def test_an_underscore_makes_another_field_that_nobody_gets(self) -> None:
        head = head_of(HOST, b"Transfer_Encoding: chunked", b"Content_Length: 5")
        assert not head.has_body
        assert head.forwarded == []


class TestConnection:
    @pytest.mark.parametrize(
        "value", [b"close", b"Close", b"x, close", b"keep-alive,close"]
    )
    def test_close_ends_it(self, value: bytes) -> None:
        assert not head_of(HOST, b"Connection: " + value).keep_alive

    @pytest.mark.parametrize("value", [b"keep-alive", b"closed", b"upgrade", b""])
    def test_anything_else_keeps_it(self, value: bytes) -> None:
        assert head_of(HOST, b"Connection: " + value).keep_alive

    def test_http_1_0_ends_it_always(self) -> None:
        fields = (HOST, b"Connection: keep-alive")
        assert not head_of(*fields, line=b"POST / HTTP/1.0").keep_alive

    def test_what_it_names_is_not_passed_on(self) -> None:
        head = head_of(
            HOST,
            b"X-Hop: 1",
            b"Connection: x-HOP , close",
            b"Connection: X-Other",
            b"x-other: 2",
            b"X-Kept: 3",
        )
        assert head.forwarded == [b"X-Kept: 3"]

    def test_it_can_hide_the_way_here(self) -> None:
        assert head_of(HOST, b"Via: 1.1 a", b"Connection: via").via is None

    @pytest.mark.parametrize(
        "name",
        [
            b"Host",
            b"Content-Length",
            b"Transfer-Encoding",
            b"Authorization",
            b"Content-Encoding",
            b"Content-Type",
            b"X-Forwarded-For",
            b"User-Agent",
        ],
    )
    def test_it_cannot_hide_what_everyone_must_see(self, name: bytes) -> None:
        fields = (HOST, b"Connection: close, " + name)
        assert refusal_of(*fields) is Reason.HEAD_MALFORMED


class TestWhatIsNeverPassedOn:
    @pytest.mark.parametrize(
        "name",
        [
            b"Connection",
            b"Keep-Alive",
            b"Proxy-Authenticate",
            b"Proxy-Authorization",
            b"Proxy-Connection",
            b"TE",
            b"Trailer",
            b"Upgrade",
            b"HTTP2-Settings",
        ],
    )
    def test_hop_by_hop_fields(self, name: bytes) -> None:
        assert head_of(HOST, name + b": x").forwarded == []

    @pytest.mark.parametrize(
        "name",
        [
            b"Tollgate-Client-Id",
            b"TOLLGATE_CLIENT_ID",
            b"tollgate_client-id",
            b"Tollgate-Anything",
            b"X-Request-Id",
            b"X_Request_ID",
            b"X-Forwarded-For",
            b"X_Forwarded_For",
            b"X-Forwarded-Proto",
            b"X_Forwarded-Proto",
            b"X-Forwarded-Host",
            b"X-Forwarded-Port",
            b"X-Real-IP",
            b"X_Real_IP",
            b"Forwarded",
            b"Via",
        ],
    )
    def test_what_only_the_gateway_says(self, name: bytes) -> None:
        assert head_of(HOST, name + b": x").forwarded == []

    @pytest.mark.parametrize(
        "name", [b"Content_Type", b"User_Agent", b"Content_Encoding", b"Max_Forwards"]
    )
    def test_a_second_spelling_of_what_the_gateway_read(self, name: bytes) -> None:
        head = head_of(HOST, name + b": x")
        assert head.forwarded == []
        assert head.content_type is None
        assert head.user_agent == b""

    def test_another_name_with_an_underscore_is_nobodys_business(self) -> None:
        assert head_of(HOST, b"X_Custom: 1").forwarded == [b"X_Custom: 1"]


class TestExpect:
    def test_a_continue_is_expected(self) -> None:
        assert head_of(HOST, b"Expect: 100-Continue").expects_continue

    def test_anything_else_is_unknown(self) -> None:
        assert refusal_of(HOST, b"Expect: tea") is Reason.EXPECTATION_UNKNOWN

    def test_http_1_0_expects_nothing(self) -> None:
        for value in (b"100-continue", b"tea"):
            head = head_of(HOST, b"Expect: " + value, line=b"POST / HTTP/1.0")
            assert not head.expects_continue


class TestKnownLines:
    """A line seen before has a known meaning, and the memory of lines has an end."""

    def test_they_mean_the_same_however_often_they_came(self) -> None:
        fields = (HOST, b"X-Tenant: 7", b"Content-Length: 3", b"Connection: close")
        assert head_of(*fields) == head_of(*fields)

    def test_they_do_not_pile_up(self) -> None:
        for number in range(3 * framing._MAX_KNOWN_LINES):
            head_of(HOST, b"X-Trace: %d" % number)
        assert len(framing._known_lines) <= framing._MAX_KNOWN_LINES

    def test_long_ones_and_credentials_are_not_among_them(self) -> None:
        head_of(HOST, b"X: " + b"y" * 1000, b"Authorization: Bearer unforgettable")
        assert all(len(line) < 300 for line in framing._known_lines)
        assert not any(b"unforgettable" in line for line in framing._known_lines)


class TestTime:
    """A pattern that backtracks would be busy with one head until the end of days."""

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "fields",
        [
            (HOST, b"X:" + b" " * 30_000 + b"\x01"),
            (HOST, b"X:" + b"a " * 15_000 + b"\x01"),
            (b"Host: " + b"a" * 30_000 + b"@",),
            (b"Host: " + b"%41" * 9000 + b"@",),
            (HOST, b"Content-Length: " + b"1" * 30_000 + b"x"),
            (HOST, b"Transfer-Encoding: " + b"," * 30_000),
        ],
    )
    def test_no_field_runs_away(self, fields: tuple[bytes, ...]) -> None:
        for _ in range(100):
            refusal_of(*fields)

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "target", [b"/" * 8000 + b"\xff", b"http://" + b"a" * 8000 + b"@/", b"?" * 8000]
    )
    def test_no_target_runs_away(self, target: bytes) -> None:
        for _ in range(100):
            refusal_of(HOST, line=b"GET " + target + b" HTTP/1.1")
