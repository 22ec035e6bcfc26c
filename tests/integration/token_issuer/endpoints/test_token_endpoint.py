"""POST /token: what clients get, and what they are told (RFC 6749 §4.4, RFC 7523)."""

import asyncio
import base64
import gzip
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from token_issuer.settings import Settings
from token_issuer.testing.issuer import ISSUER, Answer, IssuerUnderTest, serving
from token_issuer.testing.registry import (
    DAY,
    RegisteredApp,
    RegistryStandIn,
    key_added,
)
from tollgate.eventlog import EventLog
from tollgate.events.issuance import issuance_decoder
from tollgate.events.registry import (
    KeyDeleted,
    OAuthAppDeleted,
    ScopesChanged,
    TokenLifetimeChanged,
)
from tollgate.oauth.access_tokens import VerifiedAccessToken, verify_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.client_assertion import CLIENT_ASSERTION_TYPE
from tollgate.oauth.jwks import parse_jwk_set
from tollgate.oauth.scopes import Scope
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import client_assertion, compact, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")


def assert_refused(
    answer: Answer,
    error: str,
    description: str | None = None,
    *,
    status: int | None = None,
) -> None:
    """RFC 6749 §5.2, and what the SDKs need beyond it."""
    expected = 401 if error == "invalid_client" else 400
    assert answer.status == (status or expected), answer.body
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["error"] == error, answer.json
    assert set(answer.json) == {"error", "error_description"}
    if description is not None:
        assert answer.json["error_description"] == description
    said = answer.json["error_description"]
    assert said
    assert all(" " <= letter <= "~" and letter not in '"\\' for letter in said)
    assert_dated(answer)
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"]


def assert_dated(answer: Answer) -> None:
    """Both SDKs set their clock by it; Python's reads IMF-fixdate only."""
    date = parsedate_to_datetime(answer.headers["Date"])
    assert answer.headers["Date"].endswith(" GMT")
    assert abs(date - datetime.now(UTC)) < timedelta(seconds=5)


async def verified(issuer: IssuerUnderTest, answer: Answer) -> VerifiedAccessToken:
    """The token in `answer`, checked as a gateway that knows only the JWK Set would."""
    keys = parse_jwk_set((await issuer.get("/.well-known/jwks.json")).body)
    token = verify_access_token(
        answer.json["access_token"], keys=keys, issuer=ISSUER, audiences=None
    )
    assert isinstance(token, VerifiedAccessToken)
    return token


class TestGranted:
    async def test_an_app_gets_a_bearer_token(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.ask_for_token(app)

        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert_dated(answer)
        assert set(answer.json) == {
            "access_token",
            "token_type",
            "expires_in",
            "scope",
        }
        assert answer.json["token_type"] == "Bearer"
        assert answer.json["expires_in"] == DAY
        assert type(answer.json["expires_in"]) is int
        assert answer.json["scope"] == "tracking_api:write"
        token = await verified(issuer, answer)
        assert token.client_id == app.id
        assert token.exp - token.iat == DAY
        assert token.key == f"{app.key.kid}/2"

    async def test_the_token_is_on_record_before_it_is_handed_out(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        issuance_log: EventLog,
    ) -> None:
        answer = await issuer.ask_for_token(app)

        token = await verified(issuer, answer)
        (recorded,) = await issuance_log.load(f"oauth_app-{app.id}")
        issued = issuance_decoder.decode(recorded)
        assert issued is not None
        assert issued.jti == token.jti  # type: ignore[attr-defined]
        assert recorded.metadata is not None
        metadata = msgspec.json.decode(recorded.metadata)
        assert metadata["actor"] == f"oauth_app-{app.id}"
        assert metadata["client_address"] == "127.0.0.1"
        assert metadata["request_id"]
        assert recorded.data is not None
        assert answer.json["access_token"].encode() not in bytes(recorded.data)

    @pytest.mark.parametrize(
        "alg",
        ["RS256", "PS256", "ES256", "ES384", "EdDSA"],
    )
    async def test_each_kind_of_client_key_works(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, alg: str
    ) -> None:
        app = await registry.add_app(key=signing_key(Algorithm(alg)))

        assert (await issuer.ask_for_token(app)).status == 200

    async def test_the_name_of_rfc_9864_works_as_well(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        app = await registry.add_app(key=signing_key(Algorithm.EDDSA))
        claims = {
            "sub": app.id,
            "aud": ISSUER,
            "exp": int(time.time()) + 50,
            "jti": "j",
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": signed(app.key, claims, alg="Ed25519"),
        }

        assert (await issuer.post_form("/token", form)).status == 200

    async def test_a_second_key_works_beside_the_first(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        await registry.append(f"oauth_app-{app.id}", key_added(second))

        answer = await issuer.ask_for_token(RegisteredApp(id=app.id, key=second))

        assert answer.status == 200
        assert (await verified(issuer, answer)).key == f"{second.kid}/3"
        assert (await issuer.ask_for_token(app)).status == 200

    async def test_several_tokens_of_an_app_live_beside_each_other(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        one, two = await issuer.token_of(app), await issuer.token_of(app)

        assert one != two
        for token in (one, two):
            assert (await issuer.introspect(app, token)).json["active"] is True

    async def test_the_lifetime_is_that_of_the_app_as_it_is_now(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
    ) -> None:
        stream = f"oauth_app-{app.id}"
        position = await registry.append(
            stream, TokenLifetimeChanged(token_lifetime=30 * DAY)
        )
        await issuer.until_registry_is_at(position)

        answer = await issuer.ask_for_token(app)

        assert answer.json["expires_in"] == 30 * DAY


class TestWhatClientsSend:
    async def test_the_python_sdk(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        """Nothing percent-encoded, a raw space between scopes."""
        app = await registry.add_app(
            scopes=(Scope.TRACKING_API_WRITE, Scope.FUNCTIONS_WRITE)
        )
        body = (
            "grant_type=client_credentials"
            f"&client_assertion_type={CLIENT_ASSERTION_TYPE}"
            f"&client_assertion={issuer.assertion(app)}"
            "&scope=tracking_api:write functions:write"
        )

        answer = await issuer.request(
            "POST",
            "/token",
            data=body.encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "User-Agent": "python-requests/2.32.3",
            },
        )

        assert answer.status == 200
        assert answer.json["scope"] == "functions:write tracking_api:write"

    async def test_node_with_a_slash_at_the_end_of_its_auth_server(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """The slash doubles in the path and stays in `aud`; times are fractions."""
        now = time.time()
        form = issuer.token_form(
            app,
            aud=f"{ISSUER}/",
            iat=round(now - 5.3, 3),
            exp=round(now + 54.7, 3),
        )

        answer = await issuer.post_form("//token", form)

        assert answer.status == 200

    async def test_the_sample_script(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """Times are strings, `jti` is a small number, the JSON has spaces in it."""
        now = int(time.time())
        payload = (
            f'{{"iss": "{app.id}", "sub": "{app.id}", "aud": "{ISSUER}", '
            f'"iat": "{now}", "exp": "{now + 60}", "jti": "17"}}'
        )
        header = f'{{"alg": "RS256", "typ": "JWT", "kid": "{app.key.kid}"}}'
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": compact(
                header.encode(), payload.encode(), app.key.sign
            ),
            "scope": "tracking_api:write",
        }

        assert (await issuer.post_form("/token", form)).status == 200

    @pytest.mark.parametrize("iss", [None, ISSUER, f"{ISSUER}/"])
    async def test_the_documented_iss(
        self, issuer: IssuerUnderTest, app: RegisteredApp, iss: str | None
    ) -> None:
        """Absent, or the issuer; the SDKs send the client."""
        form = issuer.token_form(app, iss=iss)

        assert (await issuer.post_form("/token", form)).status == 200

    async def test_a_client_may_name_itself(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        assert (await issuer.ask_for_token(app, {"client_id": app.id})).status == 200

    async def test_parameters_without_value_and_unknown_ones_are_ignored(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """RFC 6749 §3.2."""
        fields = {"scope": "", "client_id": "", "resource": "x", "foo": "bar"}

        assert (await issuer.ask_for_token(app, fields)).status == 200


class TestScope:
    @pytest_asyncio.fixture(loop_scope="module")
    async def app(self, registry: RegistryStandIn) -> RegisteredApp:
        return await registry.add_app(
            scopes=(Scope.TRACKING_API_WRITE, Scope.FUNCTIONS_WRITE)
        )

    async def test_none_asked_for_is_all_of_the_app(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.ask_for_token(app)

        assert answer.json["scope"] == "functions:write tracking_api:write"
        assert (await verified(issuer, answer)).audiences == {
            "urn:tollgate:tracking-api",
            "urn:tollgate:functions",
        }

    async def test_fewer_may_be_asked_for(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.ask_for_token(app, {"scope": "functions:write"})

        assert answer.json["scope"] == "functions:write"
        token = await verified(issuer, answer)
        assert token.scopes == {"functions:write"}
        assert token.audiences == {"urn:tollgate:functions"}

    @pytest.mark.parametrize(
        "scope",
        [
            "public_api:read_write",
            "tracking_api:write public_api:read_write",
            "unknown",
            "TRACKING_API:WRITE",
            "tracking_api:write  functions:write",
            " tracking_api:write",
            'tracking_api:write"',
            "tracking_api:write\u00e9",
        ],
    )
    async def test_more_or_a_malformed_one_is_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp, scope: str
    ) -> None:
        assert_refused(
            await issuer.ask_for_token(app, {"scope": scope}), "invalid_scope"
        )

    async def test_a_refused_scope_spends_no_assertion(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        form = issuer.token_form(app)

        refused = await issuer.post_form("/token", {**form, "scope": "unknown"})

        assert_refused(refused, "invalid_scope")
        assert (await issuer.post_form("/token", form)).status == 200

    async def test_one_given_a_moment_ago_is_granted(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        every = (*Scope,)
        await registry.append(f"oauth_app-{app.id}", ScopesChanged(scopes=every))

        answer = await issuer.ask_for_token(app, {"scope": "public_api:read_write"})

        assert answer.status == 200


class TestRefusedRequest:
    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"grant_type": ""}, "invalid_request"),
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({"grant_type": "CLIENT_CREDENTIALS"}, "unsupported_grant_type"),
            ({"client_assertion": ""}, "invalid_client"),
            ({"client_assertion": "rubbish"}, "invalid_client"),
            ({"client_assertion": "a.b.c"}, "invalid_client"),
            ({"client_assertion_type": ""}, "invalid_client"),
            ({"client_assertion_type": "jwt-bearer"}, "invalid_client"),
            ({"client_secret": "s3cret"}, "invalid_client"),
            ({"client_id": "somebody"}, "invalid_client"),
        ],
    )
    async def test_parameters(
        self,
        issuer: IssuerUnderTest,
        app: RegisteredApp,
        changes: dict[str, str],
        error: str,
    ) -> None:
        assert_refused(await issuer.ask_for_token(app, changes), error)

    async def test_a_client_id_alone_is_not_enough(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """RFC 6749 §4.4: confidential clients only."""
        form = {"grant_type": "client_credentials", "client_id": app.id}

        assert_refused(await issuer.post_form("/token", form), "invalid_client")

    @pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
    async def test_a_second_way_to_authenticate_is_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp, scheme: str
    ) -> None:
        """RFC 6749 §2.3, and §5.2 for the challenge."""
        credentials = base64.b64encode(f"{app.id}:x".encode()).decode()
        answer = await issuer.post_form(
            "/token",
            issuer.token_form(app),
            headers={"Authorization": f"{scheme} {credentials}"},
        )

        assert_refused(answer, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith(scheme)

    @pytest.mark.parametrize(
        "parameter", ["grant_type", "client_assertion", "scope", "client_id"]
    )
    async def test_a_parameter_sent_twice_is_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp, parameter: str
    ) -> None:
        """RFC 6749 §3.2, also where both say the same."""
        form = {**issuer.token_form(app), "scope": "tracking_api:write"}
        form["client_id"] = app.id
        twice = [*form.items(), (parameter, form[parameter])]
        answer = await issuer.request("POST", "/token", data=twice)

        assert_refused(answer, "invalid_request")

    async def test_credentials_in_the_uri_do_not_count(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """RFC 6749 §2.3.1."""
        answer = await issuer.request(
            "POST",
            "/token",
            params=issuer.token_form(app),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

        assert_refused(answer, "invalid_request")

    @pytest.mark.parametrize(
        ("body", "content_type", "status"),
        [
            (b'{"grant_type": "client_credentials"}', "application/json", 415),
            (b"grant_type=client_credentials", "text/plain", 415),
            (b"grant_type=client_credentials", None, 415),
            (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
            (b"grant_type=%zz", "application/x-www-form-urlencoded", 400),
            (b"grant_type=%", "application/x-www-form-urlencoded", 400),
            (b"grant_type=%ff", "application/x-www-form-urlencoded", 400),
            (b"grant_type=a\x00b", "application/x-www-form-urlencoded", 400),
            (b"grant_type=\xff\xfe", "application/x-www-form-urlencoded", 400),
            (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
            (b"&" * 1000, "application/x-www-form-urlencoded", 400),
            (b"", "application/x-www-form-urlencoded", 400),
        ],
    )
    async def test_bodies(
        self,
        issuer: IssuerUnderTest,
        body: bytes,
        content_type: str | None,
        status: int,
    ) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        answer = await issuer.request(
            "POST",
            "/token",
            data=body,
            headers=headers,
            skip_auto_headers=["Content-Type"],
        )

        assert_refused(answer, "invalid_request", status=status)

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "rubbish"])
    @pytest.mark.parametrize("body", [b"rubbish", gzip.compress(b"a" * 10_000_000)])
    async def test_content_codings(
        self, issuer: IssuerUnderTest, coding: str, body: bytes
    ) -> None:
        answer = await issuer.request(
            "POST",
            "/token",
            data=body,
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Content-Encoding": coding,
            },
        )

        assert_refused(answer, "invalid_request", status=415)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
    @pytest.mark.parametrize("path", ["/token", "//token", "/revoke", "/introspect"])
    async def test_other_methods(
        self, issuer: IssuerUnderTest, method: str, path: str
    ) -> None:
        answer = await issuer.request(method, path)

        assert_refused(answer, "invalid_request", status=405)
        assert answer.headers["Allow"] == "POST"

    @pytest.mark.parametrize(
        "path", ["/", "/tokens", "/token/", "/oauth/token", "/Token", "/%74oken/x"]
    )
    async def test_other_paths(self, issuer: IssuerUnderTest, path: str) -> None:
        answer = await issuer.post_form(path, {"grant_type": "client_credentials"})

        assert_refused(answer, "invalid_request", status=404)


class TestRefusedAssertion:
    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "https://other.example"},
            {"aud": f"{ISSUER}/token"},
            {"aud": f"{ISSUER}//"},
            {"aud": ISSUER.upper()},
            {"aud": [ISSUER, "https://evil.example"]},
            {"aud": [ISSUER, ISSUER]},
            {"aud": []},
            {"aud": None},
            {"iss": "somebody"},
            {"sub": "somebody"},
            {"sub": None},
            {"jti": None},
            {"jti": ""},
            {"jti": 17},
            {"jti": "x" * 256},
            {"jti": "a\x00b"},
            {"sub": "a\x00b"},
            {"exp": None},
            {"exp": "soon"},
            {"exp": True},
            {"exp": " 99999999999"},
            {"exp": "9_9"},
            {"exp": "\u0663\u0663"},
            {"exp": 1e300},
            {"exp": -1},
        ],
    )
    async def test_claims(
        self, issuer: IssuerUnderTest, app: RegisteredApp, claims: dict[str, Any]
    ) -> None:
        form = issuer.token_form(app, **claims)

        assert_refused(await issuer.post_form("/token", form), "invalid_client")

    @pytest.mark.parametrize("beyond", [100, 3600, 10**8])
    async def test_one_that_lives_too_long(
        self, issuer: IssuerUnderTest, app: RegisteredApp, beyond: int
    ) -> None:
        form = issuer.token_form(app, exp=int(time.time()) + beyond)
        without_iat = issuer.token_form(app, exp=int(time.time()) + beyond, iat=None)

        assert_refused(await issuer.post_form("/token", form), "invalid_client")
        assert_refused(await issuer.post_form("/token", without_iat), "invalid_client")

    async def test_a_slow_clock_is_told_in_the_words_that_the_sdk_waits_for(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        form = issuer.token_form(app, now=time.time() - 120)

        assert_refused(
            await issuer.post_form("/token", form),
            "invalid_request",
            "Token is expired",
        )

    async def test_a_fast_clock_is_told_so_too(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        form = issuer.token_form(app, now=time.time() + 120)

        assert_refused(
            await issuer.post_form("/token", form),
            "invalid_request",
            "Token used before issued",
        )

    @pytest.mark.parametrize("skew", [-60, -20, 12, 14])
    async def test_a_clock_that_is_a_little_off_is_no_reason(
        self, issuer: IssuerUnderTest, app: RegisteredApp, skew: int
    ) -> None:
        """The SDK says that it was issued 5 s ago, to expire in 55 s."""
        form = issuer.token_form(app, now=time.time() + skew)

        assert (await issuer.post_form("/token", form)).status == 200

    async def test_another_key_of_the_same_name_is_not_believed(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        forger = signing_key(Algorithm.RS256, 9)
        forged = client_assertion(
            forger, client_id=app.id, issuer=ISSUER, now=time.time()
        )
        header_of_app = signed(
            forger,
            {
                "sub": app.id,
                "aud": ISSUER,
                "exp": int(time.time()) + 50,
                "jti": "j",
            },
            kid=app.key.kid,
        )

        for assertion in (forged, header_of_app):
            answer = await issuer.ask_for_token(app, {"client_assertion": assertion})
            assert_refused(answer, "invalid_client", "client authentication failed")

    async def test_the_key_of_another_app_is_not_believed(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
    ) -> None:
        other = await registry.add_app(key=signing_key(Algorithm.RS256, 3))
        assertion = issuer.assertion(RegisteredApp(id=app.id, key=other.key))

        answer = await issuer.ask_for_token(app, {"client_assertion": assertion})

        assert_refused(answer, "invalid_client", "client authentication failed")

    async def test_until_the_signature_is_verified_every_refusal_reads_the_same(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        """Whether the app or its key exists is nobody's business; nor is the time."""
        unknown_app = RegisteredApp(id="app_unknown", key=app.key)
        unknown_key = RegisteredApp(id=app.id, key=signing_key(Algorithm.RS256, 4))
        expired = issuer.assertion(app, now=time.time() - 1000)
        mutated = expired[:-8] + (
            "AAAAAAAA" if expired[-8:] != "AAAAAAAA" else "BBBBBBBB"
        )
        answers = [
            await issuer.ask_for_token(unknown_app),
            await issuer.ask_for_token(unknown_key),
            await issuer.ask_for_token(app, {"client_assertion": mutated}),
        ]

        assert len({answer.body for answer in answers}) == 1
        for answer in answers:
            assert_refused(answer, "invalid_client", "client authentication failed")

    @pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "JWS", "", "JWT\n"])
    async def test_another_kind_of_token_is_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp, typ: str
    ) -> None:
        """RFC 8725 §3.11."""
        claims = {
            "sub": app.id,
            "aud": ISSUER,
            "exp": int(time.time()) + 50,
            "jti": "j",
        }
        assertion = signed(app.key, claims, typ=typ)

        answer = await issuer.ask_for_token(app, {"client_assertion": assertion})

        assert_refused(answer, "invalid_client")

    async def test_our_own_access_token_is_no_assertion(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        token = await issuer.token_of(app)

        answer = await issuer.ask_for_token(app, {"client_assertion": token})

        assert_refused(answer, "invalid_client")

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "none"},
            {"alg": "HS256"},
            {"alg": "RS512"},
            {"alg": "PS256"},
            {"kid": None},
            {"kid": "a\x00b"},
            {"crit": ["exp"]},
            {"b64": False},
            {"zip": "DEF"},
        ],
    )
    async def test_headers(
        self, issuer: IssuerUnderTest, app: RegisteredApp, header: dict[str, Any]
    ) -> None:
        claims = {
            "sub": app.id,
            "aud": ISSUER,
            "exp": int(time.time()) + 50,
            "jti": "j",
        }
        assertion = signed(app.key, claims, **header)

        answer = await issuer.ask_for_token(app, {"client_assertion": assertion})

        assert_refused(answer, "invalid_client")

    async def test_a_deleted_key_or_app_gets_no_token(
        self,
        issuer: IssuerUnderTest,
        registry: RegistryStandIn,
        app: RegisteredApp,
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        stream = f"oauth_app-{app.id}"
        position = await registry.append(
            stream, key_added(second), KeyDeleted(kid=app.key.kid)
        )
        await issuer.until_registry_is_at(position)

        assert_refused(await issuer.ask_for_token(app), "invalid_client")
        moved = RegisteredApp(id=app.id, key=second)
        assert (await issuer.ask_for_token(moved)).status == 200

        position = await registry.append(stream, OAuthAppDeleted())
        await issuer.until_registry_is_at(position)

        assert_refused(await issuer.ask_for_token(moved), "invalid_client")


class TestUnknownIsNotNo:
    async def test_an_app_made_a_moment_ago_gets_its_token(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        """However long the next poll may take."""
        for _ in range(5):
            app = await registry.add_app(wait=False)
            assert (await issuer.ask_for_token(app)).status == 200

    async def test_without_the_registry_an_unknown_app_is_503_and_not_401(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        await issuer.token_of(app)
        await registry.stop()
        try:
            started = time.monotonic()
            stranger = RegisteredApp(id="app_new", key=app.key)
            answer = await issuer.ask_for_token(stranger)
            took = time.monotonic() - started
            known = await issuer.ask_for_token(app)
        finally:
            await registry.start()

        assert_refused(answer, "temporarily_unavailable", status=503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert took < 2
        assert known.status == 200

    async def test_many_unknown_kids_at_once_share_their_reads(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        strangers = [
            RegisteredApp(id=f"app_{number}", key=signing_key(Algorithm.RS256))
            for number in range(50)
        ]
        reads = registry.reads

        answers = await asyncio.gather(*map(issuer.ask_for_token, strangers))

        # On a slow machine some are told to come back, which is no refusal.
        assert {answer.status for answer in answers} <= {401, 503}
        assert registry.reads - reads < 20


class TestPrefix:
    async def test_an_issuer_may_have_a_path(
        self, settings: Settings, registry: RegistryStandIn
    ) -> None:
        settings = msgspec.structs.replace(settings, issuer=f"{ISSUER}/oauth/v1")
        app = await registry.add_app()
        async with serving(settings) as issuer:
            for path in ("/oauth/v1/token", "/oauth/v1//token"):
                answer = await issuer.post_form(path, issuer.token_form(app))
                assert answer.status == 200

            elsewhere = await issuer.post_form("/token", issuer.token_form(app))

            assert_refused(elsewhere, "invalid_request", status=404)
            told = await issuer.get("/.well-known/oauth-authorization-server/oauth/v1")
            assert told.json["token_endpoint"] == f"{ISSUER}/oauth/v1/token"
            keys = await issuer.get("/oauth/v1/.well-known/jwks.json")
            assert len(keys.json["keys"]) == 2
