"""What the tokens log says of one token, read from the database and not from a view.

Whoever asks here has revoked, or is about to: the answer must know of what another
replica recorded a moment ago.
"""

from tollgate.errors import Unavailable
from tollgate.eventlog import EventLog, LogUnavailable
from tollgate.events import UnreadableEvent
from tollgate.oauth.access_tokens import (
    TokenRefusal,
    VerifiedAccessToken,
    verify_access_token,
)
from tollgate.oauth.jws import MalformedJws, decode
from tollgate.oauth.public_keys import recorded_public_key
from tollgate.tokens.state import SigningKey, TokensState


class TokenRecords:
    """Every method raises `Unavailable` when the log cannot be read."""

    def __init__(self, log: EventLog, *, issuer: str) -> None:
        self._log = log
        self._issuer = issuer

    async def verify(self, token: str) -> VerifiedAccessToken | TokenRefusal:
        """The token as this issuer signed it, whatever became of it since.

        A token of a compromised key is like one that nobody signed, as is one that a
        retired key cannot have signed while it was in use.
        """
        try:
            kid = decode(token).header.kid
        except MalformedJws:
            return TokenRefusal.MALFORMED
        key = None if kid is None else await self._signing_key(kid)
        if key is None or not key.verifies:
            return TokenRefusal.UNKNOWN_KEY
        public = recorded_public_key(key.pem, key.alg)
        verified = verify_access_token(
            token, keys={key.kid: public}, issuer=self._issuer, audiences=None
        )
        if isinstance(verified, VerifiedAccessToken) and not key.outlives(verified.exp):
            return TokenRefusal.UNKNOWN_KEY
        return verified

    async def is_revoked(self, token: VerifiedAccessToken) -> bool:
        """Whether a revocation on record cuts the token."""
        state = await self._fold(f"oauth_app-{token.client_id}")
        return state.is_revoked(
            client_id=token.client_id,
            jti=token.jti,
            key=token.key,
            rev=token.rev,
            iat=token.iat,
        )

    async def _signing_key(self, kid: str) -> SigningKey | None:
        return (await self._fold(f"signing_key-{kid}")).signing_keys.get(kid)

    async def _fold(self, stream: str) -> TokensState:
        state = TokensState()
        try:
            for recorded in await self._log.load(stream):
                state.apply(recorded)
        except (LogUnavailable, UnreadableEvent) as error:
            raise Unavailable("the tokens log cannot be read") from error
        return state
