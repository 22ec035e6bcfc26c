"""POST /revoke (RFC 7009): an app ends its own tokens, and nobody else's."""

import base64
import time

import pytest

from token_issuer.testing.issuer import IssuerUnderTest
from token_issuer.testing.registry import RegisteredApp, RegistryStandIn
from tollgate.eventlog import EventLog
from tollgate.events.tokens import TokenRevoked, tokens_decoder
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.jws import decode
from tollgate.testing.keys import signing_key
from tollgate.testing.tokens import compact

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def is_active(issuer: IssuerUnderTest, app: RegisteredApp, token: str) -> bool:
    answer = await issuer.introspect(app, token)
    assert answer.status == 200, answer.body
    return bool(answer.json["active"])


async def revocations_of(tokens_log: EventLog, app: RegisteredApp) -> list[object]:
    return [
        tokens_decoder.decode(recorded)
        for recorded in await tokens_log.load(f"oauth_app-{app.id}")
    ]


async def test_a_revoked_token_is_dead_when_the_answer_comes(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
) -> None:
    token, other = await issuer.token_of(app), await issuer.token_of(app)

    answer = await issuer.revoke(app, token)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert not await is_active(issuer, app, token)
    assert await is_active(issuer, app, other)
    (event,) = await revocations_of(tokens_log, app)
    assert isinstance(event, TokenRevoked)
    assert event.expires_at.timestamp() == pytest.approx(time.time() + 86_400, abs=10)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "rubbish"])
async def test_a_wrong_hint_prevents_nothing(
    issuer: IssuerUnderTest, app: RegisteredApp, hint: str
) -> None:
    """RFC 7009 §2.1."""
    token = await issuer.token_of(app)

    answer = await issuer.post_form(
        "/revoke",
        {**issuer.credentials(app), "token": token, "token_type_hint": hint},
    )

    assert answer.status == 200
    assert not await is_active(issuer, app, token)


async def test_revoking_twice_is_recorded_once(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
) -> None:
    token = await issuer.token_of(app)

    assert [(await issuer.revoke(app, token)).status for _ in range(3)] == [200] * 3
    assert len(await revocations_of(tokens_log, app)) == 1


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "x" * 5000, "\u00e9", "tg_1"])
async def test_rubbish_is_revoked_already(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog, token: str
) -> None:
    """RFC 7009 §2.2: there is nothing that the client could still do about it."""
    assert (await issuer.revoke(app, token)).status == 200
    assert await revocations_of(tokens_log, app) == []


async def test_the_token_of_another_app_is_refused_and_lives(
    issuer: IssuerUnderTest, registry: RegistryStandIn, app: RegisteredApp
) -> None:
    """RFC 7009 §2.1."""
    thief = await registry.add_app(key=signing_key(Algorithm.RS256, 5))
    token = await issuer.token_of(app)

    answer = await issuer.revoke(thief, token)

    assert answer.status == 400
    assert answer.json["error"] == "invalid_grant"
    assert await is_active(issuer, app, token)


async def test_a_mutated_or_forged_token_revokes_no_genuine_one(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
) -> None:
    token = await issuer.token_of(app)
    header, payload, signature = token.split(".")
    jws = decode(token)
    forger = signing_key(Algorithm.ES256, 7)
    forgeries = [
        f"{header}.{payload}.{signature[:-20]}{'A' * 20}",
        f"{header}.{payload}.{'A' * len(signature)}",
        compact(
            {"alg": "ES256", "kid": jws.header.kid, "typ": "at+jwt"},
            jws.payload,
            forger.sign,
        ),
        compact(
            {"alg": "none", "kid": jws.header.kid, "typ": "at+jwt"},
            jws.payload,
            lambda _: b"x",
        ),
    ]

    for forgery in forgeries:
        assert (await issuer.revoke(app, forgery)).status == 200

    assert await revocations_of(tokens_log, app) == []
    assert await is_active(issuer, app, token)


async def test_a_re_encoded_copy_of_a_revoked_token_is_dead(
    issuer: IssuerUnderTest, app: RegisteredApp
) -> None:
    """There is one spelling, and what is revoked is the name in it."""
    token = await issuer.token_of(app)
    header, payload, signature = token.split(".")
    last = signature[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    neighbour = alphabet[alphabet.index(last) ^ 1]
    octets = base64.urlsafe_b64decode(signature + "==")
    copies = [
        f"{header}.{payload}.{signature}==",
        f"{header}.{payload}.{signature}\n",
        f"{header}.{payload}.{signature[:-1]}{neighbour}",
        f"{header}.{payload}.{base64.b64encode(octets).decode().rstrip('=')}=",
    ]

    await issuer.revoke(app, token)

    for copy in [token, *copies]:
        assert not await is_active(issuer, app, copy)


async def test_a_token_of_another_issuer_revokes_nothing(
    issuer: IssuerUnderTest, app: RegisteredApp, tokens_log: EventLog
) -> None:
    claims = access_token_claims(
        issuer="https://other.example",
        client_id=app.id,
        audiences=["urn:tollgate:tracking-api"],
        scopes=["tracking_api:write"],
        jti="j",
        key=f"{app.key.kid}/2",
        rev=0,
        issued_at=int(time.time()),
        lifetime=3600,
    )
    token = mint_access_token(claims, signing_key())

    assert (await issuer.revoke(app, token)).status == 200
    assert await revocations_of(tokens_log, app) == []


class TestAuthentication:
    async def test_nobody_revokes_without_proof(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        token = await issuer.token_of(app)

        for form in (
            {"token": token},
            {"token": token, "client_id": app.id},
            {"token": token, "client_id": app.id, "client_secret": "x"},
        ):
            answer = await issuer.post_form("/revoke", form)
            assert answer.status == 401
            assert answer.json["error"] == "invalid_client"

        assert await is_active(issuer, app, token)

    async def test_an_assertion_works_once_wherever_it_is_used(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        token = await issuer.token_of(app)
        credentials = issuer.credentials(app)

        first = await issuer.post_form("/revoke", {**credentials, "token": "rubbish"})
        again = await issuer.post_form("/revoke", {**credentials, "token": token})
        elsewhere = await issuer.post_form(
            "/token", {**credentials, "grant_type": "client_credentials"}
        )

        assert first.status == 200
        for answer in (again, elsewhere):
            assert answer.status == 401
            assert answer.json["error"] == "invalid_client"
        assert await is_active(issuer, app, token)

    async def test_the_token_is_needed(
        self, issuer: IssuerUnderTest, app: RegisteredApp
    ) -> None:
        answer = await issuer.post_form("/revoke", issuer.credentials(app))

        assert answer.status == 400
        assert answer.json["error"] == "invalid_request"
