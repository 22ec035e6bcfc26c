"""The request as the upstream gets it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.http.framing import Head, read_head
from enforcement_gateway.upstream.forwarding import (
    Peer,
    UpstreamAuthorization,
    authorization_for_upstream,
    forwarded_request,
    outline_of,
)

CLIENT = Peer(address=b"192.0.2.7", is_tls=False, trusted=False)
PROXY = Peer(address=b"10.0.0.1", is_tls=False, trusted=True)
BODY = b'{"writeKey":"k"}'
NONE, BEARER, BASIC = UpstreamAuthorization


def head_of(*fields: bytes, line: bytes = b"POST /v1/b HTTP/1.1") -> Head:
    return read_head(b"\r\n".join((line, b"Host: api.example", *fields)))


def forwarded(
    head: Head,
    body: bytes = BODY,
    *,
    peer: Peer = CLIENT,
    client_id: str | None = None,
    authorization: bytes | None = None,
) -> bytes:
    return forwarded_request(
        head,
        body,
        target=b"/prefix/v1/b?q",
        authority=b"tracker.internal:8080",
        peer=peer,
        request_id=b"request-1",
        client_id=client_id,
        authorization=authorization,
    )


def fields_of(request: bytes) -> list[tuple[bytes, bytes]]:
    head, _, _ = request.partition(b"\r\n\r\n")
    split = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    return [(name.lower(), value) for name, _, value in split]


def values(request: bytes, name: bytes) -> list[bytes]:
    return [value for other, value in fields_of(request) if other == name]


class TestTheWhole:
    def test_it_is_written_anew_around_the_same_body(self) -> None:
        head = head_of(
            b"User-Agent: sdk/1",
            b"Content-Type: application/json",
            b"Connection: close",
            b"Content-Length: 16",
            b"X-Custom:  as  it came",
        )
        assert forwarded(head, client_id="app_1") == (
            b"POST /prefix/v1/b?q HTTP/1.1\r\n"
            b"Host: tracker.internal:8080\r\n"
            b"User-Agent: sdk/1\r\n"
            b"Content-Type: application/json\r\n"
            b"X-Custom:  as  it came\r\n"
            b"Tollgate-Client-Id: app_1\r\n"
            b"X-Request-Id: request-1\r\n"
            b"Via: 1.1 tollgate\r\n"
            b"X-Forwarded-For: 192.0.2.7\r\n"
            b"X-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Host: api.example\r\n"
            b"Content-Length: 16\r\n"
            b"\r\n" + BODY
        )

    def test_chunks_go_on_with_a_length(self) -> None:
        request = forwarded(head_of(b"Transfer-Encoding: chunked"))
        assert values(request, b"content-length") == [b"16"]
        assert values(request, b"transfer-encoding") == []

    @given(st.binary(max_size=200))
    def test_any_body_stays_as_it_came(self, body: bytes) -> None:
        request = forwarded(head_of(b"Content-Encoding: gzip"), body)
        assert request.partition(b"\r\n\r\n")[2] == body
        assert values(request, b"content-length") == [b"%d" % len(body)]
        assert values(request, b"content-encoding") == [b"gzip"]

    @pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
    def test_no_body_has_the_length_zero(self, method: bytes) -> None:
        request = forwarded(head_of(line=method + b" /v1/b HTTP/1.1"), b"")
        assert values(request, b"content-length") == [b"0"]

    @pytest.mark.parametrize("method", [b"GET", b"DELETE", b"OPTIONS"])
    def test_or_none_at_all_where_nobody_expects_one(self, method: bytes) -> None:
        request = forwarded(head_of(line=method + b" /v1/b HTTP/1.1"), b"")
        assert values(request, b"content-length") == []


class TestWhatOnlyWeSay:
    @pytest.mark.parametrize(
        "forged",
        [
            b"Tollgate-Client-Id: evil",
            b"tollgate_client_id: evil",
            b"X-Request-Id: evil",
            b"X_REQUEST_ID: evil",
            b"X-Forwarded-Proto: evil",
            b"X_Forwarded_Proto: evil",
            b"X-Forwarded-Host: evil",
            b"X-Forwarded-For: evil",
            b"X_Forwarded_For: evil",
            b"X-Real-Ip: evil",
            b"Forwarded: for=evil",
            b"Host_: x\r\nAuthorization_: y\r\nTollgate-Anything: evil",
        ],
    )
    @pytest.mark.parametrize("client_id", [None, "app_1"])
    def test_a_client_cannot_say(self, forged: bytes, client_id: str | None) -> None:
        request = forwarded(head_of(forged), client_id=client_id)
        assert b"evil" not in request
        given_id = [] if client_id is None else [client_id.encode()]
        assert values(request, b"tollgate-client-id") == given_id
        assert values(request, b"x-request-id") == [b"request-1"]


class TestTheWay:
    def test_via_grows(self) -> None:
        request = forwarded(head_of(b"Via: 1.0 a", b"Via: 1.1 b"))
        assert values(request, b"via") == [b"1.0 a, 1.1 b, 1.1 tollgate"]

    def test_a_trusted_proxy_is_believed(self) -> None:
        head = head_of(b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https")
        request = forwarded(head, peer=PROXY)
        assert values(request, b"x-forwarded-for") == [b"203.0.113.9, 10.0.0.1"]
        assert values(request, b"x-forwarded-proto") == [b"https"]

    def test_but_not_with_a_scheme_that_is_none(self) -> None:
        request = forwarded(head_of(b"X-Forwarded-Proto: gopher"), peer=PROXY)
        assert values(request, b"x-forwarded-proto") == [b"http"]

    def test_anybody_else_is_not(self) -> None:
        head = head_of(b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https")
        request = forwarded(head)
        assert values(request, b"x-forwarded-for") == [b"192.0.2.7"]
        assert values(request, b"x-forwarded-proto") == [b"http"]

    def test_tls_is_told(self) -> None:
        peer = Peer(address=b"192.0.2.7", is_tls=True, trusted=False)
        request = forwarded(head_of(), peer=peer)
        assert values(request, b"x-forwarded-proto") == [b"https"]

    def test_http_1_0_without_a_host_forwards_none(self) -> None:
        head = read_head(b"POST /v1/b HTTP/1.0\r\nX: y")
        assert values(forwarded(head), b"x-forwarded-host") == []

    def test_the_host_of_an_absolute_target_is_told(self) -> None:
        head = head_of(line=b"POST http://other.example/v1/b HTTP/1.1")
        assert values(forwarded(head), b"x-forwarded-host") == [b"other.example"]

    def test_forwards_of_options_are_counted_down(self) -> None:
        line = b"OPTIONS /v1/b HTTP/1.1"
        for sent, passed in ((b"3", b"2"), (b"1", b"0"), (b"007", b"6")):
            request = forwarded(head_of(b"Max-Forwards: " + sent, line=line), b"")
            assert values(request, b"max-forwards") == [passed]
        for odd in (b"", b"-1", b"many"):
            request = forwarded(head_of(b"Max-Forwards: " + odd, line=line), b"")
            assert values(request, b"max-forwards") == [odd]
        assert values(forwarded(head_of(b"Max-Forwards: 3")), b"max-forwards") == [b"3"]


class TestAuthorization:
    bearer = b"Authorization:  Bearer t"
    digest = b"Authorization: Digest a=b"
    sent_basic = b"authorization: Basic " + base64.b64encode(b"key:secret")

    @pytest.mark.parametrize(
        ("how", "line", "ours", "write_key", "passed"),
        [
            (NONE, bearer, True, "key", None),
            (NONE, sent_basic, False, "key", sent_basic),
            (NONE, digest, False, None, digest),
            (BEARER, bearer, True, "key", bearer),
            (BEARER, sent_basic, False, "key", sent_basic),
            (BASIC, bearer, True, "key", b"Authorization: Basic a2V5Og=="),
            (BASIC, sent_basic, False, "key", b"Authorization: Basic a2V5Og=="),
            (BASIC, bearer, True, None, None),
            (BASIC, digest, False, None, digest),
        ],
    )
    def test_what_the_upstream_gets_to_see(
        self,
        how: UpstreamAuthorization,
        line: bytes,
        ours: bool,
        write_key: str | None,
        passed: bytes | None,
    ) -> None:
        head = head_of(line)
        told = authorization_for_upstream(how, head, ours=ours, write_key=write_key)
        assert told == passed
        request = forwarded(head, authorization=told)
        assert len(values(request, b"authorization")) == (passed is not None)

    def test_basic_is_made_from_the_key_where_none_was_sent(self) -> None:
        for how, passed in ((NONE, None), (BASIC, b"Authorization: Basic azo=")):
            told = authorization_for_upstream(how, head_of(), ours=False, write_key="k")
            assert told == passed


class TestOutline:
    """The request with holes, filled, is the request as it is written at once."""

    @given(
        fields=st.lists(
            st.sampled_from(
                [
                    b"User-Agent: sdk/1",
                    b"X-Custom: %b%d",
                    b"Via: 1.0 proxy",
                    b"X-Forwarded-For: 198.51.100.1",
                    b"X-Forwarded-Proto: https",
                    b"Connection: x-custom",
                    b"Content-Type: application/json",
                    b"Content-Encoding: gzip",
                ]
            ),
            unique=True,
        ),
        peer=st.sampled_from([CLIENT, PROXY]),
        client_id=st.sampled_from([None, "app_1"]),
        body=st.sampled_from([b"", b"0", BODY, b"0\r\n\r\n", b"%d" * 50]),
        authorization=st.sampled_from([None, b"Authorization: Basic eDo="]),
    )
    def test_filled(self, fields, peer, client_id, body, authorization) -> None:
        head = head_of(*fields)
        outline = outline_of(
            head,
            target=b"/prefix/v1/b?q",
            authority=b"tracker.internal:8080",
            peer=peer,
            authorization=authorization,
        )
        octets = None if client_id is None else client_id.encode()
        digits = b"%d" % len(body)
        assert outline.filled(octets, b"request-1", digits, body, []) == forwarded(
            head, body, peer=peer, client_id=client_id, authorization=authorization
        )
