"""What an Authorization field says, to the letter."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth.basic import NoBasic, read_basic_user
from tollgate.oauth.bearer import NoBearer, read_bearer


class TestBearer:
    @pytest.mark.parametrize(
        ("field", "token"),
        [
            ("Bearer abc", "abc"),
            ("bearer abc", "abc"),
            ("BEARER  abc", "abc"),
            ("Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
        ],
    )
    def test_a_token_is_read(self, field: str, token: str) -> None:
        assert read_bearer([field]) == token

    @pytest.mark.parametrize(
        "field",
        [
            "Bearer",
            "Bearer ",
            "Bearer\tabc",
            "Bearer abc def",
            "Bearer abc,def",
            "Bearer abc, Basic eA==",
            'Bearer "abc"',
            "Bearer abc ",
            "Bearer abc\n",
            "Bearer =abc",
            "Bearer ab=c",
            "Bearer é",
            "Bearer token=abc",
            "Bearer\0abc",
        ],
    )
    def test_what_has_not_the_grammar_is_no_token(self, field: str) -> None:
        assert isinstance(read_bearer([field]), NoBearer)

    def test_each_reason(self) -> None:
        assert read_bearer([]) is NoBearer.ABSENT
        assert read_bearer([""]) is NoBearer.OTHER_SCHEME
        assert read_bearer(["Basic eDo="]) is NoBearer.OTHER_SCHEME
        assert read_bearer(["DPoP abc"]) is NoBearer.OTHER_SCHEME
        assert read_bearer(["Bearerabc"]) is NoBearer.OTHER_SCHEME
        assert read_bearer(["Bearer"]) is NoBearer.MALFORMED
        assert read_bearer(["Bearer a b"]) is NoBearer.MALFORMED
        assert read_bearer(["Bearer a", "Bearer a"]) is NoBearer.REPEATED
        assert read_bearer(["Basic eDo=", "Bearer a"]) is NoBearer.REPEATED

    @given(st.text(max_size=20))
    def test_any_text_is_read(self, text: str) -> None:
        token = read_bearer([f"Bearer {text}"])
        assert isinstance(token, NoBearer) or text.strip(" ") == token


def basic(credentials: bytes) -> str:
    return "Basic " + b64encode(credentials).decode()


class TestBasic:
    @pytest.mark.parametrize(
        "credentials",
        [b"key:", b"key:\n", b"key: ", b"key:pass:word", b"key", b"key:\xff"],
    )
    def test_the_write_key_is_the_user_whatever_the_password(
        self, credentials: bytes
    ) -> None:
        assert read_basic_user(basic(credentials)) == "key"

    def test_the_scheme_has_no_case(self) -> None:
        assert read_basic_user("bAsIc a2V5Og==") == "key"

    @pytest.mark.parametrize(
        "field",
        [
            "Basic",
            "Basic ",
            "Basic a2V5Og",
            "Basic a2V5Og=",
            "Basic a2V5Og== ",
            "Basic a2V5Og==\n",
            "Basic a2V5Og===",
            "Basic a2V5 Og==",
            "Basic a2V5Og==, Bearer x",
            "Basic _-V5Og==",
            "Basic\ta2V5Og==",
            basic(b":"),
            basic(b":password"),
            basic("schlüssel:".encode()),
            basic(b"a\0b:"),
            basic(b"a\nb:"),
        ],
    )
    def test_what_is_not_clearly_a_user_is_malformed(self, field: str) -> None:
        assert read_basic_user(field) is NoBasic.MALFORMED

    def test_other_schemes_are_not_looked_at(self) -> None:
        for field in ("", "Bearer a2V5Og==", "Bas", "a2V5Og=="):
            assert read_basic_user(field) is NoBasic.OTHER_SCHEME

    @given(st.text(max_size=20))
    def test_any_text_is_read(self, text: str) -> None:
        user = read_basic_user(f"Basic {text}")
        assert isinstance(user, NoBasic) or user.isascii()
