"""grant_type=client_credentials (RFC 6749 §4.4), authenticated as in RFC 7523 §2.2.

Checks run cheapest first. Until the signature is verified nothing is told but that it
failed; after it, and last of all, the assertion is spent together with recording the
token. Nothing in between waits, so that it is done step by step for a whole burst of
requests.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from token_issuer.access_tokens import DraftedToken, TokenDrafts
from token_issuer.bursts import Burst, ForAll
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
from tollgate.eventlog import Appended, Outcome
from tollgate.oauth.client_assertion import UnverifiedAssertion, read_assertion
from tollgate.oauth.errors import InvalidScope, TooManyRequests
from tollgate.oauth.scopes import parse_scope
from tollgate.oauth.signing_keys import SigningKey

GRANT_TYPE = "client_credentials"


class AccessTokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749 §5.1; `expires_in` is a number of seconds, as the SDKs insist."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    scope: str


class NotAtOnce(Exception):
    """The logs have to be asked first: see `ClientCredentialsGrant.begin`."""


class _ScopeNotKnown(NotAtOnce):
    """The app asks for a scope that it did not have when we last heard of it."""


def _nothing(_: AccessTokenResponse) -> None:
    pass


class Exchange:
    """A request on its way from an assertion to a token on record.

    `done` is told when it is recorded; until then nobody is told of the `response` but
    `prepare`, which makes of it what is sent then.
    """

    __slots__ = (
        "arrived_at",
        "assertion",
        "caller",
        "claimed",
        "client",
        "done",
        "drafted",
        "form",
        "minted_at",
        "prepare",
        "response",
        "scopes",
        "signature",
        "signing_key",
    )

    assertion: UnverifiedAssertion
    claimed: ClaimedClient
    client: AuthenticatedClient
    scopes: frozenset[str]
    signing_key: SigningKey
    minted_at: datetime
    drafted: DraftedToken
    signature: bytes
    response: AccessTokenResponse

    def __init__(
        self,
        form: Mapping[str, str],
        arrived_at: float,
        caller: Caller,
        done: Outcome,
        prepare: Callable[[AccessTokenResponse], object] = _nothing,
    ) -> None:
        self.form = form
        self.arrived_at = arrived_at
        self.caller = caller
        self.done = done
        self.prepare = prepare


def _new_future() -> "asyncio.Future[Appended]":
    return asyncio.get_running_loop().create_future()


class ClientCredentialsGrant:
    def __init__(
        self,
        *,
        drafts: TokenDrafts,
        clients: ClientAuthentication,
        knowledge: Knowledge,
        keyring: Keyring,
        issuance: Issuance,
        limit: RateLimit,
        clock: Clock,
    ) -> None:
        self._drafts = drafts
        self._clients = clients
        self._knowledge = knowledge
        self._keyring = keyring
        self._issuance = issuance
        self._limit = limit
        self._clock = clock
        record = ForAll[Exchange](issuance.record)  # last of all: the log settles them
        mint = (ForAll(self._take_key), self._draft, self._sign, self._respond, record)
        prove = (self._require_signature, self._judge, self._take_scopes)
        find = (ForAll(self._look_at_the_age), self._read, self._find)
        self._from_form = Burst(*find, *prove, *mint)
        self._from_claim = Burst(*prove, *mint)
        self._from_scopes = Burst(*mint)

    async def grant(
        self, form: Mapping[str, str], *, arrived_at: float, caller: Caller
    ) -> AccessTokenResponse:
        """A token for whoever sent `form`, or an `OAuthError`."""
        done = _new_future()
        exchange = Exchange(form, arrived_at, caller, done)
        exchange.claimed = await self._clients.find(form)
        self._from_claim.take(exchange)
        try:
            await self._issuance.outcome(done)
        except _ScopeNotKnown:
            await self._look_again(exchange)
            exchange.done = done = _new_future()
            self._from_scopes.take(exchange)
            await self._issuance.outcome(done)
        return exchange.response

    def begin(self, exchange: Exchange) -> None:
        """The same without waiting for anything but the record of the token.

        `done` is told that it failed as the log does, with an `OAuthError`, or with
        `NotAtOnce`: then nothing has been done, and `grant` will know.
        """
        self._from_form.take(exchange)

    def _look_at_the_age(self, _: Sequence[Exchange]) -> None:
        """Of what is known: whether that is enough to look anybody up in it."""
        if not self._clients.knows_enough():
            raise NotAtOnce

    def _read(self, exchange: Exchange) -> None:
        exchange.assertion = read_assertion(exchange.form)

    def _find(self, exchange: Exchange) -> None:
        claimed = self._clients.look_up(exchange.assertion)
        if claimed is None:
            raise NotAtOnce
        scope = exchange.form.get("scope")
        if scope is not None and not claimed.app.scopes.issuperset(scope.split(" ")):
            raise NotAtOnce
        exchange.claimed = claimed

    def _require_signature(self, exchange: Exchange) -> None:
        self._clients.require_signature(exchange.claimed)

    def _judge(self, exchange: Exchange) -> None:
        exchange.client = self._clients.judge_signed(
            exchange.claimed, exchange.arrived_at
        )

    def _take_scopes(self, exchange: Exchange) -> None:
        """What is granted: what was asked for, or all that the app has.

        Verified requests alone count for the limit: nobody uses up another's share.
        """
        app = exchange.client.app
        wait = self._limit.take(app.id)
        if wait is not None:
            raise TooManyRequests("this app asks for too many tokens", retry_after=wait)
        asked = exchange.form.get("scope")
        exchange.scopes = app.scopes if asked is None else parse_scope(asked)
        if not exchange.scopes <= app.scopes:
            raise _ScopeNotKnown
        if not exchange.scopes:
            raise InvalidScope("the app does not have this scope")

    async def _look_again(self, exchange: Exchange) -> None:
        """Perhaps the scope was given to the app a moment ago."""
        await self._knowledge.refresh()
        app = exchange.client.app
        if not exchange.scopes <= self._knowledge.registry.apps.get(app.id, app).scopes:
            raise InvalidScope("the app does not have this scope")

    def _take_key(self, exchanges: Sequence[Exchange]) -> None:
        """The one that signs now, and that moment: nothing changes meanwhile."""
        key = self._keyring.signing_key(self._knowledge.tokens.signing_keys)
        now = self._clock.now()
        for exchange in exchanges:
            exchange.signing_key, exchange.minted_at = key, now

    def _draft(self, exchange: Exchange) -> None:
        client = exchange.client
        exchange.drafted = self._drafts.draft(
            app=client.app,
            key=client.key,
            scopes=exchange.scopes,
            rev=self._knowledge.tokens.version_of(client.app.id),
            signing_key=exchange.signing_key.public,
            now=exchange.minted_at,
        )

    def _sign(self, exchange: Exchange) -> None:
        exchange.signature = exchange.signing_key.sign(exchange.drafted.to_sign)

    def _respond(self, exchange: Exchange) -> None:
        """Ahead of the record: whom the log lets go has nothing left to be made."""
        token = exchange.drafted.signed(exchange.signature)
        exchange.response = AccessTokenResponse(
            access_token=token.text,
            expires_in=token.lifetime,
            scope=exchange.drafted.scope,
        )
        exchange.prepare(exchange.response)
