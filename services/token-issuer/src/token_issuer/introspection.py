"""What a token is worth at this moment (RFC 7662).

The answer starts from inactive, and whoever reaches the last line has earned the yes.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from token_issuer.knowledge import Knowledge
from token_issuer.token_records import TokenRecords
from tollgate.clock import Clock
from tollgate.oauth.access_tokens import TokenRefusal, VerifiedAccessToken
from tollgate.oauth.scopes import format_scope


class TokenState(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7662 §2.2. An inactive token gets no other member, and no reason."""

    active: bool
    iss: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    aud: tuple[str, ...] | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    jti: str | UnsetType = UNSET
    iat: float | UnsetType = UNSET
    exp: float | UnsetType = UNSET
    token_type: Literal["Bearer"] | UnsetType = UNSET


INACTIVE = TokenState(active=False)


class Introspection:
    def __init__(
        self, *, issuer: str, records: TokenRecords, knowledge: Knowledge, clock: Clock
    ) -> None:
        self._issuer = issuer
        self._records = records
        self._knowledge = knowledge
        self._clock = clock

    async def introspect(self, token: str, *, asked_by: str | None) -> TokenState:
        """The state of `token`, as far as the app `asked_by` may know it.

        None is a service that may see every token. Raises `Unavailable` where neither
        yes nor no is certain.
        """
        verified = await self._records.verify(token)
        if isinstance(verified, TokenRefusal):
            return INACTIVE
        if asked_by is not None and asked_by != verified.client_id:
            return INACTIVE
        if verified.refusal_at(self._clock.now().timestamp(), leeway=0) is not None:
            return INACTIVE
        if await self._records.is_revoked(verified):
            return INACTIVE
        scopes = await self._live_scopes(verified)
        if not scopes:
            return INACTIVE
        return TokenState(
            active=True,
            iss=self._issuer,
            sub=verified.client_id,
            client_id=verified.client_id,
            aud=tuple(sorted(verified.audiences)),
            scope=format_scope(scopes),
            jti=verified.jti,
            iat=verified.iat,
            exp=verified.exp,
            token_type="Bearer",
        )

    async def _live_scopes(self, token: VerifiedAccessToken) -> frozenset[str]:
        """What the token still opens: what it was given and its app still has."""
        await self._knowledge.become_fresh()
        app = self._knowledge.registry.apps.get(token.client_id)
        if app is None or not app.honours(token.key):
            # Unknown is not no: the app or its key may be newer than the view.
            await self._knowledge.refresh()
            app = self._knowledge.registry.apps.get(token.client_id)
        if app is None or not app.exists or not app.honours(token.key):
            return frozenset()
        scopes = token.scopes & app.scopes
        self._knowledge.require_fresh()
        return scopes
