"""Every access token minted: the issuance log, kept by month and not published."""

from datetime import datetime
from typing import TypeAlias

from tollgate.events.recorded import Event, EventDecoder


class TokenIssued(Event, frozen=True, kw_only=True, tag="oauth_app.token_issued"):
    """What the token says (RFC 9068 §2.2), without the token.

    `key` is the client key and the version that added it (`<kid>/<version>`), `rev` the
    app's version in the tokens log known at minting, `signing_kid` the issuer's key.
    """

    jti: str
    signing_kid: str
    key: str
    rev: int
    scopes: tuple[str, ...]
    aud: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


IssuanceEvent: TypeAlias = TokenIssued

ISSUANCE_EVENTS: tuple[type[Event], ...] = (TokenIssued,)

issuance_decoder = EventDecoder(ISSUANCE_EVENTS)
