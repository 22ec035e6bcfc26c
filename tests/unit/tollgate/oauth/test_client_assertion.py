"""Whom the token endpoint believes (RFC 7523, and what Segment's clients send)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.client_assertion import (
    CLIENT_ASSERTION_TYPE,
    VerifiedAssertion,
    judge_signed_assertion,
    read_assertion,
    require_signature,
)
from tollgate.oauth.errors import InvalidClient, InvalidRequest, OAuthError
from tollgate.oauth.signing_keys import SigningKey
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import client_assertion, signed

KEY = signing_key(Algorithm.RS256)
ISSUER = "https://issuer.example/oauth"
NOW = 1_795_501_617
AT = datetime.fromtimestamp(NOW, UTC)


def form(assertion: str, **parameters: str) -> Mapping[str, str]:
    return {
        "client_assertion_type": CLIENT_ASSERTION_TYPE,
        "client_assertion": assertion,
    } | parameters


def assertion(**claims: object) -> str:
    return client_assertion(KEY, client_id="app_1", issuer=ISSUER, now=NOW, **claims)


def verified(
    text: str, *, arrived_at: float = NOW, **parameters: str
) -> VerifiedAssertion:
    return verified_with(KEY, form(text, **parameters), arrived_at)


def verified_with(
    key: SigningKey, shown: Mapping[str, str], arrived_at: float = NOW
) -> VerifiedAssertion:
    """By the steps of the issuer, in their order."""
    unverified = read_assertion(shown)
    require_signature(unverified, key.public)
    return judge_signed_assertion(unverified, issuer=ISSUER, arrived_at=arrived_at)


def refusal(text: str, **parameters: str) -> OAuthError:
    with pytest.raises(OAuthError) as refused:
        verified(text, **parameters)
    return refused.value


class TestWhatClientsSend:
    def test_the_python_sdk(self) -> None:
        believed = verified(assertion(jti="jti-1"))
        assert believed == VerifiedAssertion(
            client_id="app_1",
            kid=KEY.kid,
            jti="jti-1",
            expires_at=AT + timedelta(seconds=55 + 10),
        )

    def test_the_node_sdk_after_its_first_request(self) -> None:
        """A slash behind the issuer, and fractions of a second."""
        believed = verified(
            assertion(aud=ISSUER + "/", iat=NOW - 5 + 0.181, exp=NOW + 55 + 0.181)
        )
        assert believed.expires_at == AT + timedelta(seconds=65.181)

    def test_the_sample_script(self) -> None:
        """Dates as strings, and a small random number for a jti."""
        believed = verified(assertion(iat=str(NOW), exp=str(NOW + 60), jti="7"))
        assert believed.jti == "7"

    @pytest.mark.parametrize("iss", [None, "app_1", ISSUER, ISSUER + "/"])
    def test_the_issuer_may_be_the_client_or_us_or_left_out(
        self, iss: str | None
    ) -> None:
        assert verified(assertion(iss=iss))

    @pytest.mark.parametrize("aud", [ISSUER, ISSUER + "/", [ISSUER], [ISSUER + "/"]])
    def test_the_audience_is_us(self, aud: object) -> None:
        assert verified(assertion(aud=aud))

    @pytest.mark.parametrize(
        "typ",
        [None, "JWT", "jwt", "client-authentication+jwt", "application/JWT"],
    )
    def test_the_type_is_that_of_an_assertion_or_left_out(
        self, typ: str | None
    ) -> None:
        claims = {"sub": "app_1", "aud": ISSUER, "exp": NOW + 55, "jti": "1"}
        assert verified(signed(KEY, claims, typ=typ))

    def test_the_client_id_may_be_repeated(self) -> None:
        assert verified(assertion(), client_id="app_1")

    @pytest.mark.parametrize("alg", list(Algorithm))
    def test_every_kind_of_key(self, alg: Algorithm) -> None:
        key = signing_key(alg)
        text = client_assertion(key, client_id="app_1", issuer=ISSUER, now=NOW)
        assert verified_with(key, form(text))


class TestRead:
    def test_it_says_whose_it_claims_to_be(self) -> None:
        unverified = read_assertion(form(assertion()))
        assert (unverified.client_id, unverified.kid) == ("app_1", KEY.kid)

    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {"client_id": "app_1"},
            {"client_assertion_type": CLIENT_ASSERTION_TYPE},
            {"client_assertion": "e30.e30.e30"},
            form("e30.e30.e30") | {"client_assertion_type": "urn:other"},
            form("e30.e30.e30")
            | {"client_assertion_type": CLIENT_ASSERTION_TYPE.upper()},
            form(""),
            form("rubbish"),
            form("é.é.é"),
        ],
    )
    def test_no_authentication_is_refused(self, parameters: Mapping[str, str]) -> None:
        with pytest.raises(InvalidClient):
            read_assertion(parameters)

    def test_two_ways_of_authentication_are_refused(self) -> None:
        with pytest.raises(InvalidClient, match="one way"):
            read_assertion(form(assertion(), client_secret="s3cret"))

    def test_another_client_id_is_refused(self) -> None:
        with pytest.raises(InvalidClient, match="sub"):
            read_assertion(form(assertion(), client_id="app_2"))

    def test_two_assertions_are_refused(self) -> None:
        for separator in (" ", ",", ""):
            both = separator.join([assertion(), assertion()])
            with pytest.raises(InvalidClient):
                read_assertion(form(both))

    def test_an_assertion_without_kid_is_refused(self) -> None:
        claims = {"sub": "app_1", "aud": ISSUER, "exp": NOW + 55, "jti": "1"}
        with pytest.raises(InvalidClient, match="kid"):
            read_assertion(form(signed(KEY, claims, kid=None)))

    @pytest.mark.parametrize("missing", ["sub", "aud", "exp", "jti"])
    def test_a_claim_that_is_needed_is_missed(self, missing: str) -> None:
        with pytest.raises(InvalidClient, match="with sub, aud, exp and jti"):
            read_assertion(form(assertion(**{missing: None})))

    @pytest.mark.parametrize("name", ["sub", "jti"])
    @pytest.mark.parametrize("value", ["", "a\0b", "x" * 256, 7, [], True])
    def test_an_identifier_is_fit_to_be_stored(self, name: str, value: object) -> None:
        with pytest.raises(InvalidClient):
            read_assertion(form(assertion(iss=None, **{name: value})))

    @pytest.mark.parametrize("date", ["exp", "iat", "nbf"])
    @pytest.mark.parametrize(
        "text",
        [
            "true",
            "null",
            "NaN",
            "Infinity",
            "1e400",
            "-1",
            "[]",
            '""',
            '"+1795501677"',
            '" 1795501677"',
            '"1795501677 "',
            '"1795501677\\n"',
            '"1_795_501_677"',
            '"1795501677.5"',
            '"1e9"',
            '"-1"',
            '"٢٢٢"',
            '"²"',
            '"0x6b05"',
            '"NaN"',
            f'"{"9" * 13}"',
            "9" * 400,
        ],
    )
    def test_a_date_is_a_number_or_ascii_digits(self, date: str, text: str) -> None:
        claims = {"sub": "app_1", "aud": ISSUER, "exp": NOW + 55, "jti": "1"}
        claims.pop(date, None)
        document = json.dumps(claims)[:-1] + f', "{date}": {text}}}'
        with pytest.raises(InvalidClient):
            read_assertion(form(signed(KEY, document.encode())))

    def test_a_claim_written_twice_is_refused(self) -> None:
        claims = {"sub": "app_1", "aud": ISSUER, "exp": NOW + 55, "jti": "1"}
        document = json.dumps(claims)[:-1] + ', "sub": "app_2"}'
        with pytest.raises(InvalidClient):
            read_assertion(form(signed(KEY, document.encode())))


class TestVerify:
    def test_a_wrong_signature_tells_nothing_else(self) -> None:
        """Not even that the token is expired: it may be a guess."""
        stranger = signing_key(Algorithm.RS256, nth=1)
        for claims in ({}, {"exp": NOW - 500, "iat": NOW - 560}, {"aud": "x"}):
            forged = client_assertion(
                stranger, client_id="app_1", issuer=ISSUER, now=NOW, **claims
            )
            told = refusal(forged)
            assert isinstance(told, InvalidClient)
            assert told.description == "client authentication failed"

    @pytest.mark.parametrize(
        "aud",
        [
            "",
            "https://issuer.example",
            ISSUER + "//",
            ISSUER + "/token",
            ISSUER.upper(),
            ISSUER + "#",
            [],
            [ISSUER, ISSUER],
            [ISSUER, ISSUER + "/"],
            [ISSUER, "https://evil.example"],
        ],
    )
    def test_no_other_audience_is_taken(self, aud: object) -> None:
        told = refusal(assertion(aud=aud))
        assert isinstance(told, InvalidClient)
        assert "aud" in told.description

    @pytest.mark.parametrize(
        "iss", ["", "app_2", "https://evil.example", ISSUER + "//"]
    )
    def test_no_other_issuer_is_taken(self, iss: str) -> None:
        assert "iss" in refusal(assertion(iss=iss)).description

    @pytest.mark.parametrize(
        "typ",
        ["at+jwt", "application/at+jwt", "dpop+jwt", "JWE", "", "logout+jwt", "JWT "],
    )
    def test_a_token_of_another_type_is_no_assertion(self, typ: str) -> None:
        claims = {"sub": "app_1", "aud": ISSUER, "exp": NOW + 55, "jti": "1"}
        assert "typ" in refusal(signed(KEY, claims, typ=typ)).description


class TestTime:
    @pytest.mark.parametrize(
        "claims",
        [
            {"iat": NOW, "exp": NOW + 60},
            {"iat": NOW + 10, "exp": NOW + 70},
            {"iat": NOW - 60, "exp": NOW},
            {"iat": NOW - 69, "exp": NOW - 9.5},
            {"iat": NOW, "exp": NOW + 70},
            {"iat": None, "exp": NOW + 70},
            {"iat": None, "exp": NOW - 9},
            {"nbf": NOW + 10},
            {"nbf": str(NOW)},
            {"nbf": 0},
        ],
    )
    def test_it_is_short_lived_and_of_now(self, claims: dict[str, object]) -> None:
        assert verified(assertion(**claims))

    @pytest.mark.parametrize(
        ("claims", "description"),
        [
            ({"iat": NOW - 71, "exp": NOW - 11}, "Token is expired"),
            ({"iat": NOW - 70, "exp": NOW - 10}, "Token is expired"),
            ({"iat": NOW - 3660, "exp": NOW - 3600}, "Token is expired"),
            ({"iat": None, "exp": NOW - 3600}, "Token is expired"),
            ({"iat": None, "exp": 0}, "Token is expired"),
            ({"iat": str(NOW - 660), "exp": str(NOW - 600)}, "Token is expired"),
            ({"iat": NOW + 11, "exp": NOW + 71}, "Token used before issued"),
            ({"iat": NOW + 3600, "exp": NOW + 3660}, "Token used before issued"),
            ({"nbf": NOW + 11}, "Token used before issued"),
        ],
    )
    def test_a_wrong_clock_is_told_in_the_words_the_sdk_waits_for(
        self, claims: dict[str, object], description: str
    ) -> None:
        told = refusal(assertion(**claims))
        assert isinstance(told, InvalidRequest)
        assert (told.status, told.error) == (400, "invalid_request")
        assert told.description == description

    @pytest.mark.parametrize(
        "claims",
        [
            {"iat": NOW, "exp": NOW + 71},
            {"iat": NOW - 3600, "exp": NOW + 1},
            {"iat": NOW - 7200, "exp": NOW - 3600},
            {"iat": NOW, "exp": NOW},
            {"iat": NOW, "exp": NOW - 1},
            {"iat": None, "exp": NOW + 71},
            {"iat": None, "exp": NOW + 10**9},
            {"iat": NOW, "exp": "999999999999"},
        ],
    )
    def test_a_long_life_is_no_matter_of_the_clock(
        self, claims: dict[str, object]
    ) -> None:
        told = refusal(assertion(**claims))
        assert isinstance(told, InvalidClient)

    def test_another_fault_is_told_before_the_time(self) -> None:
        """A client that only sets its clock would ask again for ever."""
        late = {"iat": NOW - 660, "exp": NOW - 600}
        assert isinstance(refusal(assertion(aud="x", **late)), InvalidClient)
        assert isinstance(refusal(assertion(iss="x", **late)), InvalidClient)

    @given(
        st.integers(-10_000, 10_000) | st.floats(-1e4, 1e4),
        st.integers(-10_000, 10_000) | st.floats(-1e4, 1e4),
    )
    def test_whatever_is_believed_is_over_within_eighty_seconds(
        self, iat: float, exp: float
    ) -> None:
        try:
            believed = verified(assertion(iat=NOW + iat, exp=NOW + exp))
        except OAuthError:
            return
        assert AT < believed.expires_at <= AT + timedelta(seconds=80)
