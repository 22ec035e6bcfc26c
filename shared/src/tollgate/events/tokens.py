"""What ends a token before its time, and the issuer's signing keys: the tokens log.

Revocations of an app's tokens stand on the app's stream, so that the version of that
stream orders them against the `rev` of a token without a clock.
"""

from datetime import datetime
from typing import TypeAlias

from tollgate.events.recorded import Event, EventDecoder

# --- oauth_app-<id> ---


class TokenRevoked(Event, frozen=True, kw_only=True, tag="oauth_app.token_revoked"):
    """One token, by its `jti`; forgotten once `expires_at` has passed."""

    jti: str
    expires_at: datetime


class AllTokensRevoked(
    Event, frozen=True, kw_only=True, tag="oauth_app.all_tokens_revoked"
):
    """Every token of the app whose `rev` is smaller than this event's version."""


class KeyTokensRevoked(
    Event, frozen=True, kw_only=True, tag="oauth_app.key_tokens_revoked"
):
    """Every such token that was minted with the client key `kid`."""

    kid: str


class OldTokensRevoked(
    Event, frozen=True, kw_only=True, tag="oauth_app.old_tokens_revoked"
):
    """Every token of the app whose `iat` is before `issued_before`."""

    issued_before: datetime


# --- signing_key-<kid> ---


class SigningKeyAnnounced(
    Event, frozen=True, kw_only=True, tag="signing_key.announced"
):
    """Published, so that verifiers know it before it signs. `pem` is the SPKI form."""

    alg: str
    pem: str


class SigningKeyActivated(
    Event, frozen=True, kw_only=True, tag="signing_key.activated"
):
    """It signs from now on; the key that did is retired by an event of its own."""


class SigningKeyRetired(Event, frozen=True, kw_only=True, tag="signing_key.retired"):
    """It signs no more; its tokens live on until `last_expiry` at the latest."""

    last_expiry: datetime


class SigningKeyCompromised(
    Event, frozen=True, kw_only=True, tag="signing_key.compromised"
):
    """Its tokens end at once."""


RevocationEvent: TypeAlias = (
    TokenRevoked | AllTokensRevoked | KeyTokensRevoked | OldTokensRevoked
)
SigningKeyEvent: TypeAlias = (
    SigningKeyAnnounced
    | SigningKeyActivated
    | SigningKeyRetired
    | SigningKeyCompromised
)
TokensEvent: TypeAlias = RevocationEvent | SigningKeyEvent

TOKENS_EVENTS: tuple[type[Event], ...] = (
    TokenRevoked,
    AllTokensRevoked,
    KeyTokensRevoked,
    OldTokensRevoked,
    SigningKeyAnnounced,
    SigningKeyActivated,
    SigningKeyRetired,
    SigningKeyCompromised,
)

tokens_decoder = EventDecoder(TOKENS_EVENTS)
