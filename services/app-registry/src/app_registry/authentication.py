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
from tollgate.oauth.bearer import NoBearer, read_bearer
from tollgate.registry.administrators import authenticate, is_access_token
from tollgate.registry.authentication import (
    AuthenticatedActor,
    Doubt,
    authenticate_bearer,
)
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

    async def app_of(self, bearer: str, directory: Directory) -> OAuthApp:
        """The app that shows `bearer`."""
        found = self._look_at(bearer, directory)
        if found is Doubt.UNKNOWN:
            # Unknown is not no: the key may have been announced a moment ago.
            await self._refresh()
            found = self._look_at(bearer, directory)
        if isinstance(found, Doubt):
            raise _REFUSED
        if self._tokens.age() > self._tokens.max_age:
            raise Unavailable("too little is known of revoked tokens at the moment")
        if not isinstance(found.actor, OAuthApp):
            raise _REFUSED
        return found.actor

    def _look_at(self, bearer: str, directory: Directory) -> AuthenticatedActor | Doubt:
        return authenticate_bearer(
            bearer,
            registry=directory.state,
            tokens=self._tokens.state,
            issuer=self._issuer,
            audience=self._audience,
            now=self._clock.now(),
        )

    async def _refresh(self) -> None:
        try:
            await self._tokens.refresh()
        except NotLevel as error:
            raise Unavailable("the token-issuer cannot be asked now") from error
