"""POST /introspect (RFC 7662): active, or exactly nothing else."""

import time

import msgspec
import pytest

from token_issuer.settings import Settings
from token_issuer.testing.issuer import ISSUER, IssuerUnderTest
from token_issuer.testing.registry import (
    RegisteredApp,
    RegistryStandIn,
    key_added,
)
from tollgate.eventlog import AppendGroup, EventLog
from tollgate.events.registry import KeyDeleted, OAuthAppDeleted, ScopesChanged
from tollgate.events.tokens import (
    AllTokensRevoked,
    KeyTokensRevoked,
    RevocationEvent,
    SigningKeyCompromised,
)
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jws import decode
from tollgate.oauth.scopes import Scope
from tollgate.settings import Secret
from tollgate.testing.keys import signing_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

INACTIVE = b'{"active":false}'
SERVICE = "a-service-that-may-see-every-token"
SERVICES = (SERVICE, "the-credential-that-comes-after-it")


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(
        settings, introspection_secrets=tuple(map(Secret, SERVICES))
    )


async def test_an_app_learns_all_about_its_own_token(
    issuer: IssuerUnderTest, app: RegisteredApp
) -> None:
    token = await issuer.token_of(app)

    answer = await issuer.introspect(app, token)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    claims = msgspec.json.decode(decode(token).payload)
    assert answer.json == {
        "active": True,
        "iss": ISSUER,
        "sub": app.id,
        "client_id": app.id,
        "aud": ["urn:tollgate:tracking-api"],
        "scope": "tracking_api:write",
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
        "token_type": "Bearer",
    }


async def test_an_app_sees_no_token_of_another(
    issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
) -> None:
    other = await registry.add_app(key=signing_key(Algorithm.RS256, 5))

    answer = await issuer.introspect(other, await issuer.token_of(app))

    assert answer.status == 200
    assert answer.body == INACTIVE


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "x" * 9000, "\u00e9"])
async def test_rubbish_is_inactive(
    issuer: IssuerUnderTest, app: RegisteredApp, token: str
) -> None:
    answer = await issuer.introspect(app, token)

    assert answer.status == 200
    assert answer.body == INACTIVE


async def test_an_assertion_is_no_access_token(
    issuer: IssuerUnderTest, app: RegisteredApp
) -> None:
    assert (await issuer.introspect(app, issuer.assertion(app))).body == INACTIVE


@pytest.mark.parametrize(
    "revocation",
    [AllTokensRevoked(), "kid"],
    ids=["all", "kid"],
)
async def test_what_another_replica_has_revoked_is_inactive_at_once(
    issuer: IssuerUnderTest,
    app: RegisteredApp,
    tokens_log: EventLog,
    revocation: RevocationEvent | str,
) -> None:
    """It asks the log, not a view of it."""
    token = await issuer.token_of(app)
    event = KeyTokensRevoked(kid=app.key.kid) if revocation == "kid" else revocation
    assert not isinstance(event, str)
    await tokens_log.append(AppendGroup(events=[(f"oauth_app-{app.id}", event)]))

    assert (await issuer.introspect(app, token)).body == INACTIVE

    await issuer.until_tokens_log_is_at((await tokens_log.head()).position)
    newer = await issuer.token_of(app)
    assert (await issuer.introspect(app, newer)).json["active"] is True


class TestTheAppAsItIsNow:
    async def test_a_scope_that_was_taken_away_is_gone(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn
    ) -> None:
        app = await registry.add_app(
            scopes=(Scope.TRACKING_API_WRITE, Scope.FUNCTIONS_WRITE)
        )
        token = await issuer.token_of(app)
        position = await registry.append(
            f"oauth_app-{app.id}", ScopesChanged(scopes=(Scope.FUNCTIONS_WRITE,))
        )
        await issuer.until_registry_is_at(position)

        answer = await issuer.introspect(app, token)

        assert answer.json["scope"] == "functions:write"

    async def test_a_token_ends_with_the_key_it_was_minted_with(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        moved = RegisteredApp(id=app.id, key=second)
        ended = await issuer.token_of(app)
        position = await registry.append(
            f"oauth_app-{app.id}", key_added(second), KeyDeleted(kid=app.key.kid)
        )
        await issuer.until_registry_is_at(position)

        assert (await issuer.introspect(moved, ended)).body == INACTIVE

    async def test_or_lives_on_where_the_rotation_was_planned(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        second = signing_key(Algorithm.RS256, 2)
        moved = RegisteredApp(id=app.id, key=second)
        kept = await issuer.token_of(app)
        position = await registry.append(
            f"oauth_app-{app.id}",
            key_added(second),
            KeyDeleted(kid=app.key.kid, keep_tokens=True),
        )
        await issuer.until_registry_is_at(position)

        assert (await issuer.introspect(moved, kept)).json["active"] is True


class TestCaller:
    async def test_a_service_sees_every_token(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        token = await issuer.token_of(app)

        for secret in SERVICES:
            answer = await issuer.post_form(
                "/introspect",
                {"token": token},
                headers={"Authorization": f"Bearer {secret}"},
            )
            assert answer.json["client_id"] == app.id

    async def test_a_service_sees_a_deleted_apps_token_as_inactive(
        self, issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
    ) -> None:
        token = await issuer.token_of(app)
        position = await registry.append(f"oauth_app-{app.id}", OAuthAppDeleted())
        await issuer.until_registry_is_at(position)

        answer = await issuer.post_form(
            "/introspect",
            {"token": token},
            headers={"Authorization": f"Bearer {SERVICE}"},
        )

        assert answer.body == INACTIVE

    @pytest.mark.parametrize(
        "authorization",
        [
            "Bearer wrong",
            f"Bearer {SERVICE}x",
            f"Basic {SERVICE}",
            f"Bearer  ,{SERVICE}",
            "Bearer",
        ],
    )
    async def test_nobody_else_does(
        self, issuer: IssuerUnderTest, app: RegisteredApp, authorization: str
    ) -> None:
        token = await issuer.token_of(app)

        answer = await issuer.post_form(
            "/introspect", {"token": token}, headers={"Authorization": authorization}
        )

        assert answer.status == 401
        assert answer.json["error"] == "invalid_client"
        assert answer.headers["WWW-Authenticate"]

    async def test_two_ways_at_once_are_refused(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.post_form(
            "/introspect",
            {**issuer.credentials(app), "token": "x"},
            headers={"Authorization": f"Bearer {SERVICE}"},
        )

        assert answer.status == 401

    async def test_the_token_is_needed(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.post_form("/introspect", issuer.credentials(app))

        assert answer.status == 400
        assert answer.json["error"] == "invalid_request"


async def test_a_token_is_inactive_from_its_expiry_on(
    issuer: IssuerUnderTest, registry: RegistryStandIn
) -> None:
    app = await registry.add_app(token_lifetime=1)
    token = await issuer.token_of(app)
    expires = msgspec.json.decode(decode(token).payload)["exp"]

    while time.time() < expires:
        assert (await issuer.introspect(app, token)).status == 200

    assert (await issuer.introspect(app, token)).body == INACTIVE


async def test_the_tokens_of_a_compromised_signing_key_are_inactive(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
) -> None:
    """The last test of this module: nothing signs here any more."""
    token = await issuer.token_of(app)
    kid = decode(token).header.kid
    await tokens_log.append(
        AppendGroup(events=[(f"signing_key-{kid}", SigningKeyCompromised())])
    )

    assert (await issuer.introspect(app, token)).body == INACTIVE
    await issuer.until_tokens_log_is_at((await tokens_log.head()).position)
    refused = await issuer.ask_for_token(app)
    assert refused.status == 503
    assert refused.json["error"] == "temporarily_unavailable"
    keys = (await issuer.get("/.well-known/jwks.json")).json["keys"]
    assert kid not in {key["kid"] for key in keys}
