"""grant_type=client_credentials (RFC 6749 §4.4), authenticated as in RFC 7523 §2.2.

Checks run cheapest first. Until the signature is verified nothing is told but that it
failed; after it, and last of all, the assertion is spent together with recording the
token.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from token_issuer.access_tokens import mint
from token_issuer.bursts import Burst
from token_issuer.callers import Caller
from token_issuer.client_authentication import ClientAuthentication
from token_issuer.issuance import Issuance
from token_issuer.keyring import Keyring
from token_issuer.knowledge import Knowledge
from token_issuer.limits import RateLimit
from tollgate.clock import Clock
from tollgate.oauth.errors import InvalidScope, TooManyRequests
from tollgate.oauth.scopes import Scope, format_scope, parse_scope
from tollgate.registry.oauth_app import OAuthApp

GRANT_TYPE = "client_credentials"


class AccessTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749 §5.1; `expires_in` is a number of seconds, as the SDKs insist."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    scope: str


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
        self._signing = Burst()

    async def grant(
        self, form: Mapping[str, str], *, arrived_at: datetime, caller: Caller
    ) -> AccessTokenResponse:
        """A token for whoever sent `form`, or an `OAuthError`."""
        client = await self._clients.authenticate(form, arrived_at)
        self._take_from_limit(client.app.id)
        scopes = await self._scopes(form.get("scope"), client.app)
        tokens = self._knowledge.tokens
        token = await mint(
            issuer=self._issuer,
            app=client.app,
            key=client.key,
            scopes=scopes,
            rev=tokens.version_of(client.app.id),
            signing_key=self._keyring.signing_key(tokens.signing_keys),
            signing=self._signing,
            audiences=self._audiences,
            now=self._clock.now(),
        )
        await self._issuance.record(client, token, caller)
        return AccessTokenResponse(
            access_token=token.text,
            expires_in=token.lifetime,
            scope=format_scope(scopes),
        )

    def _take_from_limit(self, client_id: str) -> None:
        """Verified requests alone count: nobody uses up another's share."""
        wait = self._limit.wait_for(client_id)
        if wait is not None:
            raise TooManyRequests("this app asks for too many tokens", retry_after=wait)
        self._limit.count(client_id)

    async def _scopes(self, asked: str | None, app: OAuthApp) -> frozenset[str]:
        """What is granted: what was asked for, or all that the app has."""
        wanted = None if asked is None else parse_scope(asked)
        if wanted is not None and not wanted <= app.scopes:
            # Perhaps it was given to the app a moment ago.
            await self._knowledge.refresh()
            app = self._knowledge.registry.apps.get(app.id, app)
        granted = app.scopes if wanted is None else wanted
        if not granted or not granted <= app.scopes:
            raise InvalidScope("the app does not have this scope")
        return granted
