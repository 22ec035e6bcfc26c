"""grant_type=client_credentials (RFC 6749 §4.4), authenticated as in RFC 7523 §2.2.

Checks run cheapest first. Until the signature is verified nothing is told but that it
failed; after it, and last of all, the assertion is spent together with recording the
token. Nothing in between waits, so that it is done step by step for a whole burst of
requests.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import msgspec

from token_issuer.access_tokens import DraftedToken, MintedToken, draft
from token_issuer.bursts import Burst
from token_issuer.callers import Caller
from token_issuer.client_authentication import (
    AuthenticatedClient,
    ClaimedClient,
    ClientAuthentication,
)
from token_issuer.issuance import Issuance
from token_issuer.keyring import Keyring
from token_issuer.knowledge import Knowledge
from token_issuer.limits import RateLimit
from tollgate.clock import Clock
from tollgate.eventlog import Appended
from tollgate.oauth.errors import InvalidScope, TooManyRequests
from tollgate.oauth.scopes import Scope, format_scope, parse_scope
from tollgate.oauth.signing_keys import SigningKey
from tollgate.registry.oauth_app import OAuthApp

GRANT_TYPE = "client_credentials"


class AccessTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749 §5.1; `expires_in` is a number of seconds, as the SDKs insist."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    scope: str


class _Exchange:
    """A request on its way from an assertion to a recorded token."""

    __slots__ = (
        "app",
        "arrived_at",
        "asked",
        "caller",
        "claimed",
        "client",
        "done",
        "drafted",
        "minted",
        "scopes",
        "signing_key",
    )

    client: AuthenticatedClient
    app: OAuthApp
    scopes: frozenset[str]
    signing_key: SigningKey
    drafted: DraftedToken
    minted: MintedToken

    def __init__(
        self,
        claimed: ClaimedClient,
        asked: str | None,
        arrived_at: datetime,
        caller: Caller,
    ) -> None:
        self.claimed = claimed
        self.asked = asked
        self.arrived_at = arrived_at
        self.caller = caller
        self.begin()

    def begin(self) -> None:
        self.done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()


class _ScopeNotKnown(Exception):
    """The app asks for a scope that it did not have when we last heard of it."""


class ClientCredentialsGrant:
    def __init__(
        self,
        *,
        issuer: str,
        audiences: Mapping[Scope, str],
        clients: ClientAuthentication,
        knowledge: Knowledge,
        keyring: Keyring,
        issuance: Issuance,
        limit: RateLimit,
        clock: Clock,
    ) -> None:
        self._issuer = issuer
        self._audiences = audiences
        self._clients = clients
        self._knowledge = knowledge
        self._keyring = keyring
        self._issuance = issuance
        self._limit = limit
        self._clock = clock
        mint = (self._draft, self._sign, self._record)
        self._exchanging = Burst(self._verify, self._take_scopes, *mint)
        self._minting = Burst(*mint)

    async def grant(
        self, form: Mapping[str, str], *, arrived_at: datetime, caller: Caller
    ) -> AccessTokenResponse:
        """A token for whoever sent `form`, or an `OAuthError`."""
        claimed = await self._clients.find(form)
        exchange = _Exchange(claimed, form.get("scope"), arrived_at, caller)
        self._exchanging.take(exchange)
        try:
            await self._issuance.outcome(exchange.done)
        except _ScopeNotKnown:
            await self._look_again(exchange)
            exchange.begin()
            self._minting.take(exchange)
            await self._issuance.outcome(exchange.done)
        token = exchange.minted
        return AccessTokenResponse(
            access_token=token.text,
            expires_in=token.lifetime,
            scope=format_scope(exchange.scopes),
        )

    def _verify(self, exchange: _Exchange) -> None:
        exchange.client = self._clients.verify(exchange.claimed, exchange.arrived_at)

    def _take_scopes(self, exchange: _Exchange) -> None:
        """What is granted: what was asked for, or all that the app has.

        Verified requests alone count for the limit: nobody uses up another's share.
        """
        app = exchange.app = exchange.client.app
        wait = self._limit.wait_for(app.id)
        if wait is not None:
            raise TooManyRequests("this app asks for too many tokens", retry_after=wait)
        self._limit.count(app.id)
        if exchange.asked is None:
            exchange.scopes = app.scopes
        else:
            exchange.scopes = parse_scope(exchange.asked)
            if not exchange.scopes <= app.scopes:
                raise _ScopeNotKnown
        if not exchange.scopes:
            raise InvalidScope("the app does not have this scope")

    async def _look_again(self, exchange: _Exchange) -> None:
        """Perhaps the scope was given to the app a moment ago."""
        await self._knowledge.refresh()
        app = exchange.app
        exchange.app = app = self._knowledge.registry.apps.get(app.id, app)
        if not exchange.scopes <= app.scopes:
            raise InvalidScope("the app does not have this scope")

    def _draft(self, exchange: _Exchange) -> None:
        tokens = self._knowledge.tokens
        key = exchange.signing_key = self._keyring.signing_key(tokens.signing_keys)
        exchange.drafted = draft(
            issuer=self._issuer,
            app=exchange.client.app,
            key=exchange.client.key,
            scopes=exchange.scopes,
            rev=tokens.version_of(exchange.client.app.id),
            signing_kid=key.kid,
            audiences=self._audiences,
            now=self._clock.now(),
        )

    def _sign(self, exchange: _Exchange) -> None:
        exchange.minted = exchange.drafted.signed(exchange.signing_key)

    def _record(self, exchange: _Exchange) -> None:
        """Last of all; the log settles the exchange."""
        self._issuance.record(
            exchange.client, exchange.minted, exchange.caller, exchange.done
        )
