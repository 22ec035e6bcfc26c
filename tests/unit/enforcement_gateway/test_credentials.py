"""What a request shows beside its body."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcement_gateway.credentials import (
    NONE,
    Authorization,
    Query,
    function_of,
    pixel_write_keys,
    read_authorization,
    read_query,
)
from enforcement_gateway.domain.denials import Reason, Refused
from enforcement_gateway.http.framing import Field, Kind

WRITE_KEYS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=":"),
    min_size=8,
    max_size=40,
)


def authorization(value: bytes) -> Authorization:
    line = b"Authorization: " + value
    return read_authorization(Field(line, b"authorization", value, Kind.AUTHORIZATION))


def basic(credentials: bytes) -> bytes:
    return b"Basic " + base64.b64encode(credentials)


class TestBearer:
    @pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
    def test_the_token_is_taken(self, scheme: bytes) -> None:
        read = authorization(scheme + b"a.b-c_d~e+f/g==")
        assert read == Authorization(token=b"a.b-c_d~e+f/g==", ours=True)

    @pytest.mark.parametrize(
        "value",
        [
            b"Bearer",
            b"Bearer ",
            b"Bearer\ttoken",
            b"Bearer a b",
            b"Bearer a, Bearer b",
            b"Bearer a,b",
            b'Bearer "a"',
            b"Bearer a=b",
            b"Bearer \xff",
            b"bearer,",
        ],
    )
    def test_anything_else_is_malformed_and_still_ours(self, value: bytes) -> None:
        read = authorization(value)
        assert read == Authorization(token=Reason.CREDENTIALS_MALFORMED, ours=True)

    @pytest.mark.parametrize(
        "value", [b"DPoP token", b"Digest a=b", b"Bearertoken", b"", b"token"]
    )
    def test_another_scheme_is_nothing_to_us(self, value: bytes) -> None:
        assert authorization(value) == NONE
        assert NONE.token is Reason.TOKEN_MISSING
        assert not NONE.ours

    def test_no_field_is_no_token(self) -> None:
        assert read_authorization(None) == NONE


class TestBasic:
    @pytest.mark.parametrize(
        "credentials", [b"key:", b"key", b"key:\n", b"key:secret:more", b"key:\xff"]
    )
    def test_the_user_is_the_write_key_whatever_the_password(
        self, credentials: bytes
    ) -> None:
        assert authorization(basic(credentials)).write_key == "key"

    @given(WRITE_KEYS)
    def test_any_write_key_can_be_sent(self, write_key: str) -> None:
        read = authorization(basic(f"{write_key}:".encode()))
        assert read == Authorization(write_key=write_key)

    @pytest.mark.parametrize(
        "value",
        [
            b"Basic",
            b"Basic ",
            b"Basic a2V5Og",
            b"Basic a2V5Og=",
            b"Basic a2V5Og===",
            b"Basic a2V5 Og==",
            b"Basic a2V5Og==, Bearer t",
            b"Basic a2V5\xffOg==",
            b"Basic a2V5-g==",
            basic(b""),
            basic(b":key"),
            basic(b"k\x00y:"),
            basic(b"k\ny:"),
            basic("ké:".encode()),
        ],
    )
    def test_what_another_might_read_is_refused(self, value: bytes) -> None:
        with pytest.raises(Refused) as refused:
            authorization(value)
        assert refused.value.reason is Reason.CREDENTIALS_MALFORMED


class TestQuery:
    def test_what_concerns_us_is_found(self) -> None:
        query = b"a=1&writeKey=k%2D1&data=eyJ9&b=c2%3D&access_token=t&&=&c"
        assert read_query(query) == Query(
            write_key="k-1", carries_token=True, data=b"eyJ9", function=b"c2%3D"
        )

    @pytest.mark.parametrize("query", [None, b"", b"a=b", b"key=k", b"xwriteKey=k"])
    def test_nothing_is_nothing(self, query: bytes | None) -> None:
        assert read_query(query) == Query()

    @given(WRITE_KEYS)
    def test_any_write_key_can_be_sent_escaped(self, write_key: str) -> None:
        read = read_query(b"writeKey=" + quote(write_key, safe="").encode())
        assert read.write_key == write_key

    @pytest.mark.parametrize(
        "query",
        [
            b"writekey=k",
            b"WRITEKEY=k",
            b"write%4Bey=k",
            b"%77riteKey=k",
            b"write%E2%84%AAey=k",
            b"wr%C4%B1teKey=k",
            b"WR%C4%B0TEKEY=k",
            b"writeKey=k&writeKey=k",
            b"writeKey=k&WriteKey=l",
            b"writeKey&writeKey=k",
            b"a=1;writeKey=k",
            b"writeKey=k;b=1",
            b"Data=x",
            b"data=x&data=y",
            b"B=x",
            b"b=x&%62=y",
            b"ACCESS_TOKEN=t",
            b"acce%C5%BFs_token=t",
            b"access_token=t&access_token=u",
            b"writeKey=a+b",
            b"writeKey=%00",
            b"writeKey=k%0a",
            b"writeKey=%ff",
            b"writeKey=%C3%A9",
        ],
    )
    def test_what_could_be_read_in_two_ways_is_refused(self, query: bytes) -> None:
        with pytest.raises(Refused) as refused:
            read_query(query)
        assert refused.value.reason is Reason.BODY_UNREADABLE


def encoded(text: bytes) -> list[bytes]:
    """All that may stand in a query for `text` in base64."""
    standard, url_safe = base64.b64encode(text), base64.urlsafe_b64encode(text)
    return [
        quote(form, safe="").encode()
        for padded in (standard, url_safe)
        for form in (padded.decode(), padded.rstrip(b"=").decode())
    ]


class TestPixel:
    @given(WRITE_KEYS)
    def test_its_payload_is_read_like_a_body(self, write_key: str) -> None:
        payload = json.dumps({"writeKey": write_key, "x": "??>>"}).encode()
        for data in encoded(payload):
            assert pixel_write_keys(data) == (write_key,)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"!",
            b"e30 ",
            b"e30+",
            b"e3%00",
            b"e",
            b"e30=e30=",
            b"Pz8_Pj4%2B",  # both alphabets at once
            b"eyJXcml0ZUtleSI6ImsifQ",
            b"W10",
        ],
    )
    def test_what_cannot_be_read_for_certain_is_refused(self, data: bytes) -> None:
        with pytest.raises(Refused) as refused:
            pixel_write_keys(data)
        assert refused.value.reason is Reason.BODY_UNREADABLE


class TestFunction:
    @given(WRITE_KEYS)
    def test_its_address_names_source_and_key(self, write_key: str) -> None:
        for pair in encoded(f"src_1::{write_key}".encode()):
            assert function_of(pair) == ("src_1", write_key)

    def test_the_source_may_be_missing(self) -> None:
        assert function_of(base64.b64encode(b"::key")) == ("", "key")

    @pytest.mark.parametrize(
        "pair",
        [
            b"",
            b"src:key",
            b"src::",
            b"::",
            b"src::k\x00",
            b"s\n::key",
            "ü::key".encode(),
        ],
    )
    def test_an_address_that_is_none_is_refused(self, pair: bytes) -> None:
        with pytest.raises(Refused):
            function_of(base64.b64encode(pair))
