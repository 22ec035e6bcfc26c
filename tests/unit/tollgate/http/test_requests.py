"""What is read of a request before any rule is asked."""

import re
from enum import StrEnum

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tollgate.http.addresses import client_address, parse_networks
from tollgate.http.bodies import decode_json
from tollgate.http.etags import NO_VERSION, etag_of, read_if_match
from tollgate.http.idempotency import digest_of, read_idempotency_key
from tollgate.http.pagination import encode_cursor, read_cursor, read_limit
from tollgate.http.problems import RequestRefused
from tollgate.http.queries import read_flag, read_query
from tollgate.http.request_ids import request_id_of


def get(target: str = "/", *headers: tuple[str, str]) -> web.Request:
    return make_mocked_request("GET", target, headers=CIMultiDict(headers))


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    mode: str = "off"


class Mode(StrEnum):
    OFF = "off"


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    mode: Mode = Mode.OFF


class TestBodies:
    def test_a_body_is_decoded(self) -> None:
        assert decode_json(b'{"name": "x"}', Body) == Body(name="x")

    @pytest.mark.parametrize(
        "body",
        [
            *(
                b"",
                b"{",
                b"null x",
                b'{"name": NaN}',
                b"\xff",
                b'\xef\xbb\xbf{"name":1}',
            ),
            *(b'{"name": "a", "name": "b"}', b'{"name": "\\ud800"}', b"[" * 100_000),
            b'{"name": ' + b"1" * 5000 + b"}",
        ],
    )
    def test_what_is_no_json_is_malformed(self, body: bytes) -> None:
        with pytest.raises(RequestRefused) as refused:
            decode_json(body, Body)
        assert refused.value.kind.slug == "malformed-json"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b'{"name": 1}', "Expected `str`, got `int` - at `$.name`"),
            (b"[]", "Expected `object`, got `array`"),
            (b"{}", "Object missing required field `name`"),
            (b'{"name": "x", "x": 1}', "Object contains unknown field `x`"),
            (b'{"name": 1e400}', "Number out of range"),
        ],
    )
    def test_what_is_of_another_shape_is_told_where(
        self, body: bytes, told: str
    ) -> None:
        with pytest.raises(RequestRefused) as refused:
            decode_json(body, Body)
        assert refused.value.kind.slug == "invalid-body"
        assert str(refused.value).startswith(told)

    def test_what_was_sent_is_not_repeated(self) -> None:
        for body in (
            b'{"-----BEGIN PRIVATE KEY----- secret": 1}',
            b'{"mode": "secret"}',
            b'{"mode": "secret` - at `$.mode`"}',
        ):
            with pytest.raises(RequestRefused) as refused:
                decode_json(body, Chosen)
            assert "secret" not in str(refused.value)


class TestQueries:
    def test_known_parameters_are_read(self) -> None:
        assert read_query(get("/?a=1&b=x%20y"), "a", "b")["b"] == "x y"
        assert read_flag(read_query(get("/?a=true"), "a"), "a")
        assert not read_flag(read_query(get("/?a=false"), "a"), "a")
        assert not read_flag({}, "a")

    @pytest.mark.parametrize("target", ["/?c=1", "/?a=1&a=1", "/?a=1&a=2", "/?A=1"])
    def test_others_are_refused(self, target: str) -> None:
        with pytest.raises(RequestRefused):
            read_query(get(target), "a", "b")

    @pytest.mark.parametrize("word", ["", "1", "True", "yes", "true "])
    def test_a_flag_is_true_or_false(self, word: str) -> None:
        with pytest.raises(RequestRefused):
            read_flag({"a": word}, "a")


class TestPages:
    def test_a_cursor_comes_back_as_it_was(self) -> None:
        cursor = encode_cursor(12)
        assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
        assert read_cursor({"cursor": cursor}, int) == 12
        assert read_cursor({}, int) is None

    def test_a_cursor_goes_with_its_filter(self) -> None:
        query = {"type": "a", "limit": "10"}
        cursor = encode_cursor(12, query)
        assert read_cursor({**query, "cursor": cursor, "limit": "5"}, int) == 12
        for other in ({}, {"type": "b"}, {"type": "a", "order": "desc"}):
            with pytest.raises(RequestRefused, match="another list"):
                read_cursor({**other, "cursor": cursor}, int)

    @pytest.mark.parametrize("cursor", ["", "x", "MTI=", "é", "\0", encode_cursor("a")])
    def test_another_is_refused(self, cursor: str) -> None:
        with pytest.raises(RequestRefused):
            read_cursor({"cursor": cursor}, int)

    def test_a_limit_is_bounded(self) -> None:
        assert read_limit({}) == 100
        assert read_limit({"limit": "1000"}) == 1000
        for wrong in ("0", "1001", "-1", "+1", "1.0", "", " 1", "\u0661", "99999"):
            with pytest.raises(RequestRefused):
                read_limit({"limit": wrong})


class TestIfMatch:
    def test_a_tag_is_a_version(self) -> None:
        assert etag_of(7) == '"7"'
        assert read_if_match(get("/", ("If-Match", '"7"'))) == 7

    def test_whoever_does_not_mind_says_so(self) -> None:
        assert read_if_match(get("/")) is None
        assert read_if_match(get("/", ("If-Match", "*"))) is None

    @pytest.mark.parametrize("tag", ['W/"7"', '"x"', '""', '"07"', '"-7"'])
    def test_another_tag_matches_nothing(self, tag: str) -> None:
        assert read_if_match(get("/", ("If-Match", tag))) == NO_VERSION

    @pytest.mark.parametrize("field", ["7", "", '"7', '"7", "8"', "W/7", '"7 "'])
    def test_what_is_no_tag_is_refused(self, field: str) -> None:
        with pytest.raises(RequestRefused):
            read_if_match(get("/", ("If-Match", field)))

    def test_two_fields_are_refused(self) -> None:
        with pytest.raises(RequestRefused):
            read_if_match(get("/", ("If-Match", '"7"'), ("If-Match", '"8"')))


class TestIdempotencyKeys:
    def test_a_key_is_one_word(self) -> None:
        assert read_idempotency_key(get("/")) is None
        assert read_idempotency_key(get("/", ("Idempotency-Key", "a-1"))) == "a-1"
        for wrong in ("", "a b", "x" * 129, "é"):
            with pytest.raises(RequestRefused):
                read_idempotency_key(get("/", ("Idempotency-Key", wrong)))
        twice = get("/", ("Idempotency-Key", "a"), ("Idempotency-Key", "a"))
        with pytest.raises(RequestRefused):
            read_idempotency_key(twice)

    def test_the_digest_tells_requests_apart(self) -> None:
        asked = [
            digest_of(make_mocked_request(method, target), body)
            for method in ("POST", "PUT")
            for target in ("/a", "/a?b", "/ab")
            for body in (b"", b"x", b"/ax")
        ]
        assert len(set(asked)) == 18
        again = digest_of(make_mocked_request("POST", "/a"), b"x")
        assert again == asked[1]


class TestRequestIds:
    def test_the_clients_own_is_kept(self) -> None:
        assert request_id_of(get("/", ("X-Request-Id", "a.b-c_1"))) == "a.b-c_1"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b', "é"])
    def test_unless_it_cannot_be_used(self, given: str) -> None:
        request = get("/", ("X-Request-Id", given))
        made = request_id_of(request)
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert request_id_of(request) == made


class TestAddresses:
    trusted = parse_networks(["10.0.0.0/8", "::1"])

    @pytest.mark.parametrize(
        ("peer", "forwarded", "client"),
        [
            ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", [], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
            ("::1", ["2001:db8::1"], "2001:db8::1"),
            ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", ["rubbish"], "10.0.0.1"),
            ("10.0.0.1", ["198.51.100.7, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", ["1.1.1.1," + "10.0.0.2," * 50 + "10.0.0.3"], "10.0.0.2"),
            (None, ["198.51.100.7"], "unknown"),
            ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", ["198.51.100.7:47110815"], "10.0.0.1"),
            ("10.0.0.1", ["[198.51.100.7"], "10.0.0.1"),
        ],
    )
    def test_each_trusted_proxy_vouches_for_the_one_before(
        self, peer: str | None, forwarded: list[str], client: str
    ) -> None:
        assert client_address(peer, forwarded, self.trusted) == client

    def test_a_network_is_written_as_one(self) -> None:
        with pytest.raises(ValueError, match="proxy"):
            parse_networks(["proxy.example"])
