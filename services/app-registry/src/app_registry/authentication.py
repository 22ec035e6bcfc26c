"""Whose request it is: an administrator's access token, or an app's OAuth token."""

from collections.abc import Sequence

import msgspec

from app_registry.directory import Directory
from app_registry.domain.authorization import AppCaller, Caller, MemberCaller
from app_registry.domain.errors import NotAuthenticated
from app_registry.handling import level
from app_registry.usage import UsageRecorder
from tollgate.clock import Clock
from tollgate.errors import Unavailable
from tollgate.messaging.subscription import NotLevel, Subscription
from tollgate.oauth.access_tokens import (
    TokenRefusal,
    VerifiedAccessToken,
    verify_access_token,
)
from tollgate.oauth.algorithms import Algorithm
from tollgate.oauth.bearer import NoBearer, read_bearer
from tollgate.oauth.public_keys import PublicKey, parse_public_key
from tollgate.oauth.scopes import Scope
from tollgate.registry.administrators import authenticate, is_access_token
from tollgate.registry.oauth_app import OAuthApp
from tollgate.registry.roles import Actor
from tollgate.tokens.state import TokensState

_REFUSED = NotAuthenticated("the access token is not valid")
_MISSING = NotAuthenticated("send an access token: Authorization: Bearer …")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as they were when the request arrived, and what was known then."""

    caller: Caller
    actor: Actor
    directory: Directory

    @property
    def workspace_id(self) -> str:
        return self.actor.workspace_id


class Authenticator:
    """Lets in members with their own tokens, and apps with tokens for the admin API."""

    def __init__(
        self,
        known: Subscription[Directory],
        app_tokens: "AppTokens",
        usage: UsageRecorder,
        clock: Clock,
    ) -> None:
        self._known = known
        self._app_tokens = app_tokens
        self._usage = usage
        self._clock = clock

    async def authenticate(self, authorization: Sequence[str]) -> Access:
        """Judge the Authorization fields of a request, all of them, as received.

        Raises `NotAuthenticated`, or `Unavailable` if that cannot be told now. What the
        log held when this was called is known afterwards: read your writes.
        """
        bearer = read_bearer(authorization)
        if isinstance(bearer, NoBearer):
            raise _MISSING
        directory = await level(self._known)
        if is_access_token(bearer):
            return self._administrator(bearer, directory)
        app = await self._app_tokens.app_of(bearer, directory)
        return Access(caller=AppCaller(app_id=app.id), actor=app, directory=directory)

    def _administrator(self, bearer: str, directory: Directory) -> Access:
        administrator = authenticate(directory.state, bearer, self._clock.now())
        if administrator is None:
            raise _REFUSED
        self._usage.note(administrator.access_token)
        return Access(
            caller=MemberCaller(
                member_id=administrator.member.id,
                access_token_id=administrator.access_token.id,
            ),
            actor=administrator.member,
            directory=directory,
        )


class AppTokens:
    """Verifies access tokens of the issuer for the admin API, as a gateway would."""

    def __init__(
        self,
        tokens: Subscription[TokensState],
        *,
        issuer: str,
        audience: str,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}

    async def app_of(self, bearer: str, directory: Directory) -> OAuthApp:
        """The app that shows `bearer`. One doubt per line; the last line may pass."""
        verified = self._verify(bearer)
        if verified is TokenRefusal.UNKNOWN_KEY:
            # Unknown is not no: the key may have been announced a moment ago.
            await self._refresh()
            verified = self._verify(bearer)
        if isinstance(verified, TokenRefusal):
            raise _REFUSED
        if self._tokens.age() > self._tokens.max_age:
            raise Unavailable("too little is known of revoked tokens at the moment")
        if verified.refusal_at(self._clock.now().timestamp()) is not None:
            raise _REFUSED
        if Scope.PUBLIC_API_READ_WRITE not in verified.scopes:
            raise _REFUSED
        if self._is_revoked(verified):
            raise _REFUSED
        app = directory.state.apps.get(verified.client_id)
        if app is None or not app.exists or not app.honours(verified.key):
            raise _REFUSED
        if Scope.PUBLIC_API_READ_WRITE not in app.scopes:
            raise _REFUSED
        return app

    def _verify(self, bearer: str) -> VerifiedAccessToken | TokenRefusal:
        return verify_access_token(
            bearer,
            keys=self._current_keys(),
            issuer=self._issuer,
            audience=self._audience,
        )

    def _current_keys(self) -> dict[str, PublicKey]:
        known = self._tokens.state.signing_keys
        self._keys = {
            kid: self._keys.get(kid) or parse_public_key(key.pem, Algorithm(key.alg))
            for kid, key in known.items()
            if key.verifies
        }
        return self._keys

    def _is_revoked(self, token: VerifiedAccessToken) -> bool:
        return self._tokens.state.is_revoked(
            client_id=token.client_id,
            jti=token.jti,
            key=token.key,
            rev=token.rev,
            iat=token.iat,
        )

    async def _refresh(self) -> None:
        try:
            await self._tokens.refresh()
        except NotLevel as error:
            raise Unavailable("the token-issuer cannot be asked now") from error
