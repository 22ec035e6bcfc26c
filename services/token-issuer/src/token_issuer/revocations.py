"""What ends live tokens, recorded on the stream of their app in the tokens log.

A revocation is done when it is in the log, and not before.
"""

from datetime import UTC, datetime, timedelta

from token_issuer.token_records import TokenRecords
from tollgate.clock import Clock
from tollgate.errors import Unavailable
from tollgate.eventlog import (
    Appended,
    AppendGroup,
    AppendOutcomeUnknown,
    CommandRepeated,
    EventLog,
    LogUnavailable,
)
from tollgate.events import EventMetadata
from tollgate.events.tokens import RevocationEvent, TokenRevoked
from tollgate.oauth.access_tokens import VerifiedAccessToken

OVER_AFTER = timedelta(minutes=5)
"""How long after its expiry a token is certainly refused everywhere: well beyond the
leeway of any verifier, with a clock that is somewhat wrong."""


class Revocations:
    """Every method raises `Unavailable` if nothing can be recorded."""

    def __init__(self, log: EventLog, records: TokenRecords, clock: Clock) -> None:
        self._log = log
        self._records = records
        self._clock = clock

    async def revoke_token(
        self,
        token: VerifiedAccessToken,
        metadata: EventMetadata,
    ) -> Appended | None:
        """End one token; None if it has ended already."""
        over = self._clock.now() - OVER_AFTER
        if token.exp <= over.timestamp() or await self._records.is_revoked(token):
            return None
        event = TokenRevoked(
            jti=token.jti, expires_at=datetime.fromtimestamp(token.exp, UTC)
        )
        return await self.record(token.client_id, event, metadata)

    async def record(
        self,
        client_id: str,
        event: RevocationEvent,
        metadata: EventMetadata,
    ) -> Appended:
        """Append the revocation, once for each `metadata.command_id`.

        It holds for tokens that are minted meanwhile as well, so it relies on no
        version and loses to no other writer.
        """
        group = AppendGroup(
            events=[(f"oauth_app-{client_id}", event)],
            metadata=metadata,
            command_id=metadata.command_id,
        )
        try:
            return await self._log.append(group)
        except CommandRepeated as repeated:
            return Appended(repeated.first, repeated.last)
        except (LogUnavailable, AppendOutcomeUnknown) as error:
            raise Unavailable("the revocation could not be recorded") from error
