"""Whose bearer token it is: a member's own, or an app's for the admin API."""

from datetime import UTC, datetime, timedelta

import pytest

from tollgate.events import Event
from tollgate.events.registry import (
    AccessTokenIssued,
    AccessTokenRevoked,
    KeyAdded,
    KeyDeleted,
    MemberAdded,
    MemberRemoved,
    OAuthAppCreated,
    OAuthAppDeleted,
    ScopesChanged,
)
from tollgate.events.tokens import (
    AllTokensRevoked,
    SigningKeyActivated,
    SigningKeyAnnounced,
    SigningKeyCompromised,
    SigningKeyRetired,
)
from tollgate.oauth.access_tokens import access_token_claims, mint_access_token
from tollgate.oauth.scopes import Scope
from tollgate.registry.administrators import NewAccessToken, new_access_token
from tollgate.registry.authentication import (
    AuthenticatedActor,
    Doubt,
    authenticate_bearer,
)
from tollgate.registry.state import RegistryState
from tollgate.testing.keys import signing_key
from tollgate.testing.scenario import Fact, on, recorded
from tollgate.tokens.state import TokensState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ISSUER = "https://issuer.example"
AUDIENCE = "urn:tollgate:public-api"
SIGNING_KEY = signing_key()
APP_KEY = KeyAdded(kid="k", name="key", alg="RS256", pem="PEM")
APP_CREATED = OAuthAppCreated(
    workspace_id="ws_1",
    name="ci",
    token_lifetime=86_400,
    scopes=(Scope.PUBLIC_API_READ_WRITE, Scope.TRACKING_API_WRITE),
)


def app_facts(*more: Event) -> list[Fact]:
    return on("oauth_app-app_1", APP_CREATED, APP_KEY, *more)


def key_facts(*more: Event) -> list[Fact]:
    return on(
        f"signing_key-{SIGNING_KEY.kid}",
        SigningKeyAnnounced(alg="ES256", pem=SIGNING_KEY.public.pem),
        SigningKeyActivated(),
        *more,
    )


def authenticated(
    bearer: str,
    *,
    registry: list[Fact] | None = None,
    tokens: list[Fact] | None = None,
    now: datetime = NOW,
) -> AuthenticatedActor | Doubt:
    registry_state, tokens_state = RegistryState(), TokensState()
    for event in recorded(app_facts() if registry is None else registry):
        registry_state.apply(event)
    for event in recorded(key_facts() if tokens is None else tokens):
        tokens_state.apply(event)
    return authenticate_bearer(
        bearer,
        registry=registry_state,
        tokens=tokens_state,
        issuer=ISSUER,
        audience=AUDIENCE,
        now=now,
    )


def app_token(
    *,
    scopes: tuple[str, ...] = (Scope.PUBLIC_API_READ_WRITE,),
    audience: str = AUDIENCE,
) -> str:
    claims = access_token_claims(
        issuer=ISSUER,
        client_id="app_1",
        audiences=[audience],
        scopes=scopes,
        jti="j",
        key="k/2",
        rev=0,
        issued_at=int(NOW.timestamp()),
        lifetime=3600,
    )
    return mint_access_token(claims, SIGNING_KEY)


class TestApp:
    def test_an_app_acts_with_its_own_token(self) -> None:
        actor = authenticated(app_token())

        assert isinstance(actor, AuthenticatedActor)
        assert actor.stream == "oauth_app-app_1"
        assert actor.actor.id == "app_1"
        assert actor.access_token_id is None

    def test_a_token_for_another_door_opens_nothing(self) -> None:
        token = app_token(audience="urn:tollgate:tracking-api")

        assert authenticated(token) is Doubt.INVALID

    def test_the_scope_is_needed_in_the_token(self) -> None:
        token = app_token(scopes=(Scope.TRACKING_API_WRITE,))

        assert authenticated(token) is Doubt.INSUFFICIENT_SCOPE

    def test_the_scope_is_needed_in_the_app_as_it_is_now(self) -> None:
        taken = ScopesChanged(scopes=(Scope.TRACKING_API_WRITE,))

        assert authenticated(app_token(), registry=app_facts(taken)) is (
            Doubt.INSUFFICIENT_SCOPE
        )

    def test_an_expired_token_opens_nothing(self) -> None:
        now = NOW + timedelta(hours=1, seconds=30)

        assert authenticated(app_token(), now=now) is Doubt.INVALID

    def test_a_revoked_token_opens_nothing(self) -> None:
        facts = [*key_facts(), *on("oauth_app-app_1", AllTokensRevoked())]

        assert authenticated(app_token(), tokens=facts) is Doubt.INVALID

    def test_a_token_of_a_compromised_signing_key_opens_nothing(self) -> None:
        facts = key_facts(SigningKeyCompromised())

        assert authenticated(app_token(), tokens=facts) is Doubt.UNKNOWN

    def test_a_retired_signing_key_signs_nothing_for_today(self) -> None:
        """Its thief can sign, but only what ends when its own tokens have ended."""
        expiry = NOW + timedelta(hours=1)
        in_time, too_late = (
            key_facts(SigningKeyRetired(last_expiry=expiry + late))
            for late in (timedelta(0), -timedelta(seconds=1))
        )

        assert isinstance(
            authenticated(app_token(), tokens=in_time), AuthenticatedActor
        )
        assert authenticated(app_token(), tokens=too_late) is Doubt.INVALID

    def test_a_token_of_a_deleted_key_opens_nothing(self) -> None:
        facts = app_facts(KeyDeleted(kid="k"))

        assert authenticated(app_token(), registry=facts) is Doubt.UNKNOWN

    def test_a_deleted_app_opens_nothing(self) -> None:
        facts = app_facts(OAuthAppDeleted())

        assert authenticated(app_token(), registry=facts) is Doubt.INVALID

    def test_an_app_or_signing_key_not_heard_of_may_be_new(self) -> None:
        assert authenticated(app_token(), registry=[]) is Doubt.UNKNOWN
        assert authenticated(app_token(), tokens=[]) is Doubt.UNKNOWN

    @pytest.mark.parametrize("bearer", ["", "rubbish", "a.b.c", "tg_"])
    def test_rubbish_opens_nothing(self, bearer: str) -> None:
        assert authenticated(bearer) is Doubt.INVALID


class TestMember:
    def facts(self, new: NewAccessToken, *more: Fact) -> list[Fact]:
        added = MemberAdded(workspace_id="ws_1", name="Ann", email="a@b.c", grants=())
        issued = AccessTokenIssued(
            workspace_id="ws_1",
            member_id="mem_1",
            name="first",
            secret_hash=new.secret_hash,
        )
        return [
            *on("member-mem_1", added),
            *on(f"access_token-{new.id}", issued),
            *more,
        ]

    def test_a_member_acts_with_their_own_token(self) -> None:
        new = new_access_token()

        actor = authenticated(new.text, registry=self.facts(new))

        assert isinstance(actor, AuthenticatedActor)
        assert actor.stream == "member-mem_1"
        assert actor.access_token_id == new.id

    def test_one_not_heard_of_may_be_new(self) -> None:
        assert authenticated(new_access_token().text) is Doubt.UNKNOWN

    def test_a_revoked_token_or_a_removed_member_opens_nothing(self) -> None:
        new = new_access_token()
        revoked = on(f"access_token-{new.id}", AccessTokenRevoked())
        removed = on("member-mem_1", MemberRemoved())

        for fact in (*revoked, *removed):
            facts = self.facts(new, fact)
            assert authenticated(new.text, registry=facts) is Doubt.UNKNOWN
