"""What a new access token says, and what is recorded of it."""

from datetime import UTC, datetime, timedelta

import pytest

from token_issuer.access_tokens import MAX_LIFETIME, MintedToken, TokenDrafts
from tollgate.oauth.access_tokens import VerifiedAccessToken, verify_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.claims import decode_access_token_claims
from tollgate.oauth.jws import decode
from tollgate.oauth.scopes import DEFAULT_AUDIENCES, Scope
from tollgate.registry.oauth_app import AppKey, OAuthApp
from tollgate.testing.keys import signing_key

ISSUER = "https://issuer.example"
NOW = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)
SECOND = datetime(2026, 1, 1, 12, tzinfo=UTC)
APP = OAuthApp(id="app_1", version=2, token_lifetime=86_400)
KEY = AppKey(kid="k", name="key", alg="RS256", pem="PEM", version=2)


def minted(
    app: OAuthApp = APP,
    *,
    scopes: frozenset[str] = frozenset({Scope.TRACKING_API_WRITE}),
    alg: Algorithm = Algorithm.ES256,
) -> MintedToken:
    key = signing_key(alg)
    drafted = TokenDrafts(ISSUER, DEFAULT_AUDIENCES).draft(
        app=app,
        key=KEY,
        scopes=scopes,
        rev=7,
        signing_key=key.public,
        now=NOW,
    )
    return drafted.signed(key.sign(drafted.to_sign))


@pytest.mark.parametrize("alg", [Algorithm.ES256, Algorithm.RS256])
def test_it_says_who_may_do_what_until_when(alg: Algorithm) -> None:
    """RFC 9068 §2.2, and the claims by which revocations are ordered."""
    token = minted(alg=alg)

    jws = decode(token.text)
    claims = decode_access_token_claims(jws.payload)
    assert (jws.header.typ, jws.header.alg) == ("at+jwt", alg.value)
    assert jws.header.kid == signing_key(alg).kid
    assert claims.iss == ISSUER
    assert claims.sub == claims.client_id == "app_1"
    assert claims.aud == ("urn:tollgate:tracking-api",)
    assert claims.scope == "tracking_api:write"
    assert claims.iat == SECOND.timestamp()
    assert claims.exp == (SECOND + timedelta(days=1)).timestamp()
    assert claims.key == "k/2"
    assert claims.rev == 7


@pytest.mark.parametrize("alg", [Algorithm.ES256, Algorithm.RS256])
def test_whoever_has_the_public_key_can_verify_it(alg: Algorithm) -> None:
    key = signing_key(alg)

    verified = verify_access_token(
        minted(alg=alg).text,
        keys={key.kid: key.public},
        issuer=ISSUER,
        audiences={"urn:tollgate:tracking-api"},
    )

    assert isinstance(verified, VerifiedAccessToken)


def test_scopes_of_several_doors_name_each_door() -> None:
    token = minted(scopes=frozenset({Scope.FUNCTIONS_WRITE, Scope.TRACKING_API_WRITE}))

    assert set(token.issued.aud) == {
        "urn:tollgate:tracking-api",
        "urn:tollgate:functions",
    }
    assert token.issued.scopes == ("functions:write", "tracking_api:write")


def test_what_is_recorded_is_what_the_token_says() -> None:
    token = minted()

    claims = decode_access_token_claims(decode(token.text).payload)
    issued = token.issued
    assert (issued.jti, issued.key, issued.rev) == (claims.jti, claims.key, claims.rev)
    assert issued.issued_at.timestamp() == claims.iat
    assert issued.expires_at.timestamp() == claims.exp
    assert issued.signing_kid == signing_key(Algorithm.ES256).kid


def test_no_two_tokens_have_one_name() -> None:
    names = {minted().issued.jti for _ in range(50)}

    assert len(names) == 50
    assert min(map(len, names)) >= 22  # 128 bits and more in base64url


@pytest.mark.parametrize("lifetime", [MAX_LIFETIME + 1, 49 * 86_400, 10**9])
def test_no_token_lives_for_49_days_whatever_the_app_says(lifetime: int) -> None:
    """Node.js clients put half of it into a timer of 31 bits of milliseconds."""
    token = minted(OAuthApp(id="app_1", version=2, token_lifetime=lifetime))

    claims = decode_access_token_claims(decode(token.text).payload)
    assert token.lifetime == claims.exp - claims.iat == 30 * 86_400


def test_nothing_shows_the_token_by_accident() -> None:
    token = minted()

    assert token.text not in repr(token)
