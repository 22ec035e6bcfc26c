"""Refusals fit their bodies and headers; scopes are sets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth import errors
from tollgate.oauth.challenges import Challenge, challenge_of
from tollgate.oauth.errors import (
    ErrorBody,
    InsufficientScope,
    InvalidRequest,
    InvalidScope,
    InvalidToken,
    OAuthError,
    TokenIsExpired,
    TokenUsedBeforeIssued,
)
from tollgate.oauth.scopes import (
    DEFAULT_AUDIENCES,
    Scope,
    audiences_of,
    format_scope,
    parse_scope,
)

REGISTERED = {  # IANA OAuth Extensions Error Registry
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "unsupported_token_type",
    "invalid_token",
    "insufficient_scope",
    "temporarily_unavailable",
    "server_error",
}
OUTSIDE = ["", 'say "no"', "back\\slash", "line\nbreak", "tab\t", "\0", "é", "\x7f"]


class TestErrors:
    def test_every_error_has_a_registered_code(self) -> None:
        declared = [
            member
            for member in vars(errors).values()
            if isinstance(member, type) and issubclass(member, OAuthError)
        ]
        assert {
            member.error for member in declared if member is not OAuthError
        } == REGISTERED

    def test_the_body_has_both_members(self) -> None:
        body = InvalidRequest("grant_type is missing").body
        assert body == ErrorBody("invalid_request", "grant_type is missing")

    @pytest.mark.parametrize("description", OUTSIDE)
    def test_a_description_is_printable_ascii_without_quotes(
        self, description: str
    ) -> None:
        with pytest.raises(ValueError, match="RFC 6749"):
            InvalidRequest(description)

    def test_the_words_that_the_python_sdk_compares_with(self) -> None:
        assert TokenIsExpired().body == ErrorBody("invalid_request", "Token is expired")
        assert TokenUsedBeforeIssued().body == ErrorBody(
            "invalid_request", "Token used before issued"
        )


class TestChallenges:
    def test_no_credential_gets_no_error_code(self) -> None:
        assert challenge_of(None, realm="tollgate").to_header() == (
            'Bearer realm="tollgate"'
        )

    def test_a_bad_token_gets_its_error(self) -> None:
        challenge = challenge_of(
            InvalidToken("the token is expired"), realm="tollgate", scopes=["a"]
        )
        assert challenge.to_header() == (
            'Bearer realm="tollgate", error="invalid_token", '
            'error_description="the token is expired"'
        )

    def test_a_missing_scope_is_named(self) -> None:
        challenge = challenge_of(
            InsufficientScope("the scope is missing"), realm="t", scopes=["b", "a"]
        )
        assert challenge.to_header() == (
            'Bearer realm="t", error="insufficient_scope", '
            'error_description="the scope is missing", scope="a b"'
        )

    @given(st.text(max_size=10))
    def test_nothing_breaks_out_of_its_quotes(self, text: str) -> None:
        try:
            header = Challenge(realm=text, error="invalid_token").to_header()
        except ValueError:
            return
        assert re.fullmatch(r'Bearer realm="[^"\\]*", error="invalid_token"', header)
        assert header.isascii()
        assert header.isprintable()


class TestScopes:
    def test_order_means_nothing(self) -> None:
        assert parse_scope("b a") == parse_scope("a b a") == {"a", "b"}
        assert format_scope(["b", "a"]) == format_scope({"a", "b"}) == "a b"

    def test_case_does(self) -> None:
        assert parse_scope("Tracking_API:write").isdisjoint(Scope)

    @pytest.mark.parametrize(
        "text", [*OUTSIDE, " ", " a", "a ", "a  b", "a\tb", "a\n", "\u00a0", "a\u2003b"]
    )
    def test_what_has_not_the_grammar_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidScope):
            parse_scope(text)

    def test_every_scope_opens_a_door(self) -> None:
        assert set(DEFAULT_AUDIENCES) == set(Scope)

    def test_doors_are_named_once_and_in_order(self) -> None:
        assert audiences_of(["functions:write", "tracking_api:write"]) == (
            "urn:tollgate:tracking-api",
            "urn:tollgate:functions",
        )
        one_door = dict.fromkeys(Scope, "urn:one")
        assert audiences_of(Scope, one_door) == ("urn:one",)

    def test_an_unknown_scope_opens_none(self) -> None:
        with pytest.raises(InvalidScope):
            audiences_of(["tracking_api:write", "admin"])

    @given(
        st.sets(
            st.text(
                st.characters(codec="ascii", min_codepoint=0x23, max_codepoint=0x5B),
                min_size=1,
            ),
            min_size=1,
        )
    )
    def test_what_is_formatted_is_read_back(self, scopes: set[str]) -> None:
        assert parse_scope(format_scope(scopes)) == scopes
